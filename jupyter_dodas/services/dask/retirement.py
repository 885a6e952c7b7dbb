"""Retiring workers: nothing new goes to them, what they hold moves to others, what they run is finished.

Retiring is a lease, since the controller that asks for it may change its mind, or die: a worker that nobody asks about any more
goes back to work.
"""

import asyncio
from collections.abc import Iterable
from logging import getLogger
from time import monotonic
from typing import Final
from uuid import uuid4

from dask.typing import Key
from distributed.core import Status
from distributed.scheduler import Scheduler, WorkerState

from jupyter_dodas.channel import LEASE
from jupyter_dodas.services.dask.observation import is_busy

__all__ = ["Retirement"]

logger = getLogger(__name__)

_WAIT: Final = 2.0  # a request is answered after this many seconds at the latest; the rest goes on behind it
_LOOK: Final = 0.05


class Retirement:
    """The workers of one scheduler that are being retired.

    Parameters
    ----------
    lease
        Seconds after which a retirement that nobody asked about again is undone.
    """

    def __init__(self, scheduler: Scheduler, *, lease: float = LEASE) -> None:
        self._scheduler, self._lease = scheduler, lease
        self._asked: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[bool]] = {}

    async def retire(self, names: Iterable[str]) -> list[str]:
        """Retire these workers, and return those that can be deleted now: they hold nothing that is not elsewhere."""
        if not (names := set(names)):
            return []
        self._asked.update(dict.fromkeys(names, monotonic()))
        # All are told before any of them moves its data, or it would go to one that leaves as well.
        for name in names - self._tasks.keys():
            if worker := self._find(name):
                self._tell(worker, Status.closing_gracefully)
        for name in names - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._empty(name), name=f"retire {name}")
        await asyncio.wait([self._tasks[name] for name in names], timeout=_WAIT)
        done = {name: self._tasks.pop(name) for name in names if self._tasks[name].done()}
        return [name for name, task in done.items() if not task.cancelled() and not task.exception() and task.result()]

    async def close(self) -> None:
        """Let go of what is under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _empty(self, name: str) -> bool:
        asked: set[Key] = set()
        while (worker := self._find(name)) and is_busy(worker):
            if monotonic() - self._asked[name] > self._lease:
                logger.info("%s goes on working: nobody asked again to retire it", name)
                self._tell(worker, Status.running)
                return False
            self._give_away(worker, asked)
            await asyncio.sleep(_LOOK)
        if worker is None:
            return True
        retired = await self._scheduler.retire_workers([worker.address], close_workers=True, remove=True)
        if worker.address in retired:
            return True
        self._tell(worker, Status.running)
        await asyncio.sleep(_WAIT / 2)  # there is nowhere to put its data: to try again at once would only fill the log
        return False

    def _find(self, name: str) -> WorkerState | None:
        return next((worker for worker in self._scheduler.workers.values() if worker.name == name), None)

    def _tell(self, worker: WorkerState, status: Status) -> None:
        """Change the status of a worker, on both sides."""
        cause = f"dodas-retire-{uuid4()}"
        if status is not Status.running:  # a worker that shall run again says so itself
            self._scheduler.handle_worker_status_change(status, worker, cause)
        if stream := self._scheduler.stream_comms.get(worker.address):
            stream.send({"op": "worker-status-change", "status": status.name, "stimulus_id": cause})

    def _give_away(self, worker: WorkerState, asked: set[Key]) -> None:
        """Offer what the worker has not begun to others. It keeps what it has begun: only it knows, so it is asked."""
        stealing = self._scheduler.extensions.get("stealing")
        if stealing is None:
            return
        for task in set(worker.processing) - worker.long_running:
            if task.key in asked:
                continue
            valid = self._scheduler.valid_workers(task)
            takers = (self._scheduler.running if valid is None else valid) - {worker}
            if not takers and task.loose_restrictions:
                takers = self._scheduler.running - {worker}
            if takers:
                asked.add(task.key)
                stealing.move_task_request(task, worker, min(takers, key=lambda taker: taker.occupancy))
