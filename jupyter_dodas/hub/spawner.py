"""Starts notebooks for JupyterHub, as clusters of the kind `notebook` at a place of each user's own."""

import asyncio
import shlex
import time
from collections.abc import AsyncGenerator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import cached_property
from html import escape
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from textwrap import shorten
from typing import Any, Final
from urllib.parse import urlsplit

from jupyterhub.spawner import Spawner  # type: ignore[import-untyped]
from tornado import web
from traitlets import Bool, Dict, Enum, Float, Integer, List, TraitError, Unicode, default, validate

from jupyter_dodas import settings
from jupyter_dodas.errors import ClusterFailed, DodasError, InvalidOption, InvalidSetting, MissingRights, TimedOut
from jupyter_dodas.hub import form
from jupyter_dodas.hub.grounds import choice
from jupyter_dodas.hub.grounds.base import Ground, Held
from jupyter_dodas.hub.grounds.choice import Situation
from jupyter_dodas.hub.grounds.manifests import Estate
from jupyter_dodas.hub.limits import GroupLimits
from jupyter_dodas.hub.mandates import Mandates
from jupyter_dodas.hub.profiles import Profiles
from jupyter_dodas.hub.room import Room
from jupyter_dodas.hub.story import Durations, Story, in_words
from jupyter_dodas.limits import NOTHING, Allowance, Quota, Share
from jupyter_dodas.options import validate as validated
from jupyter_dodas.services.notebook.handover import TOKEN
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import Intent, Phase, Problem, Record

__all__ = ["DodasSpawner"]

_SENTENCE: Final = 300
"""Letters of a sentence that is kept and shown."""

_GLANCE: Final = 2.0
"""Seconds that a page waits for what it could do without."""

_GROUND: Final = 10.0
"""Seconds that a look at a notebook waits for its place: while that is mended, the notebook may end."""


