"""The decision: what to do for every combination of what is wanted and what is seen.

The table is total (a test proves it), so no combination is forgotten, and it is all that decides a phase.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Intent, Phase

__all__ = ["STEPS", "Do", "Seen", "Step", "Wanted", "wanted"]


class Wanted(Enum):
    """What is to become of a cluster."""

    RUN = auto()
    RESTART = auto()
    STOP = auto()
    FAIL = auto()
    """It has failed: keep the record, nothing else."""


class Seen(Enum):
    """What there is of a cluster."""

    ABSENT = auto()
    """Nothing runs."""
    QUEUED = auto()
    """Nothing runs, and it must wait for room within the limits."""
    BARRED = auto()
    """It can never fit within the limits."""
    HELD = auto()
    """The place lets nothing of it start now."""
    PARTIAL = auto()
    """On its way, and never yet complete."""
    READY = auto()
    """All that was asked for answers."""
    HURT = auto()
    """It was ready, and something is missing now."""
    BROKEN = auto()
    """A part does not come up, however often it is started."""
    LOST = auto()
    """The runner that held its instances has ended, and they with it."""


class Do(Enum):
    """What follows."""

    RUN = auto()
    """Start what is missing, drain and end what is too much."""
    END = auto()
    """End every instance."""
    EXPLAIN = auto()
    """Note why it waits or has failed."""
    RESET = auto()
    """Forget what went before, and start again."""
    REMOVE = auto()
    """Account, and remove the record."""


@dataclass(frozen=True)
class Step:
    """A phase to be in, and what to do."""

    phase: Phase
    do: tuple[Do, ...] = ()


STEPS: Final[Mapping[tuple[Wanted, Seen], Step]] = {
    (Wanted.RUN, Seen.ABSENT): Step(Phase.STARTING, (Do.RUN,)),
    (Wanted.RUN, Seen.QUEUED): Step(Phase.PENDING, (Do.EXPLAIN,)),
    (Wanted.RUN, Seen.BARRED): Step(Phase.FAILED, (Do.EXPLAIN, Do.END)),
    (Wanted.RUN, Seen.HELD): Step(Phase.PENDING, (Do.RUN,)),
    (Wanted.RUN, Seen.PARTIAL): Step(Phase.STARTING, (Do.RUN,)),
    (Wanted.RUN, Seen.READY): Step(Phase.READY, (Do.RUN,)),
    (Wanted.RUN, Seen.HURT): Step(Phase.DEGRADED, (Do.RUN,)),
    (Wanted.RUN, Seen.BROKEN): Step(Phase.FAILED, (Do.EXPLAIN, Do.END)),
    (Wanted.RUN, Seen.LOST): Step(Phase.FAILED, (Do.EXPLAIN, Do.END)),
    (Wanted.RESTART, Seen.ABSENT): Step(Phase.STARTING, (Do.RESET,)),
    (Wanted.RESTART, Seen.QUEUED): Step(Phase.PENDING, (Do.RESET,)),
    (Wanted.RESTART, Seen.BARRED): Step(Phase.PENDING, (Do.RESET,)),
    (Wanted.RESTART, Seen.HELD): Step(Phase.STARTING, (Do.END,)),
    (Wanted.RESTART, Seen.PARTIAL): Step(Phase.STARTING, (Do.END,)),
    (Wanted.RESTART, Seen.READY): Step(Phase.STARTING, (Do.END,)),
    (Wanted.RESTART, Seen.HURT): Step(Phase.STARTING, (Do.END,)),
    (Wanted.RESTART, Seen.BROKEN): Step(Phase.STARTING, (Do.END,)),
    (Wanted.RESTART, Seen.LOST): Step(Phase.STARTING, (Do.RESET,)),
    (Wanted.STOP, Seen.ABSENT): Step(Phase.STOPPED, (Do.REMOVE,)),
    (Wanted.STOP, Seen.QUEUED): Step(Phase.STOPPED, (Do.REMOVE,)),
    (Wanted.STOP, Seen.BARRED): Step(Phase.STOPPED, (Do.REMOVE,)),
    (Wanted.STOP, Seen.HELD): Step(Phase.STOPPING, (Do.END,)),
    (Wanted.STOP, Seen.PARTIAL): Step(Phase.STOPPING, (Do.END,)),
    (Wanted.STOP, Seen.READY): Step(Phase.STOPPING, (Do.END,)),
    (Wanted.STOP, Seen.HURT): Step(Phase.STOPPING, (Do.END,)),
    (Wanted.STOP, Seen.BROKEN): Step(Phase.STOPPING, (Do.END,)),
    (Wanted.STOP, Seen.LOST): Step(Phase.STOPPED, (Do.REMOVE,)),
    (Wanted.FAIL, Seen.ABSENT): Step(Phase.FAILED),
    (Wanted.FAIL, Seen.QUEUED): Step(Phase.FAILED),
    (Wanted.FAIL, Seen.BARRED): Step(Phase.FAILED),
    (Wanted.FAIL, Seen.HELD): Step(Phase.FAILED, (Do.END,)),
    (Wanted.FAIL, Seen.PARTIAL): Step(Phase.FAILED, (Do.END,)),
    (Wanted.FAIL, Seen.READY): Step(Phase.FAILED, (Do.END,)),
    (Wanted.FAIL, Seen.HURT): Step(Phase.FAILED, (Do.END,)),
    (Wanted.FAIL, Seen.BROKEN): Step(Phase.FAILED, (Do.END,)),
    (Wanted.FAIL, Seen.LOST): Step(Phase.FAILED),
}


def wanted(spec: ClusterSpec, status: ClusterStatus, now: float, keep_failed: float) -> Wanted:
    """Tell what is wanted of a cluster: its user's word first, then what befell it.

    Parameters
    ----------
    keep_failed
        Seconds for which a failed cluster is kept.
    """
    failed_at = status.history[-1].at if status.history and status.phase is Phase.FAILED else None
    if spec.intent is Intent.STOP or status.expired:
        return Wanted.STOP
    if spec.restarts != status.restarts:
        return Wanted.RESTART
    if failed_at is not None:
        return Wanted.STOP if now - failed_at > keep_failed else Wanted.FAIL
    return Wanted.RUN
