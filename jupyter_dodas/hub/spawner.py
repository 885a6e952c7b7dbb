"""Starts notebooks for JupyterHub, as clusters of the kind `notebook` at a place of each user's own."""

import asyncio
import shlex
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import cached_property
from html import escape
from http import HTTPStatus
from textwrap import shorten
from typing import Any, Final

from jupyterhub.spawner import Spawner  # type: ignore[import-untyped]
from tornado import web
from traitlets import Dict, Float, Integer, TraitError, default, validate

from jupyter_dodas.errors import (
    ClusterFailed,
    DodasError,
    InfrastructureNotFound,
    InvalidOption,
    InvalidSetting,
    MissingRights,
    TimedOut,
)
from jupyter_dodas.hub import form
from jupyter_dodas.hub.limits import GroupLimits
from jupyter_dodas.hub.mandates import Mandates
from jupyter_dodas.hub.room import Room
from jupyter_dodas.hub.standing import Standing
from jupyter_dodas.hub.story import LAB, Durations, Failure, Story, in_words
from jupyter_dodas.limits import Allowance, Quota, Share
from jupyter_dodas.options import validate as validated
from jupyter_dodas.services.notebook.handover import TOKEN
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import Intent, Phase, Problem

__all__ = ["DodasSpawner"]

_SENTENCE: Final = 300
"""Letters of a sentence that is kept and shown."""

_GLANCE: Final = 2.0
"""Seconds that a page waits for what it could do without."""

_LOOK: Final = 15.0
"""Seconds that a look at a notebook takes at most."""

_OF_HUB: Final = ("JUPYTERHUB_API_URL", "JUPYTERHUB_ACTIVITY_URL")
"""Variables with addresses of the hub."""

_GROUND: Final = 10.0
"""Seconds that a look at a notebook waits for its place: while that is mended, the notebook may end."""


