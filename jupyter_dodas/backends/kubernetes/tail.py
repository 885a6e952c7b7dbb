"""Logs that go on: a stream of the API server for each pod, taken up again where it broke off."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from typing import Final

from jupyter_dodas.backends.base import InstanceState, Line
from jupyter_dodas.backends.kubernetes.api import Api, Object
from jupyter_dodas.backends.kubernetes.logs import Logs
from jupyter_dodas.backends.kubernetes.objects import INSTANCE, UID, name_of
from jupyter_dodas.backends.kubernetes.pods import running
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.errors import NotFound, PlaceUnreachable

__all__ = ["tail"]

_LOOK: Final = 1.0
"""Seconds between two looks for pods that are new."""

_AHEAD: Final = 10_000
"""Lines that wait for the reader, while the API server keeps the rest."""

_LAST_WORDS: Final = 5.0
"""Seconds in which a log must have come to its end, when its cluster is gone."""


async def tail(
    api: Api, store: KubernetesStore, cluster: str, wanted: Callable[[str], bool], *, lines: int
) -> AsyncGenerator[Sequence[Line], None]:
    """See `Backend.tail`."""
    said: asyncio.Queue[Line] = asyncio.Queue(_AHEAD)
    reading = asyncio.create_task(_Tail(api, store, wanted, said).read(cluster, lines), name=f"logs of {cluster}")
    try:
        while not reading.done() or not said.empty():
            first = asyncio.create_task(said.get())
            await asyncio.wait({first, reading}, return_when=asyncio.FIRST_COMPLETED)
            if first.done():
                yield [first.result(), *(said.get_nowait() for _ in range(said.qsize()))]
            else:
                first.cancel()
        reading.result()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Tail:
    """Writes the lines of a cluster's pods into a queue, in the order in which they arrive."""

    def __init__(self, api: Api, store: KubernetesStore, wanted: Callable[[str], bool], said: "asyncio.Queue[Line]") -> None:
        self._api, self._store, self._logs = api, store, Logs(api, store)
        self._wanted, self._said = wanted, said
        self._streams: dict[str, asyncio.Task[None]] = {}
        # When the last line of a pod was written, by its uid: from there its stream is taken up again.
        self._heard: dict[str, str] = {}
        # Pods that have ended and were read to their ends.
        self._done: set[str] = set()

    async def read(self, cluster: str, lines: int) -> None:
        """Read the last lines of what is there, and then all that comes, until the cluster is gone."""
        try:
            with suppress(NotFound):
                await self._read(await self._store.record(cluster), lines)
            if self._streams:
                await asyncio.wait(self._streams.values(), timeout=_LAST_WORDS)
        finally:
            for stream in self._streams.values():
                stream.cancel()
            await asyncio.gather(*self._streams.values(), return_exceptions=True)

    async def _read(self, record: Object, lines: int) -> None:
        for name, text in (await self._logs.kept(record)).items():
            for line in text.splitlines()[-lines:] if self._wanted(name) else ():
                await self._said.put((name, line))
        self._see(await self._logs.pods(record), lines)
        while True:
            await asyncio.sleep(_LOOK)
            with suppress(PlaceUnreachable):
                now = await self._store.record(name_of(record))
                if name_of(now, UID) != name_of(record, UID):
                    return
                self._see(await self._logs.pods(record))

    def _see(self, pods: Sequence[Object], lines: int | None = None) -> None:
        """Have a stream for each pod that has something to say."""
        for pod in pods:
            uid, name, now = pod["metadata"]["uid"], name_of(pod, INSTANCE), running(pod)
            stream = self._streams.get(uid)
            if self._wanted(name) and not now.pending and uid not in self._done and (stream is None or stream.done()):
                self._streams[uid] = asyncio.create_task(self._stream(pod, name, lines), name=f"log of {name}")

    async def _stream(self, pod: Object, name: str, lines: int | None) -> None:
        uid = pod["metadata"]["uid"]
        query: dict[str, object] = {"follow": "true", "timestamps": "true"}
        if uid in self._heard:
            query["sinceTime"] = self._heard[uid]
        elif lines is not None:
            query["tailLines"] = lines
        with suppress(PlaceUnreachable):
            async for line in self._api.lines(f"pods/{pod['metadata']['name']}/log", **query):
                if line.startswith(b"{"):
                    return  # a refusal, which has no time before it: the container has not started
                # Times of one kubelet have one length, so they compare as text.
                time, _, text = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
                if time > self._heard.get(uid, ""):
                    self._heard[uid] = time
                    await self._said.put((name, text))
            if running(pod).state is InstanceState.ENDED:
                self._done.add(uid)
