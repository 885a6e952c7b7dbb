"""Starts notebooks for JupyterHub, as clusters of the kind `notebook` at a place of each user's own."""

import shlex
from collections.abc import AsyncGenerator, Mapping
from functools import cached_property
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jupyterhub.spawner import Spawner  # type: ignore[import-untyped]
from tornado import web
from traitlets import Dict, Enum, Float, Integer, List, TraitError, Unicode, default, validate

from jupyter_dodas import settings
from jupyter_dodas.backends import places
from jupyter_dodas.errors import ClusterFailed, DodasError, InvalidOption, InvalidSetting, TimedOut
from jupyter_dodas.hub import form
from jupyter_dodas.hub.notebooks import Notebook, notebook_name, safe_name
from jupyter_dodas.hub.profiles import Profiles
from jupyter_dodas.hub.story import Story, in_words
from jupyter_dodas.options import validate as validated
from jupyter_dodas.services.notebook.handover import TOKEN
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.spec import Intent, Phase, Problem, Record

__all__ = ["DodasSpawner"]

_HERE_ONLY: Final = frozenset({"DODAS_STATE", "DODAS_RUNTIME", "DODAS_KUBERNETES_CONTEXT"})
"""Settings that mean something on the machine of the hub alone."""


class DodasSpawner(Spawner):  # type: ignore[misc]
    """See `Spawner`. A hub that was killed finds every notebook again, also one that was just being started."""

    backend = Enum(["local", "kubernetes"], default_value="local", config=True, help="Where notebooks run.")
    state = Unicode(config=True, help="Folder with a place for each user: records, logs, and on one machine the home.")
    namespace = Unicode(
        "jupyter-{username}",
        config=True,
        help="Namespace of a user's notebooks and clusters, where they run on Kubernetes; {username} is made fit for it.",
    )
    profiles = List(
        Dict(), config=True, help="What people may choose from: tables with name, title, description, cores, memory, images."
    )

    start_timeout = Integer(300, config=True, help="Seconds that a start may take; an image may have to be fetched.")
    poll_interval = Integer(5, config=True, help="Seconds between two looks whether a notebook still runs.")
    stop_timeout = Float(60.0, config=True, help="Seconds that an end may take.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._story = Story()
        self._ended = ""  # how the last one ended unasked, in words

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

    # -- where --------------------------------------------------------------------------------------------------------

    @cached_property
    def _settings(self) -> settings.Settings:
        """The settings of the user's place, which the clusters launched in the notebook share with it."""
        configured, own = settings.load(), safe_name(self.user.name)
        state = Path(self.state).expanduser().absolute() / own
        here: dict[str, Any] = {"backend": self.backend, "state": state}
        here["runtime"] = None if configured.runtime is None else configured.runtime / own
        if self.backend == "kubernetes":
            here["kubernetes_namespace"] = self.namespace.format(username=own)
        return configured.model_copy(update=here)

    @property
    def _home(self) -> Path:
        return self._settings.state / "home"

    @cached_property
    def _notebook(self) -> Notebook:
        return Notebook(places.backend(self._settings), notebook_name(self.user.name, self.name), self.user.name)

    def get_env(self) -> dict[str, str]:
        """Return what is handed over to the notebook: variables of JupyterHub and of the place, the token among them."""
        found = {name: str(value) for name, value in super().get_env().items() if value is not None}
        found.pop("JPY_API_TOKEN", None)  # the name of another age
        return {**self._surroundings(), **found}

    def _surroundings(self) -> Mapping[str, str]:
        variables = self._settings.variables()
        if self.backend == "kubernetes":
            who = {"USER": self.user.name, "LOGNAME": self.user.name}
            return {**who, **{name: value for name, value in variables.items() if name not in _HERE_ONLY}}
        # With a uid for each user, this is what would follow from the account.
        who = {"USER": self.user.name, "LOGNAME": self.user.name, "HOME": str(self._home), "SHELL": "/bin/bash"}
        return {**who, **variables, "DODAS_RUNTIME": str(self._settings.runtime_folder())}

    # -- what ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _profiles(self) -> Profiles:
        return Profiles(self.profiles)

    def _form(self) -> str:
        """Draw the form, with what was chosen the last time, and how that notebook ended."""
        known = self.orm_spawner.user_options or (self.user.orm_spawners.get("") or self.orm_spawner).user_options or {}
        ended = f'<p role="status">{escape(self._ended)}</p>' if self._ended else ""
        return ended + form.draw(self._profiles, self._profiles.kept(known))

    def _from_form(self, sent: Mapping[str, list[str]]) -> Mapping[str, Any]:
        try:
            return form.read(self._profiles, sent)
        except DodasError as error:
            raise _as_failure(error) from None

    def _options(self) -> NotebookOptions:
        chosen = self._profiles.chosen(self.user_options)
        around: dict[str, Any] = {"image": chosen.get("image")}
        if self.backend == "local":
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            around["folder"] = str(self._home)
        asked = {"cores": chosen["cores"], "memory": chosen["memory"], "environment": around}
        return validated(NotebookOptions, "notebook", {**asked, "command": [*self.cmd, *self.get_args()]})

    # -- start, look, stop ----------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Start the notebook, or take over the one that is there, and return where it answers."""
        if self._story.over:
            self._story = Story()
        if self._ended:
            self._story.tell(f"The last one ended: {self._ended}")
        try:
            options = self._options()
            self.log.info("Starting %s: %s", self._notebook.name, shlex.join(options.command))
            handed = await self._notebook.start(options, self.get_env(), self._story.see)
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
        return address

    def _revoke_others(self) -> None:
        """Revoke tokens of starts that a killed hub has not ended."""
        database = self.user.db
        for token in list(self.user.orm_user.api_tokens):
            if token.note == f"Server at {self.server.base_url}" and not token.match(self.api_token):
                database.delete(token)
        database.commit()

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
        except DodasError as error:
            self.log.warning("%s cannot be looked at now: %s", self._log_name, error)
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
        if problem.message != self._ended:
            self._ended = problem.message
            self.log.warning("%s: %s", self._log_name, problem.message)

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
        except TimedOut as error:
            self.log.warning("%s: %s", self._log_name, error)  # the place goes on with it
        except DodasError as error:
            raise _as_failure(error) from None

    # -- what the hub keeps -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what is to be known after a restart of the hub; all else stands at the place."""
        return {**super().get_state(), **({"ended": self._ended} if self._ended else {})}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what was known before."""
        super().load_state(state)
        self._ended = str(state.get("ended", ""))


def _as_failure(error: DodasError) -> web.HTTPError:
    """Return an error as the hub shows it to whoever started the notebook."""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, InvalidOption) else HTTPStatus.SERVICE_UNAVAILABLE
    words = in_words(Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy))
    failure = web.HTTPError(status, words)
    setattr(failure, "jupyterhub_message", words)  # noqa: B010 - what its pages show, which Tornado's class does not know
    return failure
