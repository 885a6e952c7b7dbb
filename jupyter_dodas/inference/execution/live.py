"""One version of a model in use: what waits for it, its workers, and what happens when they end or do not answer."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic  # the clock of uvloop's loop has milliseconds only
from typing import Any, Final

import msgspec

from jupyter_dodas.errors import DodasError, ModelBroken, ModelNotFound, TimedOut
from jupyter_dodas.inference.execution.answers import hand_out, hand_out_flawed, is_simple, not_finite
from jupyter_dodas.inference.execution.batcher import Batch, Queue, Request
from jupyter_dodas.inference.execution.frames import FLAWED, RESULT, Failure, row_bytes
from jupyter_dodas.inference.execution.hosts import Host
from jupyter_dodas.inference.execution.traffic import Traffic
from jupyter_dodas.inference.execution.workers import Answer, Worker
from jupyter_dodas.inference.records import Manifest

__all__ = ["Bounds", "Live"]

logger = logging.getLogger(__name__)

_TRIES: Final = 2
"""Workers that a request may cost."""
_TICK: Final = 0.1
_PAUSE: Final = 5.0
"""Seconds between two workers, at most."""


@dataclass(frozen=True)
class Bounds:
    """What one version may take.

    Parameters
    ----------
    rows, size
        Rows and bytes that may wait.
    timeout
        Seconds for one row, waiting included.
    start
        Seconds in which a worker must be ready.
    deaths
        Deaths of workers in a row, without an answer in between, after which the version rests.
    rest
        Seconds that it rests.
    """

    rows: int = 1 << 20
    size: int = 256 << 20
    timeout: float = 30.0
    start: float = 120.0
    deaths: int = 5
    rest: float = 60.0


class Live:
    """A version in use.

    Parameters
    ----------
    folder
        Finds its folder; called in a thread.
    hosts
        Tells where its workers run now.
    """

    def __init__(self, manifest: Manifest, folder: Callable[[], Path], hosts: Callable[[], Sequence[Host]], bounds: Bounds) -> None:
        signature = manifest.signature
        self.manifest, self.model, self.version = manifest, manifest.model, manifest.version
        self.open = False
        """Whether everybody may call it, not its owner alone."""
        self.rowwise = signature.rowwise
        self.simple = is_simple(signature)
        """Whether results are the bytes of the one output, not parts and shapes."""
        self.row_bytes = sum(map(row_bytes, signature.inputs)) if self.rowwise else 0
        self.row_bytes_out = sum(map(row_bytes, signature.outputs)) if self.rowwise else 0
        self.bounds, self.traffic = bounds, Traffic()
        self.queue = Queue(rows=bounds.rows, size=bounds.size, together=self.rowwise)
        self.workers: dict[str, Worker] = {}
        self.used = 0.0
        self.gone = False
        """Whether it is deleted: what is under way is answered, and nothing else is taken."""
        self.broken: ModelBroken | None = None
        """Why nothing is sent to it for now."""
        self.woken: Callable[[Live], None] = lambda _: None
        """Called when a worker is needed and there is none."""
        self._folder, self._hosts = folder, hosts
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._settled, self._quiet = asyncio.Event(), asyncio.Event()
        self._flushing = False
        self._watch: asyncio.TimerHandle | None = None
        self._awake = False
        self._deaths, self._rests_until = 0, 0.0

    # Requests.

    def admit(self, rows: int, size: int, *, large: bool = False) -> None:
        """See that so much more can be asked of it.

        Raises
        ------
        Busy, ModelBroken
        ModelNotFound
            If it has been deleted since it was found.
        """
        if self.gone:
            raise ModelNotFound(self.model, self.version)
        if self.broken is not None and monotonic() < self._rests_until:
            raise self.broken
        self.queue.admit(rows, size, large=large)

    def put(self, request: Request) -> None:
        """Have a request wait, and see that it is answered."""
        self.queue.put(request)
        if not self._flushing:
            # At the end of this round of the loop, so that what came in together goes out together.
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what waits to workers that have room for it."""
        self._flushing = False
        if self._watch is None:
            self._watch = self._loop.call_later(_TICK, self._tick)
        if not self.workers:
            self.wake()
            return
        workers = self.workers.values()
        while True:
            worker = min(workers, key=_load)
            if not worker.has_room or (batch := self.queue.take()) is None:
                break
            worker.send(batch)
        if not self._quiet.is_set() and self.idle:
            self._quiet.set()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self.queue and not any(worker.under_way for worker in self.workers.values())

    @property
    def in_flight(self) -> int:
        """Requests that workers have."""
        return sum(len(batch.requests) for worker in self.workers.values() for batch in worker.under_way)

    def answered(self, worker: Worker, batch: Batch, answer: Answer) -> None:
        """See `Owner`."""
        requests = batch.requests
        if answer.kind in {RESULT, FLAWED}:
            self._deaths, self.used = 0, monotonic()
            if answer.kind == RESULT:
                hand_out(self.manifest.signature, requests, answer, simple=self.simple, width=self.row_bytes_out)
            else:
                for request, flaws in hand_out_flawed(self.manifest.signature, requests, answer):
                    self._fail([request], not_finite(self.model, flaws))
            middle = requests[len(requests) // 2]
            count = middle.weight if middle.large else len(requests)
            self.traffic.count(count, batch.rows, self.used - middle.began, self.used)
        elif len(requests) > 1:
            self.queue.put_again(batch)  # each by itself, since one of them may have spoilt it for all
        else:
            failure = msgspec.json.decode(bytes(answer.body).rstrip(b"\0"), type=Failure)
            self._fail(requests, ModelBroken(failure.message, cause=failure.cause, remedy="Look at the input, or at the model."))
        if worker.draining and not worker.under_way:
            self.follow()
        self.flush()

    def _fail(self, requests: Sequence[Request], error: DodasError) -> None:
        self.traffic.fail(sum(request.weight for request in requests))
        for request in requests:
            if not request.future.done():
                request.future.set_exception(error)

    # What does not go well.

    def lost(self, worker: Worker, batches: Sequence[Batch]) -> None:
        """See `Owner`."""
        for name in [name for name, other in self.workers.items() if other is worker]:
            del self.workers[name]
        for batch in batches[:0:-1]:
            self.queue.put_again(batch)
        for batch in batches[:1]:
            for request in batch.requests:
                request.tries += 1
            hopeless = [request for request in batch.requests if request.tries >= _TRIES]
            self._fail(hopeless, _killer(self.model, self.version))
            self.queue.put_again(Batch([request for request in batch.requests if request.tries < _TRIES], 0))
        if self.queue:
            self.flush()

    def _tick(self) -> None:
        """See whether anybody has waited too long, as long as anybody waits."""
        self._watch = None
        now, waiting = monotonic(), False
        for worker in list(self.workers.values()):
            for batch in list(worker.under_way):
                waiting = True
                self._expire(batch.requests, now)
            if worker.under_way and now - (batch := worker.under_way[0]).began > max(
                one.deadline - one.began for one in batch.requests
            ):
                logger.warning("A worker of %s %s did not answer in time and is killed", self.model, self.version)
                worker.kill()
        for request in self.queue:
            waiting = True
            self._expire([request], now)
        if waiting:
            self._watch = self._loop.call_later(_TICK, self._tick)

    def _expire(self, requests: Sequence[Request], now: float) -> None:
        late = [request for request in requests if request.deadline < now and not request.future.done()]
        if late:
            self._fail(late, _late(self.model, late[0].deadline - late[0].began, starts=not self.workers))

    # Workers.

    def wake(self) -> None:
        """See that there is a worker on each host, or soon will be."""
        if not self._keepers:
            self.broken, self._deaths = None, 0
            self._settled.clear()
            self.woken(self)
            self._awake = True
            self.follow()

    def follow(self) -> None:
        """Have workers where they are to run now: call it when hosts have come or gone. Others end when these are ready."""
        if not self._awake:
            return
        wanted = {host.name: host for host in self._hosts()}
        for name, host in wanted.items():
            if name not in self._keepers:
                self._keepers[name] = self._loop.create_task(self._keep(host))
        elsewhere = any(name in wanted and not worker.draining for name, worker in self.workers.items())
        for name in self._keepers.keys() - wanted.keys():
            if (worker := self.workers.get(name)) is None or worker.dead:
                self._keepers[name].cancel()
            elif elsewhere:
                worker.draining = True
                if not worker.under_way:
                    self._keepers[name].cancel()
        for name in wanted:
            if (worker := self.workers.get(name)) is not None:
                worker.draining = worker.dead

    @property
    def warm_or_warming(self) -> bool:
        """Whether it has a worker, or will."""
        return self._awake

    async def warm(self) -> None:
        """Return once a worker is ready.

        Raises
        ------
        ModelBroken
        """
        self.admit(0, 0)
        self.wake()
        await self._settled.wait()
        if self.broken is not None:
            raise self.broken

    async def drain(self) -> None:
        """Return once everybody is answered, or had to be by now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.bounds.timeout):
                while not self.idle:
                    self._quiet.clear()
                    await self._quiet.wait()

    async def stop(self) -> None:
        """End its workers. What waits fails."""
        self._awake = False
        keepers = list(self._keepers.values())
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self._keepers.clear()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if waiting := self.queue.clear():
            self._fail(waiting, ModelBroken(f"{self.model} {self.version} was stopped", remedy="Try again."))

    async def _keep(self, host: Host) -> None:
        """Keep a worker on a host, until it dies too often or is wanted there no more."""
        pause = 0.0
        try:
            while any(host is wanted for wanted in self._hosts()):
                why = await self._one_life(host)
                logger.warning("A worker of %s %s ended: %s", self.model, self.version, why)
                if self._deaths >= self.bounds.deaths:
                    self._give_up(why)
                    return
                # The first death after answers may have been bad luck: nobody is to wait for that.
                pause = 0.0 if self._deaths == 1 else min(_PAUSE, 0.1 + 2 * pause)
                await asyncio.sleep(pause)
        finally:
            if self._keepers.get(host.name) is asyncio.current_task():
                del self._keepers[host.name]
                # What is wanted may have changed while it ended.
                self._loop.call_soon(self.follow)

    async def _one_life(self, host: Host) -> str:
        """Have a worker, from its start to its end, and return how it ended."""
        worker = None
        try:
            folder = await asyncio.to_thread(self._folder)
            async with host.worker(self.manifest, folder, self) as worker:
                async with asyncio.timeout(self.bounds.start):
                    await asyncio.shield(worker.ready)
                self.workers[host.name] = worker
                self._settled.set()
                self.follow()
                self.flush()
                try:
                    await asyncio.shield(worker.ended)
                finally:
                    if self.workers.get(host.name) is worker:
                        del self.workers[host.name]
        except (ChildProcessError, DodasError) as error:  # the engine or the store refuses it: the next time, it would too
            self._deaths = self.bounds.deaths
            return str(error)
        except TimeoutError:
            why = f"It was not ready in {self.bounds.start:g} s."
        except OSError as error:
            why = str(error)
        else:
            why = ""
        # What keeps a host from starting one says nothing about the model.
        self._deaths += worker is not None
        return f"{why} {worker.how}".strip() if worker is not None else why

    def _give_up(self, why: str) -> None:
        self._rests_until = monotonic() + self.bounds.rest
        self.broken = ModelBroken(
            f"{self.model} {self.version} does not run: nothing is sent to it for {self.bounds.rest:g} s",
            cause=why,
            remedy="Publish another version, or roll back.",
        )
        self._awake = False
        for keeper in self._keepers.values():
            if keeper is not asyncio.current_task():
                keeper.cancel()
        self._fail(self.queue.clear(), self.broken)
        self._settled.set()

    def status(self) -> Mapping[str, Any]:
        """Return what is known of its traffic."""
        now = monotonic()
        p50, p99 = self.traffic.quantiles(now, 0.5, 0.99)
        return {
            "model": self.model,
            "version": self.version,
            "state": "broken" if self.broken else "ready" if self.workers else "starting" if self._keepers else "cold",
            "requests": self.traffic.requests,
            "failures": self.traffic.failures,
            "rows": self.traffic.rows,
            "per_second": self.traffic.per_second(now),
            "p50_ms": p50 * 1e3,
            "p99_ms": p99 * 1e3,
            "in_flight": self.in_flight,
            "queued": len(self.queue),
        }


def _allowed(batch: Batch) -> float:
    """Return the seconds that a worker has for a batch: those that its most patient request had in all."""
    return max(request.deadline - request.began for request in batch.requests)


def _load(worker: Worker) -> tuple[bool, int, int]:
    return worker.draining, len(worker.under_way), worker.rows


def _killer(model: str, version: str) -> ModelBroken:
    return ModelBroken(
        f"{model} {version} ended while it worked on this, twice",
        cause="Its process crashed, or took more memory than it may.",
        remedy="Send fewer rows, or look at the input and the model.",
    )


def _late(model: str, seconds: float, *, starts: bool) -> TimedOut:
    return TimedOut(
        f"{model} did not answer in {seconds:g} s",
        cause="Its process has yet to start." if starts else "The model takes too long, or too many requests wait for it.",
        remedy="Send fewer rows at once, or try again later.",
    )