class DodasSpawner(Spawner):  # type: ignore[misc]
    """See `Spawner`. A hub that was killed finds every notebook again, also one that was just being started."""

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

    limits = Dict(
        config=True,
        help="What people may hold at once, by their group: tables with clusters, workers, cores, memory; * is for everybody else.",
    )

    renew_tokens_for = Float(
        7 * 86400.0, config=True, help="Seconds after the last start of a notebook for which its clusters get fresh access tokens."
    )

    start_timeout = Integer(300, config=True, help="Seconds that a start may take; an image may have to be fetched.")
    poll_interval = Integer(5, config=True, help="Seconds between two looks whether a notebook still runs.")
    stop_timeout = Float(60.0, config=True, help="Seconds that an end may take.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._story = Story()
        self._allowed: Allowance | None = None  # what the ground was last prepared for
        self._ended = ""  # how the last one ended unasked, in words
        self._refused: tuple[Mapping[str, list[str]], InvalidOption] | None = None  # what a form was sent back with
        self._took: tuple[str, float] | None = None  # the profile of the last start, and its seconds

    @default("state")
    def _default_state(self) -> str:
        return str(settings.load().state / "hub" / "users")

    @default("env_keep")
    def _default_env_keep(self) -> list[str]:
        return []  # what programs need comes from the place; the environment of a hub is its own

    @default("options_form")
    def _default_options_form(self) -> Any:
        return DodasSpawner._form if self.profiles else ""

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return self._from_form

    @validate("profiles")
    def _check_profiles(self, proposal: Any) -> Any:
        try:
            Profiles(proposal.value)
        except InvalidSetting as error:
            raise TraitError(str(error)) from None
        return proposal.value

    @validate("limits")
    def _check_limits(self, proposal: Any) -> Any:
        try:
            GroupLimits(proposal.value)
        except InvalidSetting as error:
            raise TraitError(str(error)) from None
        return proposal.value

    # -- where --------------------------------------------------------------------------------------------------------

    @cached_property
    def _ground(self) -> Ground:
        """What the notebooks of this user stand on."""
        there = self._situation(self.user.settings)
        return choice.kind(there).ground(there, self.user.name, self._all_notebooks)

    def _situation(self, hub: MutableMapping[str, Any]) -> Situation:
        return Situation(
            hub=hub,
            log=self.log,
            backend=self.backend,
            state=Path(self.state).expanduser().absolute(),
            account=self.account,
            processes=self.processes,
            namespace=self.namespace,
            estate=self._estate,
            addresses=self._hub_addresses(),
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
        there = self._situation({} if self.user is None else self.user.settings)
        return choice.kind(there).is_alone(there)

    def _all_notebooks(self) -> Share:
        """Return what all notebooks of this user may take together, this one among them."""
        share = NOTHING
        for one in self.user.spawners.values():
            if one is self or one.active:
                with suppress(DodasError):  # what it was started with is not offered any more
                    options = one._options()  # noqa: SLF001 - of this very class
                    share += Share(cores=options.cores, memory=int(options.memory))
        return share

    def _estate(self, configured: settings.Settings) -> Estate | None:
        if not self.make_namespaces:
            return None
        return Estate(self.controller_image, configured, self.home_size, self.home_class, self._profiles.largest)

    def _hub_addresses(self) -> Sequence[str]:
        """Return where pods reach a hub outside their cluster. One inside has a name."""
        host = urlsplit(self.hub.api_url).hostname or "" if self.hub is not None else ""
        with suppress(ValueError):
            return (str(ip_address(host)),)
        return ()

    @cached_property
    def _notebook(self) -> Held:
        return self._ground.notebook(self.name)

    def allowance(self) -> Allowance:
        """Return what this user may hold at once, by the groups that they are in now."""
        return self._group_limits.of(group.name for group in self.user.groups)

    @cached_property
    def _group_limits(self) -> GroupLimits:
        return GroupLimits(self.limits)

    async def _prepare(self) -> None:
        """See that the ground is there, with the limits that hold now."""
        allowance = self.allowance()
        await self._ground.prepare(allowance)
        self._allowed = allowance

    def get_env(self) -> dict[str, str]:
        """Return what is handed over to the notebook: variables of JupyterHub and of the place, the token among them."""
        found = {name: str(value) for name, value in super().get_env().items() if value is not None}
        found.pop("JPY_API_TOKEN", None)  # the name of another age
        return {**self._ground.surroundings(), **found}

    # -- what ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _profiles(self) -> Profiles:
        return Profiles(self.profiles)

    def _form(self) -> str:
        """Draw the form, with what was chosen the last time, and how that notebook ended."""
        known = self.orm_spawner.user_options or (self.user.orm_spawners.get("") or self.orm_spawner).user_options or {}
        ended = f'<div class="note warn" role="status"><p>{escape(self._ended)}</p></div>' if self._ended else ""
        durations, last = Durations.of(self.user.settings), str(known.get("profile", ""))
        chosen, refused = self._profiles.kept(known), None
        if self._refused is not None:
            (sent, refused), self._refused = self._refused, None
            chosen = form.kept(self._profiles, sent)
        return ended + form.draw(self._profiles, chosen, last=last, usually=durations.usually, refused=refused)

    def _from_form(self, sent: Mapping[str, list[str]]) -> Mapping[str, Any]:
        try:
            return form.read(self._profiles, sent)
        except InvalidOption as error:
            self._refused = sent, error  # JupyterHub draws the form again, in the same request
            raise _as_failure(error) from None

    def check(self, chosen: Mapping[str, Any]) -> None:
        """See that something chosen is offered; what is not is refused with status 400."""
        try:
            self._profiles.chosen(chosen)
        except DodasError as error:
            raise _as_failure(error) from None

    def _options(self) -> NotebookOptions:
        chosen = self._profiles.chosen(self.user_options)
        around = {"image": chosen.get("image"), **self._ground.environment()}
        asked = {"cores": chosen["cores"], "memory": chosen["memory"], "environment": around}
        return validated(NotebookOptions, "notebook", {**asked, "command": [*self.cmd, *self.get_args()]})

    # -- start, look, stop ----------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Start the notebook, or take over the one that is there, and return where it answers."""
        began = time.monotonic()
        if self._story.over:
            self._story = Story()
        if self._ended:
            self._story.tell(f"The last one ended: {self._ended}")
        try:
            options = self._options()
            await self._prepare()
            variables = self.get_env()
            await self._give_mandate(variables["JUPYTERHUB_API_URL"])
            self.log.info("Starting %s: %s", self._notebook.name, shlex.join(options.command))
            handed = await self._notebook.start(options, variables, self._story.see)
            address = await self._notebook.address(timeout=self.http_timeout)
            if address is None:
                raise ClusterFailed(f"{self._notebook.name!r} ended as soon as it answered", cause="", remedy="Start it again.")
        except DodasError as error:
            raise _as_failure(error) from None
        finally:
            self._story.end()
        self.api_token = handed[TOKEN]
        self._revoke_others()
        self._ended = ""
        self._took = (str(self._profiles.chosen(self.user_options)["profile"]), time.monotonic() - began)
        Durations.of(self.user.settings).add(*self._took)
        return address

    async def _give_mandate(self, hub: str) -> None:
        """Have the place keep an access token of the user's, where the hub gives any; it asks at this address of the hub's."""
        mandates: Mandates | None = getattr(self.authenticator, "mandates", None)
        if mandates is not None and self.is_alone and self.renew_tokens_for > 0:
            await mandates.give(self.user, self, hub, self.renew_tokens_for)

    async def entrust(self, secrets: Mapping[str, bytes]) -> None:
        """See `Trustee.entrust`."""
        await self._notebook.entrust(secrets)

    def _revoke_others(self) -> None:
        """Revoke tokens of starts that a killed hub has not ended."""
        database = self.user.db
        for token in list(self.user.orm_user.api_tokens):
            if token.note == f"Server at {self.server.base_url}" and not token.match(self.api_token):
                database.delete(token)
        database.commit()

    # -- what its pages say -----------------------------------------------------------------------------------------------

    @property
    def story(self) -> Story:
        """What happens while it starts."""
        return self._story

    @property
    def ended(self) -> str:
        """How the last one ended, if nobody has asked for that."""
        return self._ended

    async def standing(self) -> Room | None:
        """Return what the user may hold and what their clusters hold; None if nothing is limited, or nobody can tell now."""
        allowance = self.allowance()
        if allowance.limits == Limits():
            return None
        try:
            async with asyncio.timeout(_GLANCE):
                used = await self._notebook.beside()
        except (DodasError, TimeoutError) as error:
            self.log.warning("%s: what is free cannot be told now: %s", self._log_name, error)
            return None
        return Room(Quota(allowance.limits, used, allowance.enforced, allowance.groups))

    async def progress(self) -> AsyncGenerator[dict[str, str], None]:
        """Yield what happens, with what it usually takes; how far that is of the whole nobody knows."""
        async for line in self._story.read():
            yield {"message": line}

    async def poll(self) -> int | None:
        """Tell whether the notebook is there: None if it is, or is on its way."""
        try:
            record = await self._notebook.record()
            if record is None or record.spec.intent is Intent.STOP:
                return 0
            if record.status.phase is Phase.FAILED:
                self._note_end(record)
                return 1
            if not self.api_token:
                return await self._find_again()
            if self.allowance() != self._allowed:  # the user is in other groups now, or the hub is another one
                async with asyncio.timeout(_GROUND):
                    await self._prepare()
        except (DodasError, TimeoutError) as error:
            self.log.warning("%s cannot be looked at now: %s", self._log_name, str(error) or "its place is not ready")
        return None

    async def _find_again(self) -> int | None:
        """Take the token from what a hub before this one started. What it left without one cannot start, and is removed."""
        handed = await self._notebook.handed()
        if handed is None:
            await self._notebook.dismiss()
            return 0
        self.api_token = handed[TOKEN]
        return None

    def _note_end(self, record: Record) -> None:
        problem = record.status.problem or Problem(code="cluster-failed", message=f"{record.name!r} has failed")
        # A record is its user's, who could write lines of a log into it, or a book.
        ended = shorten(" ".join(problem.message.split()), _SENTENCE, placeholder="…")
        if ended != self._ended:
            self._ended = ended
            self.log.warning("%s: %s", self._log_name, self._ended)

    async def get_url(self) -> str:
        """Return where the notebook answers now. A hub that was killed while it started waits here until it does."""
        try:
            address = await self._notebook.address(timeout=self.start_timeout)
        except DodasError as error:
            self.log.warning("%s cannot be looked at now: %s", self._log_name, error)
            address = None
        return str(self.server.url if address is None else address + self.server.base_url)

    async def stop(self, now: bool = False) -> None:
        """End the notebook, and wait until it is gone."""
        try:
            await self._notebook.end(timeout=self.stop_timeout)
        except (MissingRights, TimedOut) as error:
            self.log.warning("%s: %s", self._log_name, error)  # the place goes on with it, or is not one of this hub
        except DodasError as error:
            raise _as_failure(error) from None

    # -- what the hub keeps -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what is to be known after a restart of the hub; all else stands at the place."""
        known = {"ended": self._ended, "took": self._took}
        return {**super().get_state(), **{name: value for name, value in known.items() if value}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what was known before."""
        super().load_state(state)
        self._ended = str(state.get("ended", ""))
        if took := state.get("took"):
            Durations.of(self.user.settings).add(str(took[0]), float(took[1]))


def _as_failure(error: DodasError) -> web.HTTPError:
    """Return an error as the hub shows it to whoever started the notebook."""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, InvalidOption) else HTTPStatus.SERVICE_UNAVAILABLE
    words = in_words(Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy))
    failure = web.HTTPError(status, words)
    setattr(failure, "jupyterhub_message", words)  # noqa: B010 - what its pages show, which Tornado's class does not know
    return failure
