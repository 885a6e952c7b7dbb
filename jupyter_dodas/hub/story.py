"""What somebody reads who waits for a notebook: named steps with what they usually take, and what delays them. No percentages."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from jupyter_dodas.display.words import lasting
from jupyter_dodas.spec import Phase, Problem, Record, Step

__all__ = ["Story", "in_words", "told"]


class Story:
    """The lines of one start, for any number of readers, who may come late."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = asyncio.Event()
        self.over = False

    def tell(self, line: str) -> None:
        """Add a line, unless it was told before."""
        if line not in self._lines:
            self._lines.append(line)
            self._wake()

    def see(self, record: Record) -> None:
        """Add what a state has to say."""
        for line in told(record):
            self.tell(line)

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


def told(record: Record) -> Iterator[str]:
    """Return what a state has to say, as whole sentences or steps."""
    for step in record.status.steps:
        yield _begun(step)
        if step.ended is not None:
            yield f"{step.name}: {lasting(step.ended - step.started)}"
    if record.status.phase in (Phase.PENDING, Phase.STARTING) and record.status.problem is not None:
        yield in_words(record.status.problem)


def _begun(step: Step) -> str:
    return f"{step.name} ..." if step.usually is None else f"{step.name} ... usually {lasting(step.usually)}"


def in_words(problem: Problem) -> str:
    """Return what is wrong, why, and what to do, in one line."""
    return " ".join(f"{part.strip().rstrip('.')}." for part in (problem.message, problem.cause, problem.remedy) if part)
