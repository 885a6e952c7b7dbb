"""What somebody sees who waits for a notebook: named steps, what they take and usually take, what delays them. No percentages."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from jupyter_dodas.display.words import lasting
from jupyter_dodas.errors import DodasError
from jupyter_dodas.spec import Phase, Problem, Record, Step

__all__ = ["LAB", "Durations", "Failure", "Line", "Story", "in_words", "told"]


@dataclass(frozen=True)
class Line:
    """One step, as a page shows it.

    Parameters
    ----------
    done, now
        Whether it is over, or under way.
    seconds
        What it has taken so far.
    took, usually
        The same in words, and what it took before; empty if that is not known.
    """

    name: str
    done: bool = False
    now: bool = False
    seconds: float = 0.0
    took: str = ""
    usually: str = ""


class Story:
    """The lines of one start, for any number of readers, who may come late."""

    # A record is its user's, and whatever stands in it must not keep the hub from others.
    _MOST: Final = 200
    """Lines that are told, and steps that are shown."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = asyncio.Event()
        self._began = time.time()
        self._phases: Sequence[str] = ()
        self._usually: Callable[[str], float | None] = lambda _: None
        self._before: Sequence[Step] = ()
        self._steps: Sequence[Step] = ()
        self.notes: Sequence[str] = ()
        self.over = False

    def tell(self, line: str) -> None:
        """Add a line, unless it was told before, or too many were."""
        if line not in self._lines and len(self._lines) < self._MOST:
            self._lines.append(line)
            self._wake()

    def see(self, record: Record) -> None:
        """Add what a state has to say."""
        self._steps = record.status.steps[: self._MOST]
        self.notes = tuple(_delays(record))
        for line in islice(told(record), 2 * self._MOST):
            self.tell(line)

    def expect(self, phases: Sequence[str], usually: Callable[[str], float | None]) -> None:
        """Begin, where it is known what is waited for before the notebook.

        Parameters
        ----------
        phases
            By name.
        usually
            Returns the seconds that one of them took before.
        """
        self._phases, self._usually, self._began = phases, usually, time.time()

    def prepare(self, steps: Sequence[Step], notes: Sequence[str]) -> None:
        """Add what there is to say of what comes before the notebook."""
        self._before = steps or self._before
        self.notes = tuple(notes)
        for line in (*_told(self._before), *notes):
            self.tell(line)

    def durations(self) -> Mapping[str, float]:
        """Return the seconds of each phase that was waited for from its beginning."""
        steps = self._before if self._phases else ()
        found = {one.name: one.ended - one.started for one in steps if one.ended is not None and one.started >= self._began}
        # What somebody has made before took nothing of this start.
        return {name: seconds for name, seconds in found.items() if seconds > 0}

    def end(self) -> None:
        """Nothing more will come."""
        self.over = True
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def read(self) -> AsyncGenerator[str, None]:
        """Yield every line, those told before first."""
        read = 0
        while True:
            more = self._more
            for line in self._lines[read:]:
                read += 1
                yield line
            if self.over and read == len(self._lines):
                return
            if read == len(self._lines) and not more.is_set():
                await more.wait()

    def steps(self) -> Sequence[Line]:
        """Return every step as it is now: what comes before and after those of the notebook's own, too."""
        now = time.time()
        if self._phases:
            return self._of_phases(now)
        if not self._steps:
            return [_under_way("Preparing", now - self._began), Line("Starting"), Line("Opening")]
        prepared = self._steps[0].started - self._began
        lines = [Line("Preparing", done=True, took=lasting(prepared) if prepared > 0 else "")]
        for step in self._steps:
            usually = "" if step.usually is None else lasting(step.usually)
            if step.ended is None:
                lines.append(_under_way(step.name, now - step.started, usually))
            else:
                lines.append(Line(step.name, done=True, took=lasting(step.ended - step.started)))
        ended = [step.ended for step in self._steps if step.ended is not None]
        # One that was taken over may have been there for hours.
        last = _under_way("Opening", now - max(self._began, *ended)) if len(ended) == len(self._steps) else Line("Opening")
        return [*lines, last]

    def _of_phases(self, now: float) -> Sequence[Line]:
        """Return those before the notebook, as far as they are known, and the notebook as the last."""
        found = {step.name: step for step in self._before}
        names = [*self._phases, *(name for name in found if name not in self._phases)]
        reached = max((names.index(name) for name in found), default=-1)
        # Some are over before anybody has looked.
        lines = [self._line(found[name], now) if name in found else Line(name, done=True) for name in names[: reached + 1]]
        ahead = [Line(name, usually=self._took(name)) for name in (*names[reached + 1 :], LAB)]
        if not any(line.now for line in lines):  # the next one has yet to say so
            since = max([self._began, *(step.ended or now for step in found.values())])
            ahead[0] = _under_way(ahead[0].name, now - since, ahead[0].usually)
        return [*lines, *ahead]

    def _took(self, name: str) -> str:
        return "" if (known := self._usually(name)) is None else lasting(known)

    def _line(self, step: Step, now: float) -> Line:
        if step.ended is not None:
            was_there = step.ended <= self._began
            return Line(step.name, done=True, took="" if was_there else lasting(step.ended - max(step.started, self._began)))
        known = self._usually(step.name) if step.usually is None else step.usually
        return _under_way(step.name, now - max(step.started, self._began), "" if known is None else lasting(known))


