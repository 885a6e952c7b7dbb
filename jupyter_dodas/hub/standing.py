"""Where the notebook of a spawner stands: what an administrator sets of that, and the ground that follows from it."""

from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import Bool, Dict, Enum, HasTraits, Integer, List, TraitError, Unicode, default, validate

from jupyter_dodas import settings
from jupyter_dodas.errors import DodasError, InvalidSetting
from jupyter_dodas.hub.audit import Log
from jupyter_dodas.hub.grounds import choice
from jupyter_dodas.hub.grounds.base import Ground, Held
from jupyter_dodas.hub.grounds.choice import Guest, Order, Situation
from jupyter_dodas.hub.grounds.manifests import Estate
from jupyter_dodas.hub.grounds.offers import INPUT
from jupyter_dodas.hub.grounds.tenancy import Service
from jupyter_dodas.hub.profiles import Profiles
from jupyter_dodas.limits import NOTHING, Share

__all__ = ["Standing"]


class Standing(HasTraits):
    """What of a spawner says where its notebook is."""

    user: Any
    hub: Any
    name: str
    user_options: Mapping[str, Any]
    log: Log

    backend = Enum(["local", "kubernetes"], default_value="local", config=True, help="Where notebooks run.")
    state = Unicode(config=True, help="Folder with a place for each user: records, logs, and on one machine the home.")
    account = Unicode(
        "jupyter-{username}",
        config=True,
        help="Account of a user, where a hub on one machine runs as root; made if it is not there. Empty: all share the hub's.",
    )
    processes = Integer(4096, min=1, config=True, help="Processes and threads that a user with an account may have at once.")
    namespace = Unicode(
        "jupyter-{username}",
        config=True,
        help="Namespace of a user's notebooks and clusters, where they run on Kubernetes; {username} is made fit for it.",
    )
    make_namespaces = Bool(True, config=True, help="Make these namespaces, with what belongs in them; else an administrator does.")
    controller_image = Unicode(
        "localhost/jupyter-dodas/controller:1", config=True, help="Image of what looks after the clusters of such a namespace."
    )
    home_size = Unicode(
        config=True, help="Size of a volume for files of the user, such as 10Gi; by default they end with the notebook."
    )
    home_class = Unicode(config=True, help="Storage class of that volume; by default the one of the cluster.")
    profiles = List(
        Dict(), config=True, help="What people may choose from: tables with name, title, description, cores, memory, images."
    )
    hub_address = Unicode(
        config=True,
        help="Address of this hub in the world, such as https://hub.example.org: what runs on an infrastructure reaches it there.",
    )
    infrastructures = Unicode(config=True, help="Address of the service of infrastructures, as the hub reaches it.")
    infrastructures_token = Unicode(config=True, help="File with the token that the service knows the hub by.")

    _stands: tuple[object, Ground, Held] | None = None

    @default("state")
    def _default_state(self) -> str:
        return str(settings.load().state / "hub" / "users")

    @validate("profiles")
    def _check_profiles(self, proposal: Any) -> Any:
        try:
            Profiles(proposal.value)
        except InvalidSetting as error:
            raise TraitError(str(error)) from None
        return proposal.value

    @cached_property
    def _profiles(self) -> Profiles:
        return Profiles(self.profiles)

    # -- the ground of this notebook -----------------------------------------------------------------------------------

    @property
    def _ground(self) -> Ground:
        """What the notebook stands on: as the profile says that was chosen."""
        return self._standing[0]

    @property
    def _notebook(self) -> Held:
        return self._standing[1]

    @property
    def _standing(self) -> tuple[Ground, Held]:
        chosen = dict(self.user_options or {})
        if self._stands is None or self._stands[0] != chosen:
            there = self._situation(self.user.settings, self._order())
            ground = choice.kind(there).ground(there, Guest(self.user.name, self.name, self._all_notebooks))
            self._stands = chosen, ground, ground.notebook(self.name)
        return self._stands[1:]

    def _order(self) -> Order | None:
        """Return the infrastructure that the profile stands on; None if that is not made for it."""
        try:
            chosen = self._profiles.chosen(self.user_options or {})
        except DodasError:  # it is not offered any more, or never was: nothing is started with it
            return None
        name = str(chosen["profile"])
        if (offer := self._profiles.all[name].infrastructure) is None:
            return None
        inputs = {option.removeprefix(INPUT): value for option, value in chosen.items() if option.startswith(INPUT)}
        return Order(offer, inputs, name, self._service, self.hub_address.rstrip("/"))

    def _service(self, user: str) -> Service:
        """Return how the service of infrastructures is reached in the name of a user."""

        async def token() -> str:
            try:
                return Path(self.infrastructures_token).expanduser().read_text("ascii").strip()
            except OSError as error:
                raise InvalidSetting(
                    "The hub has no token for the service of infrastructures",
                    cause=f"{self.infrastructures_token or 'c.DodasSpawner.infrastructures_token'}: {error.strerror}",
                    remedy="An administrator calls configure_infrastructures in the configuration of the hub.",
                ) from None

        groups = [group.name for group in self.user.groups]
        # Of the extra provision, which a hub without infrastructures can do without.
        from jupyter_dodas.provision.client import Infrastructures

        return lambda: Infrastructures(self.infrastructures, token, owner=user, groups=groups)

    # -- what holds for all of a hub -----------------------------------------------------------------------------------

    def _situation(self, hub: MutableMapping[str, Any], order: Order | None = None) -> Situation:
        return Situation(
            hub=hub,
            log=self.log,
            backend=self.backend,
            state=Path(self.state).expanduser().absolute(),
            account=self.account,
            processes=self.processes,
            namespace=self.namespace,
            estate=self._estate,
            addresses=self._hub_addresses(None if order is None else order.address),
            infrastructure=order,
        )

    def unprotected(self, hub: MutableMapping[str, Any]) -> str:
        """Return what a hub does not keep from other users, see `Ground.unprotected`, for who has yet to sign in.

        Parameters
        ----------
        hub
            Its settings, see `Accounts.of`.
        """
        return choice.kind(self._situation(hub)).unprotected()

    def files_end(self, hub: MutableMapping[str, Any]) -> bool | None:
        """Return whether files of people end with their notebook; None where the administrator of a namespace decides that."""
        there = self._situation(hub)
        return choice.kind(there).files_end(there)

    @property
    def is_alone(self) -> bool:
        """Whether the place is of this user only: in one that several share, a token of one would be everybody's."""
        there = self._situation({} if self.user is None else self.user.settings, self._order())
        return choice.kind(there).is_alone(there)

    def _all_notebooks(self) -> Share:
        """Return what all notebooks of this user may take together, this one among them."""
        share = NOTHING
        for one in self.user.spawners.values():
            if one is self or one.active:
                with suppress(DodasError):  # what it was started with is not offered any more
                    share += one._share()  # noqa: SLF001 - of this very class
        return share

    def _share(self) -> Share:
        """Return what this notebook may take."""
        raise NotImplementedError

    def _estate(self, configured: settings.Settings) -> Estate | None:
        if not self.make_namespaces:
            return None
        return Estate(self.controller_image, configured, self.home_size, self.home_class, self._profiles.largest)

    def _hub_addresses(self, public: str | None) -> Sequence[str]:
        """Return where pods reach a hub outside their cluster. One inside has a name."""
        address = public or ("" if self.hub is None else self.hub.api_url)
        with suppress(ValueError):
            return (str(ip_address(urlsplit(address).hostname or "")),)
        return ()

    def _from_afar(self, address: str) -> str:
        """Return an address of the hub as it is seen from an infrastructure."""
        if not self.hub_address:
            return address
        public = urlsplit(self.hub_address)
        return urlsplit(address)._replace(scheme=public.scheme, netloc=public.netloc).geturl()
