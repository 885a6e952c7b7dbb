"""Which ground notebooks stand on. A new one is a module beside this, and a line in `_KINDS`."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from jupyter_dodas import settings
from jupyter_dodas.backends.local.nursery import Nursery
from jupyter_dodas.hub.accounts.machine import account_name
from jupyter_dodas.hub.audit import Log
from jupyter_dodas.hub.grounds.accounts import Accounts, OwnAccount, Wanted
from jupyter_dodas.hub.grounds.base import Ground
from jupyter_dodas.hub.grounds.manifests import Estate, roles
from jupyter_dodas.hub.grounds.namespaces import OwnNamespace
from jupyter_dodas.hub.grounds.offers import Offer
from jupyter_dodas.hub.grounds.provisioned import Provisioned
from jupyter_dodas.hub.grounds.shared import SharedAccount
from jupyter_dodas.hub.grounds.tenancy import Service, Tenancy
from jupyter_dodas.hub.notebooks import MODULES, notebook_name, safe_name
from jupyter_dodas.limits import Share
from jupyter_dodas.settings import Settings

__all__ = ["Guest", "Kind", "Order", "Situation", "kind"]

_NURSERY: Final = "dodas_nursery"
"""Where the settings of a hub, which all its spawners share, have what forks the keepers of their places."""


@dataclass(frozen=True)
class Guest:
    """Whose notebook it is.

    Parameters
    ----------
    user, server
        By their names in the hub.
    notebooks
        Returns what all notebooks of the user may take together.
    """

    user: str
    server: str
    notebooks: Callable[[], Share]


@dataclass(frozen=True)
class Order:
    """An infrastructure that a profile asks for.

    Parameters
    ----------
    offer, inputs
        What of, and what was chosen.
    profile
        Its name.
    service
        Returns how to reach the service of infrastructures in the name of a user.
    address
        Where what runs there reaches the hub; empty: as from here.
    """

    offer: Offer
    inputs: Mapping[str, Any]
    profile: str
    service: Callable[[str], Service]
    address: str = ""


@dataclass(frozen=True)
class Situation:
    """What an administrator has set, and the hub that it is for.

    Parameters
    ----------
    hub
        Settings of the hub, which all its spawners share.
    state
        The folder with a place for each user.
    account, processes, backend, namespace
        See `DodasSpawner`.
    estate
        Returns what a namespace is to have, by the settings of the hub; None if an administrator makes the namespaces.
    addresses
        Where pods reach a hub outside their cluster.
    infrastructure
        What the profile that was chosen stands on, if it is made for it.
    """

    hub: MutableMapping[str, Any]
    log: Log
    backend: str
    state: Path
    account: str
    processes: int
    namespace: str
    estate: Callable[[Settings], Estate | None]
    addresses: Sequence[str] = ()
    infrastructure: Order | None = None

    def settings(self, user: str, **more: Any) -> Settings:
        """Return the settings of the place of a user."""
        configured, own = settings.load(), safe_name(user)
        runtime = None if configured.runtime is None else configured.runtime / own
        here = {"backend": self.backend, "state": self.state / own, "runtime": runtime}
        return configured.model_copy(update=here | more)


class Kind(Protocol):
    """One sort of ground: when it is had, and what is to be known of it before anybody has signed in."""

    def fits(self, there: Situation) -> bool:
        """Return whether it is the one."""

    def unprotected(self) -> str:
        """See `Ground.unprotected`."""

    def files_end(self, there: Situation) -> bool | None:
        """Return whether files of people end with their notebook; None if nobody here knows."""

    def is_alone(self, there: Situation) -> bool:
        """Return whether the place is of one user only."""

    def ground(self, there: Situation, guest: Guest) -> Ground:
        """Return that of a user."""


def kind(there: Situation) -> Kind:
    """Return the first that fits."""
    return next(one for one in _KINDS if one.fits(there))


class _Provisioned:
    """See `Provisioned`."""

    def fits(self, there: Situation) -> bool:
        return there.infrastructure is not None

    def unprotected(self) -> str:
        return Provisioned.unprotected

    def files_end(self, there: Situation) -> bool | None:
        return _namespaces.files_end(there)

    def is_alone(self, there: Situation) -> bool:
        return _namespaces.is_alone(there)

    def ground(self, there: Situation, guest: Guest) -> Ground:
        order = there.infrastructure
        assert order is not None
        own = safe_name(guest.user)
        wanted = order.offer.wanted(safe_name(guest.user, order.profile), order.inputs)
        tenancy = Tenancy(order.service(guest.user), wanted, f"{guest.user}/{guest.server}", there.log)
        here: dict[str, Any] = {"kubernetes_namespace": there.namespace.format(username=own)}
        place = there.settings(guest.user, **here)
        # Not in the folder of a user, who could put another one in its place.
        file = there.state / ".infrastructures" / own / f"{notebook_name(guest.user, guest.server)}.kubeconfig"

        def upon(found: Settings) -> OwnNamespace:
            return OwnNamespace(guest.user, found, there.estate(found), there.addresses, roles())

        return Provisioned(guest.user, place, tenancy, file, upon, stores=self.files_end(there) is False)


class _Namespaces:
    """See `OwnNamespace`."""

    def fits(self, there: Situation) -> bool:
        return there.backend == "kubernetes"

    def unprotected(self) -> str:
        return OwnNamespace.unprotected

    def files_end(self, there: Situation) -> bool | None:
        estate = there.estate(settings.load())
        return None if estate is None else not estate.home_size

    def is_alone(self, there: Situation) -> bool:
        return "{username}" in there.namespace

    def ground(self, there: Situation, guest: Guest) -> Ground:
        place = there.settings(guest.user, kubernetes_namespace=there.namespace.format(username=safe_name(guest.user)))
        return OwnNamespace(guest.user, place, there.estate(settings.load()), there.addresses)


class _Machine:
    """What the two on one machine have in common."""

    def files_end(self, there: Situation) -> bool | None:
        return False

    def is_alone(self, there: Situation) -> bool:
        return True


class _Accounts(_Machine):
    """See `OwnAccount`."""

    def fits(self, there: Situation) -> bool:
        return bool(there.account) and not Accounts.of(there.hub, there.state, there.log).why_not

    def unprotected(self) -> str:
        return OwnAccount.unprotected

    def ground(self, there: Situation, guest: Guest) -> Ground:
        wanted = Wanted(account_name(there.account, safe_name(guest.user)), guest.notebooks, there.processes)
        return OwnAccount(guest.user, there.settings(guest.user), wanted, Accounts.of(there.hub, there.state, there.log))


class _Shared(_Machine):
    """See `SharedAccount`."""

    def fits(self, there: Situation) -> bool:
        return True

    def unprotected(self) -> str:
        return SharedAccount.unprotected

    def ground(self, there: Situation, guest: Guest) -> Ground:
        return SharedAccount(guest.user, there.settings(guest.user), there.hub.setdefault(_NURSERY, Nursery(MODULES)))


_namespaces = _Namespaces()
_KINDS: Final[Sequence[Kind]] = (_Provisioned(), _namespaces, _Accounts(), _Shared())