LAB: Final = "Lab"
"""The notebook, to whoever waits for machines first."""


def _under_way(name: str, seconds: float, usually: str = "") -> Line:
    return Line(name, now=True, seconds=round(max(0.0, seconds), 1), took=lasting(seconds), usually=usually)


def told(record: Record) -> Iterator[str]:
    """Return what a state has to say, as whole sentences or steps."""
    yield from _told(record.status.steps)
    yield from _delays(record)


def _told(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        yield _begun(step)
        if step.ended is not None:
            yield f"{step.name}: {lasting(step.ended - step.started)}"


def _delays(record: Record) -> Iterator[str]:
    if record.status.phase in (Phase.PENDING, Phase.STARTING) and record.status.problem is not None:
        yield in_words(record.status.problem)


def _begun(step: Step) -> str:
    return f"{step.name} ..." if step.usually is None else f"{step.name} ... usually {lasting(step.usually)}"


def in_words(problem: Problem) -> str:
    """Return what is wrong, why, and what to do, in one line."""
    return " ".join(f"{part.strip().rstrip('.')}." for part in (problem.message, problem.cause, problem.remedy) if part)


@dataclass(frozen=True)
class Failure:
    """Why a start failed.

    Parameters
    ----------
    report
        For whoever is to help; empty if there is no more to say.
    """

    message: str
    cause: str
    remedy: str
    report: str = ""

    @classmethod
    def of(cls, error: DodasError) -> "Failure":
        """Return that of an error, whose notes are the report."""
        return cls(error.message, error.cause, error.remedy, "\n".join(getattr(error, "__notes__", ())))


class Durations:
    """How long starts of each profile took lately, of everybody, and their phases."""

    _REMEMBERED: Final = 20

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    @classmethod
    def of(cls, hub: MutableMapping[str, Any]) -> "Durations":
        """Return those of a hub, by its settings, which all its spawners share."""
        found: Durations = hub.setdefault("dodas_durations", cls())
        return found

    def add(self, profile: str, seconds: float) -> None:
        """Learn from a start."""
        self._seen.setdefault(profile, deque(maxlen=self._REMEMBERED)).append(seconds)

    def learn(self, took: Iterable[tuple[str, float]]) -> None:
        """Learn from several."""
        for name, seconds in took:
            self.add(name, seconds)

    def usually(self, profile: str) -> float | None:
        """Return the median in seconds; None if it was never seen."""
        seen = sorted(self._seen.get(profile, ()))
        return seen[len(seen) // 2] if seen else None