class DodasSpawner(Standing, Spawner):  # type: ignore[misc]
    """See `Spawner`. A hub that was killed finds every notebook again, also one that was just being started."""

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
        self._patience = self.start_timeout
        self._allowed: Allowance | None = None  # what the ground was last prepared for
        self._ended = ""  # how the last one ended unasked, in words
        self._refused: tuple[Mapping[str, list[str]], InvalidOption] | None = None  # what a form was sent back with
        self._took: Sequence[tuple[str, float]] = ()  # what the last start took: all of it by its profile, and its phases
        self._failure: Failure | None = None
        self._is_here = False  # whether this hub has started it, or found it

    @default("env_keep")
    def _default_env_keep(self) -> list[str]:
        return []  # what programs need comes from the place; the environment of a hub is its own

    @default("options_form")
    def _default_options_form(self) -> Any:
        return DodasSpawner._form if self.profiles else ""

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return self._from_form

    @validate("limits")
    def _check_limits(self, proposal: Any) -> Any:
        try:
            GroupLimits(proposal.value)
        except InvalidSetting as error:
            raise TraitError(str(error)) from None
        return proposal.value

    def allowance(self) -> Allowance:
        """Return what this user may hold at once, by the groups that they are in now."""
        return self._group_limits.of(group.name for group in self.user.groups)

    @cached_property
    def _group_limits(self) -> GroupLimits:
        return GroupLimits(self.limits)

    async def _prepare(self) -> None:
        """See that the ground is there, with the limits that hold now."""
        allowance = self.allowance()
        await self._ground.prepare(allowance, self._story.prepare)
        self._allowed = allowance

    async def _prepare_or_release(self) -> None:
        """Prepare the ground; let go at once of what cannot be had: no notebook is on it that had to be ended first."""
        try:
            await self._prepare()
        except DodasError:
            await self._ground.release()
            raise

    def get_env(self) -> dict[str, str]:
        """Return what is handed over to the notebook: variables of JupyterHub and of the place, the token among them."""
        found = {name: str(value) for name, value in super().get_env().items() if value is not None}
        found.pop("JPY_API_TOKEN", None)  # the name of another age
        if self._ground.is_away:
            found |= {name: self._from_afar(found[name]) for name in _OF_HUB if name in found}
        return {**self._ground.surroundings(), **found}

    # -- what ---------------------------------------------------------------------------------------------------------

    def _form(self) -> str:
        """Draw the form, with what was chosen the last time, and how that notebook ended."""
        known = self.orm_spawner.user_options or (self.user.orm_spawners.get("") or self.orm_spawner).user_options or {}
        ended = f'<div class="note warn" role="status"><p>{escape(self._ended)}</p></div>' if self._ended else ""
        durations, last = self._durations, str(known.get("profile", ""))
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

    def _share(self) -> Share:
        options = self._options()
        return Share(cores=options.cores, memory=int(options.memory))

    # -- start, look, stop ----------------------------------------------------------------------------------------------

    def run_pre_spawn_hook(self) -> Any:
        """Give a start that waits for machines the time that they take; see `Spawner.run_pre_spawn_hook`."""
        order = self._order()
        self.start_timeout = self._patience if order is None else order.offer.start_timeout
        return super().run_pre_spawn_hook()

    async def start(self) -> str:
        """Start the notebook, or take over the one that is there, and return where it answers. Cancelled, it leaves nothing."""
        began = time.monotonic()
        if self._story.over:
            self._story = Story()
        if self._ended:
            self._story.tell(f"The last one ended: {self._ended}")
        self._failure, self._is_here = None, True
        try:
            options = self._options()
            profile = str(self._profiles.chosen(self.user_options)["profile"])
            self._story.expect(self._ground.phases, lambda phase: self._durations.usually(_phase(profile, phase)))
            await self._prepare_or_release()
            prepared = time.monotonic()
            variables = self.get_env()
            await self._give_mandate(variables["JUPYTERHUB_API_URL"])
            self.log.info("Starting %s: %s", self._notebook.name, shlex.join(options.command))
            handed = await self._notebook.start(options, variables, self._story.see)
            address = await self._notebook.address(timeout=self.http_timeout)
            if address is None:
                raise ClusterFailed(f"{self._notebook.name!r} ended as soon as it answered", cause="", remedy="Start it again.")
        except DodasError as error:
            self._failure = Failure.of(error)
            raise _as_failure(error) from None
        except asyncio.CancelledError:
            await self._ground.abandon()
            raise
        finally:
            self._story.end()
        self.api_token = handed[TOKEN]
        self._revoke_others()
        self._ended = ""
        phases = {**self._story.durations(), LAB: time.monotonic() - prepared} if self._ground.phases else {}
        self._took = [(profile, time.monotonic() - began), *((_phase(profile, name), took) for name, took in phases.items())]
        self._durations.learn(self._took)
        return address

    @property
    def _durations(self) -> Durations:
        return Durations.of(self.user.settings)

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

    @property
    def failure(self) -> Failure | None:
        """Why the last start failed, and a report of that."""
        return self._failure

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
            async with asyncio.timeout(_LOOK):
                record = await self._notebook.record()
            self._is_here = self._is_here or record is not None
            if record is None or record.spec.intent is Intent.STOP:
                return 0
            if record.status.phase is Phase.FAILED:
                problem = record.status.problem
                self._note_end(problem.message if problem is not None else f"{record.name!r} has failed")
                return 1
            if not self.api_token:
                return await self._find_again()
            if (allowance := self.allowance()) != self._allowed:  # the user is in other groups now, or the hub is another one
                async with asyncio.timeout(_GROUND):
                    await self._ground.renew(allowance)
                self._allowed = allowance
        except InfrastructureNotFound:
            self._note_end("What it stood on is gone: its infrastructure was deleted, or has failed.")
            return 1
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

    def _note_end(self, how: str) -> None:
        # A record is its user's, who could write lines of a log into it, or a book.
        ended = shorten(" ".join(how.split()), _SENTENCE, placeholder="…")
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
        # What a hub that was killed was only just making waits for the next start, or for whoever looks after what nobody uses.
        if self._is_here:
            await self._ground.release()

    # -- what the hub keeps -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what is to be known after a restart of the hub; all else stands at the place."""
        known = {"ended": self._ended, "took": list(self._took)}
        return {**super().get_state(), **{name: value for name, value in known.items() if value}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what was known before."""
        super().load_state(state)
        self._ended = str(state.get("ended", ""))
        self._took = [(str(name), float(seconds)) for name, seconds in state.get("took") or ()]
        self._durations.learn(self._took)


def _phase(profile: str, name: str) -> str:
    return f"{profile}: {name}"


def _as_failure(error: DodasError) -> web.HTTPError:
    """Return an error as the hub shows it to whoever started the notebook."""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, InvalidOption) else HTTPStatus.SERVICE_UNAVAILABLE
    words = in_words(Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy))
    failure = web.HTTPError(status, words)
    setattr(failure, "jupyterhub_message", words)  # noqa: B010 - what its pages show, which Tornado's class does not know
    return failure
