"""What there is to tell of a cluster, in words, before it becomes text or HTML. Pure: the time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jupyter_dodas.display.words import clock, count, lasting, size
from jupyter_dodas.spec import Condition, Phase, Problem, Record, Step

__all__ = ["MARKS", "Mark", "StepView", "Tone", "View", "Worker", "view"]


class Tone(StrEnum):
    """What a colour may underline; the words and shapes say it as well."""

    QUIET = "quiet"
    BUSY = "busy"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Mark:
    """A shape and a colour for something that is named beside it."""

    shape: str
    tone: Tone


MARKS: Final[Mapping[Phase, Mark]] = {
    Phase.PENDING: Mark("○", Tone.QUIET),
    Phase.STARTING: Mark("◐", Tone.BUSY),
    Phase.READY: Mark("●", Tone.GOOD),
    Phase.DEGRADED: Mark("▲", Tone.WARN),
    Phase.STOPPING: Mark("◌", Tone.QUIET),
    Phase.STOPPED: Mark("□", Tone.QUIET),
    Phase.FAILED: Mark("✕", Tone.BAD),
}

_ON_ITS_WAY: Final = frozenset({Phase.PENDING, Phase.STARTING})


@dataclass(frozen=True)
class StepView:
    """One named part of a launch."""

    mark: Mark
    name: str
    time: str
    """What it took: ``2 s``; of one that is not over, what it takes usually."""
    done: bool


@dataclass(frozen=True)
class Worker:
    """One worker, for a picture of them all."""

    name: str
    condition: Condition


@dataclass(frozen=True)
class View:
    """A cluster in words.

    Parameters
    ----------
    workers
        How many answer, of how many there shall be: ``4``, ``1 of 4``; nothing where none are expected.
    facts
        Other short ones: ``8 cores``, ``16 GiB``.
    steps
        The parts of its launch, while it is launched or when that failed.
    note
        A sentence about something to come, such as a stop for idleness.
    """

    name: str
    kind: str
    phase: Phase
    mark: Mark
    workers: str
    facts: tuple[str, ...]
    steps: tuple[StepView, ...]
    members: tuple[Worker, ...]
    since: str
    """When it became ready: ``14:02``, which stays true in a notebook that is kept; nothing while it is not up."""
    problem: Problem | None
    note: str

    @property
    def summary(self) -> tuple[str, ...]:
        """How big it is, and since when it is up: ``2 of 4 workers``, ``2 cores``."""
        return (*self._size, f"since {self.since}") if self.since else self._size

    def sentence(self, after: str = "") -> str:
        """Name and phase, and how big it is: ``higgs is ready after 1.6 s: 2 workers, 2 cores``."""
        said = f"{self.name} {_IS[self.phase]}" + (f" after {after}" if after else "")
        return f"{said}: {', '.join(self._size)}" if self._size else said

    @property
    def _size(self) -> tuple[str, ...]:
        number = f"{self.workers} worker{'' if self.workers == '1' else 's'}"
        return (number, *self.facts) if self.workers else self.facts


_IS: Final[Mapping[Phase, str]] = {
    Phase.PENDING: "is pending",
    Phase.STARTING: "is starting",
    Phase.READY: "is ready",
    Phase.DEGRADED: "is degraded",
    Phase.STOPPING: "is stopping",
    Phase.STOPPED: "has stopped",
    Phase.FAILED: "has failed",
}


def view(record: Record, now: float) -> View:
    """Put a cluster into words."""
    status = record.status
    mark = MARKS[status.phase]
    if status.phase is Phase.READY and (status.stops_at is not None or status.problem is not None):
        mark = Mark(mark.shape, Tone.WARN)
    steps = status.steps if status.phase in _ON_ITS_WAY or (status.phase is Phase.FAILED and status.ready_at is None) else ()
    return View(
        name=record.name,
        kind=record.spec.kind,
        phase=status.phase,
        mark=mark,
        workers=_workers(record),
        facts=_facts(record),
        steps=tuple(_step(step, status.phase) for step in steps),
        members=tuple(
            Worker(name, instance.condition) for name, instance in status.instances.items() if instance.group is not None
        ),
        since=clock(status.ready_at, now) if status.ready_at is not None and status.instances else "",
        problem=status.problem,
        note=_note(record, now),
    )


def _workers(record: Record) -> str:
    status = record.status
    if not status.targets or status.phase is Phase.FAILED:
        return ""
    wanted = sum(status.targets.values())
    ready = sum(i.group is not None and i.condition is Condition.READY for i in status.instances.values())
    return str(ready) if ready == wanted else f"{ready} of {wanted}"


def _facts(record: Record) -> tuple[str, ...]:
    status = record.status
    if status.phase is Phase.FAILED:
        return ()
    workers = [i for i in status.instances.values() if i.group is not None]
    cores, memory = sum(i.cores for i in workers), sum(i.memory for i in workers)
    adapt = record.spec.options.get("adapt")
    others = [group for group in status.targets if group != "worker"]
    return tuple(
        fact
        for fact in (
            f"adapts {adapt['minimum']} to {adapt['maximum']}" if isinstance(adapt, dict) else "",
            *(f"{status.targets[group]} of them {group}" for group in others),
            count(cores, "core") if cores else "",
            size(memory) if memory else "",
        )
        if fact
    )


def _step(step: Step, phase: Phase) -> StepView:
    if step.ended is not None:
        return StepView(Mark("✓", Tone.GOOD), step.name, lasting(step.ended - step.started), done=True)
    if phase is Phase.FAILED:
        return StepView(Mark("✕", Tone.BAD), step.name, "", done=False)
    return StepView(Mark("◐", Tone.BUSY), step.name, f"usually {lasting(step.usually)}" if step.usually else "", done=False)


def _note(record: Record, now: float) -> str:
    status = record.status
    if status.stops_at is not None:
        since = f"Nothing ran since {clock(status.idle_since, now)}. " if status.idle_since is not None else ""
        return f"{since}It stops at {clock(status.stops_at, now)}, in {lasting(status.stops_at - now)}, unless it is kept."
    if record.spec.keep_until is not None and record.spec.keep_until > now:
        return f"Kept until {clock(record.spec.keep_until, now)}."
    return ""
