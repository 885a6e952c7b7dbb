"""The notebooks of a hub, as clusters: launched or adopted, followed, ended. Nothing here knows JupyterHub.

The hub may be killed at any moment, and its database then knows less than the place where the notebook runs. So the name of a
notebook follows from its user and its server's name, and the record at the place says what is.
"""

import asyncio
import base64
import hashlib
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from jupyter_dodas import registry
from jupyter_dodas.aio import Cluster
from jupyter_dodas.aio.cluster import Follower
from jupyter_dodas.backends.base import Backend
from jupyter_dodas.errors import DamagedRecord, LaunchFailed, NotFound, NotYours, TimedOut
from jupyter_dodas.limits import NOTHING, Share, held
from jupyter_dodas.services.notebook.handover import TOKEN, VARIABLES, of_bytes, to_bytes
from jupyter_dodas.services.notebook.service import NotebookOptions, NotebookService
from jupyter_dodas.spec import ClusterSpec, Intent, Phase, Record

__all__ = ["MODULES", "SAFE_LENGTH", "Notebook", "digest", "notebook_name", "safe_name"]

MODULES: Final = ("jupyter_dodas.services.notebook.service", "jupyter_dodas.services.notebook.process")
"""What is imported wherever a notebook is started."""

_SERVICE: Final = NotebookService()
SAFE_LENGTH: Final = 24
"""Letters of a safe name: with ``jupyter-`` before it, it is still the name of an account."""
_DIGEST: Final = 12
"""Letters of a digest, of 5 bits each: nobody finds a second name with the same one."""
_DIGESTED: Final = re.compile(rf"-[a-z2-7]{{{_DIGEST}}}$")

_GOING: Final = frozenset({Phase.STOPPING, Phase.STOPPED, Phase.FAILED})


def safe_name(*words: str) -> str:
    """Return one name for these words, fit for a cluster: a single word as it is if it can be; else a digest tells it apart.

    People choose their user names, so one that looks as if it had a digest gets another: it could be what somebody else has.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(filter(None, words)).lower()).strip("-")
    if slug == words[0] and not any(words[1:]) and len(slug) <= SAFE_LENGTH and not _DIGESTED.search(slug):
        return slug
    return f"{slug[: SAFE_LENGTH - _DIGEST - 1].strip('-')}-{digest(*words)}".strip("-")


def digest(*words: str) -> str:
    """Return what tells these words from any others."""
    return base64.b32encode(hashlib.sha256("\0".join(words).encode()).digest()).decode().lower()[:_DIGEST]


def notebook_name(user: str, server: str = "") -> str:
    """Return the name of the cluster that is a user's server."""
    return f"notebook-{safe_name(user, server)}"


