"""The objects of one kind, kept up to date by one list and one watch, for all who look at them.

The library has no informer for asyncio. This one is small: it holds what is, says what changed, and never gives up; whoever listens
looks again anyway, so nothing depends on seeing every change.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from jupyter_dodas.backends.kubernetes.api import Api, Object
from jupyter_dodas.backends.kubernetes.objects import newer
from jupyter_dodas.errors import DodasError, PlaceUnreachable

__all__ = ["Changed", "Informer"]

_log = logging.getLogger(__name__)

Changed = Callable[[Object, bool], None]
"""Is told of an object, and whether it is gone."""

_FIRST, _LONGEST = 0.1, 3.0
_REMEMBERED: Final = 1000


class Informer:
    """What is of one kind.

    Parameters
    ----------
    select
        What the list and the watch ask for: ``labelSelector``, ``fieldSelector``.
    changed
        Called on the loop, for every change that comes from the API server.
    """

    def __init__(self, api: Api, collection: str, select: Mapping[str, str], changed: Changed) -> None:
        self._api, self._collection, self._select, self._changed = api, collection, dict(select), changed
        self._objects: dict[str, Object] = {}
        # What we have seen the end of, though the API server has yet to say so: by uid.
        self._gone: set[str] = set()
        # What it has said the end of lately: an answer to a request of ours may come after that.
        self._late: deque[str] = deque(maxlen=_REMEMBERED)
        self._users = 0
        self._running: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()
        self.error: DodasError | None = None
        """Why it cannot be known now what is."""

    @property
    def live(self) -> bool:
        """Whether `objects` are kept up to date."""
        return self._running is not None and self._synced.is_set()

    @property
    def objects(self) -> Mapping[str, Object]:
        """All objects, by name."""
        return self._objects

    def note(self, thing: Object) -> None:
        """Take in what a request of our own has made, before the watch tells of it."""
        name = thing["metadata"]["name"]
        if thing["metadata"]["uid"] in self._late:
            return
        if name not in self._objects or newer(thing, self._objects[name]):
            self._objects[name] = thing

    def drop(self, thing: Object) -> None:
        """Take in that a request of our own has removed it."""
        if self._running is not None:
            self._gone.add(thing["metadata"]["uid"])
        known = self._objects.get(thing["metadata"]["name"])
        if known is not None and known["metadata"]["uid"] == thing["metadata"]["uid"]:
            del self._objects[thing["metadata"]["name"]]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Keep it up to date for as long as the context lasts; entered once all that is there is known.

        Raises
        ------
        PlaceUnreachable, MissingRights
            If it cannot be known.
        """
        self._users += 1
        if self._running is None:
            self._synced = asyncio.Event()
            self.error = None
            self._running = asyncio.create_task(self._run(), name=f"informer of {self._collection}")
        try:
            await self._synced.wait()
            if self.error is not None:
                raise self.error
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._running
                self._running = None
                self._objects, self._gone = {}, set()

    async def _run(self) -> None:
        pause, version = _FIRST, ""
        while True:
            try:
                version = version or await self._list()
                self.error = None
                self._synced.set()
                async for reached in self._watch(version):
                    version, pause = reached, _FIRST
                if version != "":
                    continue  # the server ends every watch after a while
            except DodasError as error:
                again = self.error is not None
                _log.log(logging.DEBUG if again else logging.WARNING, "%s are not seen now: %s", self._collection, error)
                self.error = error
                self._synced.set()  # those who wait for it are told
                version = ""
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            pause = min(pause * 2, _LONGEST)

    async def _list(self) -> str:
        answer = await self._api.get(self._collection, **self._select)
        if not answer.ok:
            raise PlaceUnreachable("The Kubernetes cluster cannot tell what is there", cause=answer.message, remedy="Try again.")
        found = {thing["metadata"]["name"]: thing for thing in answer.body["items"]}
        before, self._objects = self._objects, {n: t for n, t in found.items() if t["metadata"]["uid"] not in self._gone}
        if self._synced.is_set():
            for name, thing in before.items():
                if name not in found or found[name]["metadata"]["uid"] != thing["metadata"]["uid"]:
                    self._late.append(thing["metadata"]["uid"])
                    self._changed(thing, True)
            for name, thing in self._objects.items():
                if name not in before or newer(thing, before[name]):
                    self._changed(thing, False)
        return str(answer.body["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> AsyncGenerator[str, None]:
        """Take in changes until the server ends the watch; yield the version reached. An empty one is to be listed anew."""
        timeout = random.randint(240, 300)  # noqa: S311 - so that not all come back at once
        query = {**self._select, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": timeout}
        lines = self._api.lines(self._collection, resourceVersion=version, **query)
        async with contextlib.aclosing(lines):
            async for line in lines:
                event = json.loads(line)
                thing: Object = event["object"]
                if event["type"] == "ERROR":
                    _log.debug("The watch of %s is made anew: %s", self._collection, thing.get("message"))
                    yield ""
                    return
                version = thing["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._take(thing, gone=event["type"] == "DELETED")
                yield version

    def _take(self, thing: Object, *, gone: bool) -> None:
        name, uid = thing["metadata"]["name"], thing["metadata"]["uid"]
        known = self._objects.get(name)
        if gone:
            self._late.append(uid)
            if known is not None and known["metadata"]["uid"] == uid:
                del self._objects[name]
            if uid in self._gone:
                self._gone.discard(uid)
                return
        elif uid in self._gone:
            return
        elif known is None or newer(thing, known):
            self._objects[name] = thing
        self._changed(thing, gone)
