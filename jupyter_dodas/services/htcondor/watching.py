"""Looking at a pool once a second, beside its manager, and telling the controller what is seen.

HTCondor's bindings block, so that they are used in one thread of their own.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas.channel import ALIVE, Channel, Observation
from jupyter_dodas.credentials import accepting
from jupyter_dodas.services.htcondor.observation import JOB, SLOT, Shape, Slots, is_work, look_at, wanted
from jupyter_dodas.services.htcondor.retirement import Retirement
from jupyter_dodas.versions import installed

if TYPE_CHECKING:
    import htcondor2

__all__ = ["Watch"]

logger = getLogger(__name__)

_TICK: Final = 1.0
_QUICK: Final = 0.1
"""Seconds between looks while workers are expected at any moment: at first, and for a while after one has come or gone."""
_EAGER: Final = 10.0
_COUNTERS: Final = ("JobsSubmitted", "JobsStarted", "JobsExited")


@dataclass(frozen=True)
class _Look:
    """What the daemons say.

    Parameters
    ----------
    moved
        Counts that grow with everything that happens to a job.
    """

    slots: Slots
    jobs: Sequence[Mapping[str, Any]]
    moved: tuple[int, ...]


class Watch:
    """Watches a pool and serves its control channel.

    Parameters
    ----------
    schedd
        Name of the queue.
    shapes
        Of the workers of its groups.
    """

    def __init__(self, schedd: str, shapes: Sequence[Shape], retirement: Retirement, packages: tuple[str, ...]) -> None:
        self._name, self._shapes, self._retirement = schedd, shapes, retirement
        self._versions = {"versions": installed(packages)}
        self._channel = Channel(self._greeting, self._retirement.retire)
        self.thread: Final = ThreadPoolExecutor(1, "htcondor")
        """Where the bindings are used, by whoever needs them."""
        self._collector: htcondor2.Collector | None = None
        self._schedd: htcondor2.Schedd | None = None
        self._seen = Observation((), (), 0, active=False, ended=None)
        self._moved: tuple[int, ...] = ()
        self._ended: float | None = None
        self._said = self._stirred = monotonic()

    async def serve(self, host: str, port: int, secrets: Path) -> None:
        """Serve until cancelled.

        Raises
        ------
        OSError
            If the port is taken.
        """
        loop, opened = asyncio.get_running_loop(), False
        try:
            while True:
                look = await loop.run_in_executor(self.thread, self._look)
                if look is not None:
                    self._take(look)
                    await self._retirement.look(look.slots)
                    if not opened:  # who can connect takes the manager for ready
                        await self._channel.open(host, port, accepting(secrets))
                        opened = True
                eager = self._retirement.under_way or monotonic() - self._stirred < _EAGER
                await asyncio.sleep(_QUICK if eager else _TICK)
        finally:
            await self._channel.close()
            self.thread.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> _Look | None:
        import htcondor2

        try:
            return self._ask(htcondor2)
        except htcondor2.HTCondorException as error:
            self._schedd = None
            logger.debug("The pool does not answer: %s", error)
            return None

    def _ask(self, htcondor: ModuleType) -> _Look | None:
        """Ask the daemons; None if the queue is not there yet."""
        if self._collector is None:
            self._collector = htcondor.Collector()
        if self._schedd is None:
            if (place := self._collector.locate(htcondor.DaemonType.Schedd, self._name)) is None:
                return None
            self._schedd = htcondor.Schedd(place)
        slots = self._collector.query(htcondor.AdType.Startd, projection=list(SLOT))
        jobs = self._schedd.query(projection=list(JOB), opts=htcondor.QueryOpt.GroupBy)
        about = self._collector.query(htcondor.AdType.Schedd, f'Name == "{self._name}"', list(_COUNTERS))
        moved = tuple(int(about[0].get(name, 0)) for name in _COUNTERS) if about else ()
        return _Look(look_at(slots, time.time()), jobs, moved)

    def _take(self, look: _Look) -> None:
        """Note what was seen, and tell the listeners if it differs from the last time or they have heard nothing for long."""
        now, active = monotonic(), any(is_work(job) for job in look.jobs)
        if active or (look.moved and look.moved != self._moved and self._moved):
            self._ended = now
        self._moved = look.moved or self._moved
        seen = Observation(
            look.slots.ready, look.slots.busy, wanted(look.jobs, self._shapes), active, None if active else self._ended
        )
        if seen.ready != self._seen.ready:
            self._stirred = now
        if seen != self._seen or now - self._said > ALIVE:
            self._seen, self._said = seen, now
            self._channel.tell({"report": seen.message()})

    def _greeting(self) -> Sequence[Mapping[str, Any]]:
        return self._versions, {"report": self._seen.message()}
