"""What a scheduler says of itself to the controller: who answers, who is busy, how many workers the work could use."""

from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Final

from distributed.core import Status
from distributed.scheduler import Scheduler, WorkerState

__all__ = ["Observation", "is_busy", "observe"]

# A paused worker is short of memory and a retiring one takes nothing new, but both are there and answer.
_ANSWERING: Final = frozenset({Status.running.name, Status.paused.name, Status.closing_gracefully.name})


@dataclass(frozen=True)
class Observation:
    """One look at a scheduler.

    Parameters
    ----------
    ready, busy
        Names of workers, sorted.
    wanted
        Workers that the present work and the data in memory could use.
    ended
        When activity ended, on this process's monotonic clock; None if there was none yet.
    """

    ready: tuple[str, ...]
    busy: tuple[str, ...]
    wanted: int
    active: bool
    ended: float | None

    def message(self) -> dict[str, Any]:
        """Write it for another process, whose clock differs: `idle` is the age of `ended` in seconds."""
        message = asdict(self)
        ended = message.pop("ended")
        return {**message, "idle": None if ended is None else max(monotonic() - ended, 0.0)}


def observe(scheduler: Scheduler, ended: float | None) -> Observation:
    """Look at a scheduler."""
    workers = list(scheduler.workers.values())
    busy = sorted(str(worker.name) for worker in workers if is_busy(worker))
    # A task that waits does so for one that is processed, queued or without a worker: these three are all activity.
    active = bool(busy or scheduler.queued or scheduler.unrunnable)
    return Observation(
        ready=tuple(sorted(str(worker.name) for worker in workers if worker.status.name in _ANSWERING)),
        busy=tuple(busy),
        wanted=scheduler.adaptive_target(),
        active=active,
        ended=ended,
    )


def is_busy(worker: WorkerState) -> bool:
    """Whether a worker has tasks: assigned to it, running, or seceded from its thread pool."""
    return bool(worker.processing or worker.long_running)
