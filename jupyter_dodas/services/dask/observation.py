"""What a scheduler says of itself to the controller: who answers, who is busy, how many workers the work could use."""

from typing import Final

from distributed.core import Status
from distributed.scheduler import Scheduler, WorkerState

from jupyter_dodas.channel import Observation

__all__ = ["is_busy", "observe"]

# A paused worker is short of memory and a retiring one takes nothing new, but both are there and answer.
_ANSWERING: Final = frozenset({Status.running.name, Status.paused.name, Status.closing_gracefully.name})


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
