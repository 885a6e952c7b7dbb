"""What to do about an infrastructure: a pure, total table from what is wanted and seen to a phase and one action."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.provision.base import State
from jupyter_dodas.spec import Phase

__all__ = ["STEPS", "TABLE", "Decision", "Do", "Seen", "Wish", "decide", "due", "pause", "seen", "wish"]

_FAST: Final = 0.5
"""Seconds between two looks at what is about to change."""
_SLOWEST: Final = 2.0
"""Seconds between two looks at what has been changing for long."""
_STEADY: Final = 30.0
_LIMPING: Final = 10.0
"""Seconds between two looks at one that is ready, or degraded."""
_MANY: Final = 40
"""Looks within a second, at all of them: a provisioner has more to do than to be looked at."""


class Wish(Enum):
    """What is to become of it."""

    PRESENT = auto()
    WRECK = auto()
    """It has failed: what is left of it goes, and its problem stays."""
    KEPT_WRECK = auto()
    """It has failed, and the administrator wants to look at what is left."""
    ABSENT = auto()


class Seen(Enum):
    """What is known of it at the provisioner."""

    UNASKED = auto()
    """The provisioner was never asked for it, or has nothing left of it."""
    LOST = auto()
    """The provisioner was asked, and what it answered is not known."""
    MACHINES = auto()
    CONFIGURING = auto()
    OVERDUE = auto()
    """It should long be ready."""
    READY = auto()
    UNREAD = auto()
    """It is ready, and what it gives was not read yet."""
    OUTDATED = auto()
    """It is ready, and another number of machines is wanted."""
    DEGRADED = auto()
    FAILED = auto()
    DELETING = auto()
    GONE = auto()


class Do(Enum):
    """What is done."""

    WAIT = auto()
    CREATE = auto()
    FIND = auto()
    """Look whether it was created; what is found is taken, or it is as if nobody had asked."""
    READ = auto()
    """Read what it gives."""
    SCALE = auto()
    GIVE_UP = auto()
    """Note why it has failed."""
    DELETE = auto()
    CLEAR = auto()
    """It is gone at the provisioner: look for others of its name if there may be any, then know of none."""
    FORGET = auto()
    """Nothing is left: the record goes."""


@dataclass(frozen=True)
class Decision:
    """A phase, and what to do."""

    phase: Phase
    do: Do


def _rows(wish: Wish, phase: Phase, do: Do, *states: Seen) -> dict[tuple[Wish, Seen], Decision]:
    return {(wish, state): Decision(phase, do) for state in states}


_THERE: Final = (
    *(Seen.MACHINES, Seen.CONFIGURING, Seen.OVERDUE, Seen.READY, Seen.UNREAD, Seen.OUTDATED, Seen.DEGRADED),
    *(Seen.FAILED, Seen.DELETING),
)

TABLE: Final[Mapping[tuple[Wish, Seen], Decision]] = {
    (Wish.PRESENT, Seen.UNASKED): Decision(Phase.PENDING, Do.CREATE),
    (Wish.PRESENT, Seen.LOST): Decision(Phase.PENDING, Do.FIND),
    (Wish.PRESENT, Seen.MACHINES): Decision(Phase.STARTING, Do.WAIT),
    (Wish.PRESENT, Seen.CONFIGURING): Decision(Phase.STARTING, Do.WAIT),
    (Wish.PRESENT, Seen.OVERDUE): Decision(Phase.FAILED, Do.GIVE_UP),
    (Wish.PRESENT, Seen.UNREAD): Decision(Phase.STARTING, Do.READ),
    (Wish.PRESENT, Seen.READY): Decision(Phase.READY, Do.WAIT),
    (Wish.PRESENT, Seen.OUTDATED): Decision(Phase.STARTING, Do.SCALE),
    (Wish.PRESENT, Seen.DEGRADED): Decision(Phase.DEGRADED, Do.WAIT),
    (Wish.PRESENT, Seen.FAILED): Decision(Phase.FAILED, Do.GIVE_UP),
    # Somebody has deleted it behind our back: nobody makes another one, with other data, unasked.
    (Wish.PRESENT, Seen.DELETING): Decision(Phase.FAILED, Do.GIVE_UP),
    (Wish.PRESENT, Seen.GONE): Decision(Phase.FAILED, Do.GIVE_UP),
    (Wish.WRECK, Seen.UNASKED): Decision(Phase.FAILED, Do.WAIT),
    (Wish.WRECK, Seen.LOST): Decision(Phase.FAILED, Do.FIND),
    **_rows(Wish.WRECK, Phase.FAILED, Do.DELETE, *_THERE),
    (Wish.WRECK, Seen.GONE): Decision(Phase.FAILED, Do.CLEAR),
    **_rows(Wish.KEPT_WRECK, Phase.FAILED, Do.WAIT, Seen.UNASKED, *_THERE),
    (Wish.KEPT_WRECK, Seen.LOST): Decision(Phase.FAILED, Do.FIND),
    (Wish.KEPT_WRECK, Seen.GONE): Decision(Phase.FAILED, Do.CLEAR),
    (Wish.ABSENT, Seen.UNASKED): Decision(Phase.STOPPED, Do.FORGET),
    (Wish.ABSENT, Seen.LOST): Decision(Phase.STOPPING, Do.FIND),
    **_rows(Wish.ABSENT, Phase.STOPPING, Do.DELETE, *_THERE),
    (Wish.ABSENT, Seen.GONE): Decision(Phase.STOPPING, Do.CLEAR),
}

STEPS: Final[Mapping[Seen, str]] = {
    Seen.UNASKED: "Queued",
    Seen.LOST: "Queued",
    Seen.MACHINES: "Machines",
    Seen.OUTDATED: "Machines",
    Seen.CONFIGURING: "Kubernetes",
    Seen.UNREAD: "Kubernetes",
}
"""The step that its user sees, of what is wanted and not yet there."""


def wish(record: Record, *, keep: bool) -> Wish:
    """Return what is to become of it.

    Parameters
    ----------
    keep
        Whether what is left of failures is kept.
    """
    if record.wanted == "absent":
        return Wish.ABSENT
    if record.failed:
        return Wish.KEPT_WRECK if keep else Wish.WRECK
    return Wish.PRESENT


def seen(record: Record, state: State | None, now: float, *, deadline: float, lacks: bool = False) -> Seen:
    """Return what is known of it.

    Parameters
    ----------
    state
        What the provisioner says; None if it was not asked, having no identifier.
    deadline
        Seconds within which one is to be ready.
    lacks
        Whether there are fewer machines than were ordered.
    """
    if state is None:
        return Seen.UNASKED if record.asked is None else Seen.LOST
    began = record.steps[0].started if record.steps else record.created
    late = state in (State.MACHINES, State.CONFIGURING) and now > began + deadline
    if record.ready is not None and (late or state is State.FAILED):
        state, late = State.DEGRADED, False  # it holds what people work on: another size that fails is no reason to lose it
    if late:
        return Seen.OVERDUE
    if state in (State.READY, State.DEGRADED) and record.workers != record.applied:
        return Seen.OUTDATED
    if state is State.READY and lacks and not record.whole:
        return Seen.OUTDATED
    if state is State.READY and not record.current:
        return Seen.UNREAD
    return Seen[state.name]


def decide(desired: Wish, what: Seen) -> Decision:
    """Return the phase and what to do."""
    return TABLE[desired, what]


def due(record: Record, now: float) -> float | None:
    """Return the seconds until it is deleted since nobody uses it; None if it is not."""
    idle = record.wanted == "present" and not record.holders and record.linger is not None
    # Its problem is to be read, and costs nothing.
    if not idle or record.failed or record.settled is None or record.linger is None:
        return None
    return max(0.0, max(record.settled, record.unheld or record.created) + record.linger - now)


def pause(decision: Decision, record: Record, now: float, *, busy: int = 1) -> float:
    """Return the seconds after which to look again.

    Parameters
    ----------
    busy
        How many change at this time, this one among them.
    """
    if decision.phase is Phase.READY:
        return _STEADY
    if decision.phase is Phase.DEGRADED:
        return _LIMPING
    if decision.phase is Phase.FAILED and decision.do is Do.WAIT:
        return _STEADY
    crowd = busy / _MANY
    step = record.steps[-1] if record.steps and record.steps[-1].ended is None else None
    lasted = now - (step.started if step is not None else record.erased or record.created)
    if step is not None and step.usually is not None and 0.8 * step.usually <= lasted <= 1.5 * step.usually:
        return max(_FAST, crowd)
    return max(crowd, min(_SLOWEST, max(_FAST, lasted / 100)))
