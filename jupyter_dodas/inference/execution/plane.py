"""The one data plane under every protocol: names become versions in use, and rows become predictions."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final, Protocol

from jupyter_dodas.errors import BadInput, DodasError, ModelNotFound
from jupyter_dodas.inference.execution.batcher import ROWS, Request, Waiter
from jupyter_dodas.inference.execution.frames import Buffer, Shapes, row_bytes, sizes
from jupyter_dodas.inference.execution.hosts import Here, Host
from jupyter_dodas.inference.execution.live import Bounds, Live
from jupyter_dodas.inference.replicas.joined import Replicas
from jupyter_dodas.inference.versions.store import State, Store

__all__ = ["Asker", "Outcome", "Plane"]

logger = logging.getLogger(__name__)

_CHUNK: Final = 256 << 10
"""Bytes of the pieces into which large bodies are cut: large enough to cost nothing, small enough to let others in between."""
_LOOK: Final = 0.5


class Asker(Protocol):
    """What the plane needs to know of a caller."""

    @property
    def name(self) -> str:
        """Return who it is."""
        ...

    @property
    def administrator(self) -> bool:
        """Return whether all versions may be seen."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of rows.

    Parameters
    ----------
    parts
        Of each output, in the order of the signature, its bytes: C order, little-endian.
    """

    rows: int
    parts: Sequence[Buffer]
    shapes: Shapes
    version: str


class Plane:
    """Versions in use, and the way to them.

    Parameters
    ----------
    resident
        Versions that have workers at the same time; those used least recently go.
    memory
        Bytes that a worker may take.
    here
        Where workers run while no replica is there; by default in processes beside this one.
    """

    def __init__(
        self, store: Store, *, bounds: Bounds | None = None, resident: int = 10, memory: int = 2 << 30, here: Host | None = None
    ) -> None:
        self._store, self._bounds, self._resident = store, bounds or Bounds(), resident
        self._here: Host = here or Here(memory)
        self.replicas = Replicas(memory, self._hosts_changed)
        self._published: dict[str, Live] = {}
        self._versions: dict[tuple[str, str], Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._forgotten = 0
        self._leaving: list[tuple[str, str | None]] = []
        """What is being deleted."""

    async def start(self) -> None:
        """Begin to follow the store."""
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future
        self.refresh()
        self._do(self._follow())

    async def close(self) -> None:
        """End all workers, and let replicas go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(live.stop() for live in self._versions.values()))
        await self.replicas.close()

    # Names.

    def resolve(self, model: str, version: str | None, caller: Asker) -> Live:
        """Return the published version of a model, or this one.

        Raises
        ------
        ModelNotFound
            Also for a version that is not published, unless it is the caller's or the caller administers the endpoint.
        """
        live = self._published.get(model) if version is None else self._versions.get((model, version))
        if live is None:
            live = self._find(model, version)
        if live.open or caller.administrator or caller.name == live.manifest.lineage.owner:
            return live
        raise ModelNotFound(model, version)

    def refresh(self) -> None:
        """Look at the store again: call it after any change of it."""
        states = self._store.models()
        for name in self._published.keys() - states.keys():
            del self._published[name]
        for name, state in states.items():
            if state.published is None or self._leaves(name, state.published):
                self._published.pop(name, None)
            elif (live := self._published.get(name)) is None or live.version != state.published:
                try:
                    self._published[name] = self._live(name, state.published)
                except DodasError as error:  # it was deleted meanwhile, or is damaged: others are not concerned
                    self._published.pop(name, None)
                    logger.warning("%s cannot be served: %s", name, error)
        for (name, version), live in self._versions.items():
            live.open = name in states and version in states[name].history

    def _find(self, model: str, version: str | None) -> Live:
        self.refresh()
        if version is not None:
            live = self._live(model, version)
            self.refresh()
            return live
        if (found := self._published.get(model)) is None:
            raise ModelNotFound(model, known=self._published)
        return found

    def _live(self, model: str, version: str) -> Live:
        if (live := self._versions.get((model, version))) is None:
            if self._leaves(model, version):
                raise ModelNotFound(model, version)
            manifest = self._store.manifest(model, version)
            live = Live(manifest, partial(self._store.folder, model, version), self.hosts, self._bounds)
            live.woken = self._make_room
            self._versions[model, version] = live
        return live

    def _leaves(self, model: str, version: str) -> bool:
        return bool(self._leaving) and ((model, version) in self._leaving or (model, None) in self._leaving)

    # Predictions.

    def submit(self, live: Live, row: bytes) -> "asyncio.Future[bytes]":
        """Predict one row of a model with one input and one output; the errors of `infer` come through the future."""
        future = self._future()
        began = monotonic()
        try:
            if len(row) != live.row_bytes or not live.simple:
                raise BadInput(f"{live.model} takes rows of {live.row_bytes} bytes, this one has {len(row)}")
            live.admit(1, live.row_bytes)
            live.put(Request(future, 1, (row,), live.row_bytes, began, began + live.bounds.timeout))
        except DodasError as error:
            future.set_exception(error)
        return future

    def hand(self, live: Live, row: bytes, waiter: Waiter) -> None:
        """Predict one row, as `submit` does, for somebody who waits without a loop in between. Raises what `infer` does at once."""
        if len(row) != live.row_bytes or not live.simple:
            raise BadInput(f"{live.model} takes rows of {live.row_bytes} bytes, this one has {len(row)}")
        began = monotonic()
        live.admit(1, live.row_bytes)
        live.put(Request(waiter, 1, (row,), live.row_bytes, began, began + live.bounds.timeout))

    async def infer(
        self, live: Live, rows: int, parts: Sequence[Buffer], shapes: Shapes | None = None, *, timeout: float
    ) -> Outcome:
        """Predict rows.

        Parameters
        ----------
        parts
            Of each input, in the order of the signature, its bytes: C order, little-endian.
        shapes
            Of each input; needed only where the model is not rowwise.
        timeout
            Seconds.

        Raises
        ------
        BadInput, Busy, ModelBroken, ModelNotFound, TimedOut
        """
        views = [memoryview(part).cast("B") for part in parts]
        inputs, outputs = live.manifest.signature.inputs, live.manifest.signature.outputs
        given = () if live.rowwise else shapes or ()
        expected = sizes(inputs, rows, given) if live.rowwise or len(given) == len(inputs) else []
        if [len(view) for view in views] != expected or (live.rowwise and rows < 1):
            raise BadInput(
                f"This is not what {live.model} takes",
                cause=f"{rows} rows take {expected} bytes, given were {[len(view) for view in views]}.",
                remedy="Look at its signature.",
            )
        size = sum(expected)
        large = rows >= ROWS or size > _CHUNK
        live.admit(rows, size, large=large)
        began = monotonic()
        futures: list[asyncio.Future[Any]] = []
        try:
            pieces = self._cut(live, rows, views)
            for count, piece in pieces:
                futures.append(future := self._future())
                request = Request(future, count, piece, sum(map(len, piece)), began, began + timeout, given, large)
                request.weight = int(len(futures) == len(pieces))
                live.put(request)
            results = [await future for future in futures]
        except BaseException:
            for future in futures:
                # Whoever is answered later finds that nobody waits.
                if not future.cancel() and not future.cancelled():
                    future.exception()
            raise
        if live.simple:
            joined: list[Buffer] = [results[0] if len(results) == 1 else b"".join(results)]
        else:
            joined = [
                column[0] if len(column) == 1 else b"".join(column) for column in zip(*(one[0] for one in results), strict=True)
            ]
        if live.rowwise:
            made: Shapes = [(rows, *(length or 0 for length in tensor.shape[1:])) for tensor in outputs]
        else:
            made = results[0][1]
        return Outcome(rows, joined, made, live.version)

    def _cut(self, live: Live, rows: int, parts: Sequence[memoryview]) -> Sequence[tuple[int, Sequence[memoryview]]]:
        """Cut rows into pieces, none of them larger than it must be."""
        step = _CHUNK // max(1, live.row_bytes, live.row_bytes_out) if live.rowwise else rows
        if rows <= (step := max(1, step)):
            return [(rows, parts)]
        widths = [row_bytes(tensor) for tensor in live.manifest.signature.inputs]
        cuts = [(start, min(rows, start + step)) for start in range(0, rows, step)]
        together = list(zip(parts, widths, strict=True))
        return [(end - start, [part[start * width : end * width] for part, width in together]) for start, end in cuts]

    # Versions.

    async def prepare(self, model: str, version: str) -> None:
        """Have a worker of a version ready, so that nobody waits for it when it is published.

        Raises
        ------
        ModelNotFound, ModelBroken
        """
        await self._live(model, version).warm()

    async def publish(self, model: str, version: str) -> State:
        """Publish a version once it is ready. Requests under way end on the version that they began with."""
        await self.prepare(model, version)
        state = await asyncio.to_thread(self._store.publish, model, version)
        self.refresh()
        return state

    async def rollback(self, model: str) -> State:
        """Publish the version that was published before."""
        state = await asyncio.to_thread(self._store.rollback, model)
        self.refresh()
        return state

    async def delete(self, model: str, version: str | None = None) -> None:
        """Delete a version or a model, once what is under way there has been answered. Nobody finds it from now on.

        Raises
        ------
        ModelNotFound
        """
        self._leaving.append((model, version))
        try:
            gone = [key for key in self._versions if key[0] == model and version in {None, key[1]}]
            lives = [self._versions.pop(key) for key in gone]
            self.refresh()
            await asyncio.gather(*(_end(live) for live in lives))
            self._forgotten += sum(live.traffic.requests for live in lives)
            await asyncio.to_thread(self._store.delete, model, version)
        finally:
            self._leaving.remove((model, version))
            self.refresh()

    # Where workers run.

    def hosts(self) -> Sequence[Host]:
        """Return where workers run now: in replicas, or here while there are none."""
        return self.replicas.hosts or [self._here]

    def _hosts_changed(self) -> None:
        for live in self._versions.values():
            live.follow()

    def status(self) -> Mapping[str, Any]:
        """Return what is known of each version in use."""
        lives = [live.status() for live in self._versions.values()]
        here = sum(len(worker.under_way) for live in self._versions.values() if (worker := live.workers.get(self._here.name)))
        return {
            "models": lives,
            "hosts": [{"name": self._here.name, "state": "ready", "in_flight": here}, *self.replicas.states()],
        }

    def load(self) -> tuple[int, int]:
        """Return how many requests have been answered, and how many wait or are under way. Cheap."""
        lives = self._versions.values()
        return self._forgotten + sum(live.traffic.requests for live in lives), sum(
            live.in_flight + len(live.queue) for live in lives
        )

    def _make_room(self, new: Live) -> None:
        """Stop the version that was used least recently, if there are too many."""
        warm = sorted(
            (live for live in self._versions.values() if live.warm_or_warming and live is not new), key=lambda live: live.used
        )
        for live in warm[: max(0, len(warm) + 1 - self._resident)]:
            if live.idle:
                self._do(live.stop())

    async def _follow(self) -> None:
        """Follow what other processes change in the store."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                self.refresh()
                gone = await asyncio.to_thread(self._deleted, list(self._versions))
            except (DodasError, OSError) as error:
                logger.warning("The store cannot be looked at: %s", error)
                continue
            lives = [live for key in gone if (live := self._versions.pop(key, None)) is not None]
            self._forgotten += sum(live.traffic.requests for live in lives)
            for live in lives:
                self._do(_end(live))

    def _deleted(self, versions: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        found = []
        for model, version in versions:
            try:
                self._store.manifest(model, version)
            except ModelNotFound:
                found.append((model, version))
        return found

    def _do(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _end(live: Live) -> None:
    live.gone = True
    await live.drain()
    await live.stop()
