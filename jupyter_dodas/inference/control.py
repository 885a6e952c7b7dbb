"""The server's end of the channel to the controller: how it fares, how many replicas its requests could use, and which may go.

Requests come and go within milliseconds, so what is told of them is what they were over the last seconds.
"""

import asyncio
import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

from jupyter_dodas.channel import ALIVE, LEASE, Channel, Observation
from jupyter_dodas.credentials import accepting

__all__ = ["Control", "Demand", "Fleet", "Work"]

logger = getLogger(__name__)

_TICK: Final = 0.1
_WINDOW: Final = 3.0
"""Seconds of which requests under way are averaged."""
_LATELY: Final = 1.0
"""Seconds since the last request for which a server counts as active, so that not each of many short ones is told."""
_WAIT: Final = 2.0
"""Seconds after which a request to retire is answered at the latest."""


@dataclass(frozen=True)
class Work:
    """What a server has done and has to do.

    Parameters
    ----------
    requests
        That it has taken in its life: predictions, uploads and changes; no looks.
    underway
        Predictions that are computed or wait.
    changes
        Uploads and changes that are under way.
    """

    requests: int
    underway: int
    changes: int = 0


class Fleet(Protocol):
    """The replicas of a server, as its controller sees them."""

    def work(self) -> Work:
        """Return what was done and is to be done. Cheap: it is called ten times a second."""
        ...

    def replicas(self) -> Mapping[str, int]:
        """Return the replicas that answer, with the batches that each of them has."""
        ...

    def retire(self, name: str) -> None:
        """Send no more batches to a replica. One that is not there, or is retired already, is no error."""
        ...

    def resume(self, name: str) -> None:
        """Send batches to it again."""
        ...


class Demand:
    """How many replicas requests could use. Pure, but for the seconds that it remembers.

    Parameters
    ----------
    target
        Requests under way that one replica is to have.
    """

    def __init__(self, target: int, window: float = _WINDOW) -> None:
        self._target, self._window = target, window
        self._seen: deque[tuple[float, Work]] = deque()

    def note(self, now: float, work: Work) -> None:
        """Take a look into account."""
        self._seen.append((now, work))
        while self._seen[0][0] < now - self._window:
            self._seen.popleft()

    def wanted(self) -> int:
        """Return the replicas for what was under way on average; one at least, as long as requests come."""
        if not self._seen:
            return 0
        first, last = self._seen[0][1], self._seen[-1][1]
        average = sum(work.underway for _, work in self._seen) / len(self._seen)
        came = last.requests > first.requests or last.underway > 0
        return max(math.ceil(average / self._target), int(came))


class Control:
    """Tells the controller of a fleet.

    Parameters
    ----------
    target
        See `Demand`.
    lease
        Seconds after which a replica that nobody asked to retire again gets batches once more.
    """

    def __init__(self, fleet: Fleet, *, target: int, lease: float = LEASE) -> None:
        self._fleet, self._lease = fleet, lease
        self._demand = Demand(target)
        self._channel = Channel(self._greeting, self._retire)
        self._asked: dict[str, float] = {}
        self._requests = fleet.work().requests
        self._ended: float | None = None
        self._last: Observation | None = None
        self._said = 0.0
        self._task: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int, certificates: Path) -> None:
        """Begin to tell.

        Parameters
        ----------
        certificates
            The folder with the cluster's own certificate; see `jupyter_dodas.credentials`.

        Raises
        ------
        OSError
            If the port is taken, or there are no certificates.
        """
        await self._channel.open(host, port, accepting(certificates))
        self._task = asyncio.create_task(self._look_again_and_again(), name="control")

    async def close(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._channel.close()

    async def _look_again_and_again(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # a look that fails must not end the server
                logger.exception("The replicas cannot be looked at")
            await asyncio.sleep(_TICK)

    def _look(self) -> None:
        now = monotonic()
        work = self._fleet.work()
        self._demand.note(now, work)
        if work.requests != self._requests or work.underway or work.changes:
            self._requests, self._ended = work.requests, now
        for name in [name for name, asked in self._asked.items() if now - asked > self._lease]:
            del self._asked[name]
            self._fleet.resume(name)
            logger.info("%s goes on: nobody asked again to retire it", name)
        seen = self._observe(work)
        if seen != self._last or now - self._said > ALIVE:
            self._last, self._said = seen, now
            self._channel.tell({"report": seen.message()})

    def _observe(self, work: Work) -> Observation:
        replicas = self._fleet.replicas()
        lately = self._ended is not None and monotonic() - self._ended < _LATELY
        active = lately or bool(work.underway or work.changes)
        return Observation(
            ready=tuple(sorted(replicas)),
            # A batch takes a moment and may be computed twice, so a replica is never so busy that it must not be taken away.
            busy=(),
            wanted=self._demand.wanted(),
            active=active,
            ended=None if active else self._ended,
        )

    def _greeting(self) -> Sequence[Mapping[str, Any]]:
        return ({"report": self._observe(self._fleet.work()).message()},)

    async def _retire(self, names: Collection[str]) -> Sequence[str]:
        """Send no more batches to these, and return those that have none left."""
        now = monotonic()
        for name in names:
            self._asked[name] = now
            self._fleet.retire(name)
        while left := [name for name in names if self._fleet.replicas().get(name)]:
            if monotonic() - now > _WAIT:
                break
            await asyncio.sleep(_TICK / 10)
        return [name for name in names if name not in left]