class Notebook:
    """One notebook server, held by its name. What it tells it has just read.

    Parameters
    ----------
    place
        Where it runs.
    owner
        The user, as the hub knows them.
    """

    def __init__(self, place: Backend, name: str, owner: str) -> None:
        self._place, self.name, self._owner = place, name, owner

    async def record(self) -> Record | None:
        """Read what was asked and what is; None if there is no such notebook.

        Raises
        ------
        NotYours
            If it is somebody else's.
        """
        try:
            record = await self._place.store.get(self.name)
        except NotFound:
            return None
        if record.spec.owner != self._owner or record.spec.kind != _SERVICE.kind:
            raise NotYours(
                f"There is another {record.spec.kind} {self.name!r}",
                cause=f"It belongs to {record.spec.owner}.",
                remedy="An administrator of the hub has to stop or rename one of them.",
            )
        return record

    async def start(self, options: NotebookOptions, variables: Mapping[str, str], follower: Follower) -> Mapping[str, str]:
        """See that it runs with these options and variables, and wait until it answers. Returns the variables that it has.

        One that is there and differs in nothing but the token is adopted, token and all; any other is ended first. Cancelled, it
        asks for the end of what is half made.

        Raises
        ------
        DodasError
            See `aio.launch`. Of a record that is damaged nothing is left afterwards, so that starting it again does.
        """
        asked = self._place.check(_SERVICE, options).model_dump(mode="json")
        try:
            found = await self._readable()
            handed = None if found is None else await self._adopted(found, asked, variables)
            if found is None or handed is None:
                await self.end()
                found, handed = await self._create(asked, variables), variables
            await self._place.wake(self.name)
            # For how long is for the hub to say, which cancels this.
            await Cluster(self._place, found).wait(timeout=float("inf"), follower=follower)
        except asyncio.CancelledError:
            await self.dismiss()
            raise
        return handed

    async def _readable(self) -> Record | None:
        try:
            return await self.record()
        except DamagedRecord as error:
            await self._remove_damaged()
            raise LaunchFailed(
                "What was noted of your last notebook is damaged, and was removed",
                cause=f"{error.cause}. Your files are as they were.",
                remedy="Start it again.",
            ) from error

    async def _remove_damaged(self) -> None:
        await self._place.store.remove(self.name, "")
        await self._place.wake(self.name)  # whatever still runs in its name is ended

    async def _adopted(self, found: Record, asked: Mapping[str, object], variables: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the variables of what is there, if that will do. If a hub was killed before it handed them over, do it now."""
        if found.spec.intent is Intent.STOP or found.status.phase in _GOING or dict(found.spec.options) != dict(asked):
            return None
        handed = await self.handed()
        if handed is None:
            await self._hand_over(variables)
            return variables
        return handed if {**handed, TOKEN: ""} == {**variables, TOKEN: ""} else None

    async def _create(self, asked: Mapping[str, object], variables: Mapping[str, str]) -> Record:
        await self._place.wake(expect=_SERVICE.preload)
        spec = {"name": self.name, "uid": uuid.uuid4().hex[:12], "kind": _SERVICE.kind, "owner": self._owner}
        found = await self._place.store.create(ClusterSpec.model_validate({**spec, "created": time.time(), "options": asked}))
        await self._hand_over(variables)
        return found

    async def _hand_over(self, variables: Mapping[str, str]) -> None:
        await self._place.store.keep_secrets(self.name, {VARIABLES: to_bytes(variables)})

    async def handed(self) -> Mapping[str, str] | None:
        """Return the variables that were handed over to it; None if none were."""
        data = (await self._place.store.secrets(self.name)).get(VARIABLES)
        return of_bytes(data) if data else None

    async def entrust(self, secrets: Mapping[str, bytes]) -> None:
        """Give the place secrets of its own, for all that runs there; see `Store.entrust`."""
        for name, secret in secrets.items():
            await self._place.store.entrust(name, secret)

    async def address(self, *, timeout: float) -> str | None:
        """Return where it answers from here, waiting for that if it is being started; None if it does not come up.

        Parameters
        ----------
        timeout
            Seconds to wait.
        """
        record = await self.record()
        if record is None:
            return None
        with suppress(NotFound, TimedOut):
            await Cluster(self._place, record).wait(timeout=timeout)
        record = await self.record()
        return None if record is None else (await self._place.connection(record)).addresses.get("http")

    async def beside(self) -> Share:
        """Return what the clusters at its place hold that its user has launched."""
        records = await self._place.store.list()
        return sum((held(record.status) for record in records if not registry.is_hidden(record.spec.kind)), NOTHING)

    async def end(self, *, timeout: float = 60) -> None:
        """End it, and wait until it is gone.

        Raises
        ------
        TimedOut
        """
        try:
            record = await self.record()
        except DamagedRecord:
            return await self._remove_damaged()
        if record is not None:
            await Cluster(self._place, record).stop(timeout=timeout)
        return None

    async def dismiss(self) -> None:
        """Ask for its end, and leave it to the place: nobody waits."""
        with suppress(TimedOut):
            await self.end(timeout=0)
