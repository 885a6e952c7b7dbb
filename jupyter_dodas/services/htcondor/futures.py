"""What a user holds of one job: a future, as `concurrent.futures` has them, that knows its job."""

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from jupyter_dodas.errors import DodasError, NotFound, TimedOut
from jupyter_dodas.services.htcondor.states import State
from jupyter_dodas.services.htcondor.submitting import ERROR, OUTPUT

if TYPE_CHECKING:
    from jupyter_dodas.services.htcondor.matching import Why

__all__ = ["Follows", "JobFuture", "JobResult", "Work"]

_GLANCE: Final = 0.2


@dataclass(frozen=True)
class JobResult:
    """What a job that ran a program has left.

    Parameters
    ----------
    job
        Its name in the queue.
    code
        Its exit code; None if a signal has ended it.
    signal
        The number of that signal.
    stdout, stderr
        What it wrote; of very much the end.
    folder
        Where its files are.
    outputs
        Where each file is that it was to leave.
    """

    job: str
    code: int | None
    signal: int | None = None
    stdout: str = field(default="", repr=False)
    stderr: str = field(default="", repr=False)
    folder: Path | None = None
    outputs: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """A job to be.

    Parameters
    ----------
    description
        What is submitted; jobs with equal ones are submitted together.
    folder
        Where its files are, and its results come.
    inputs
        The files that go with it.
    outputs
        The files that it leaves, and where each is wanted.
    read
        Makes of what it has left what its future gives, or raises.
    lasting
        Whether its folder is the user's, and stays.
    deadline
        Seconds that it may run.
    stdout, stderr
        Files for what it writes.
    moved
        Attributes of the job that bring its results to that folder, if it was submitted from another.
    """

    description: Mapping[str, str]
    folder: Path
    inputs: Sequence[str]
    read: Callable[[JobResult], Any]
    outputs: Mapping[str, Path | None] = field(default_factory=dict)
    lasting: bool = False
    deadline: float | None = None
    stdout: str = OUTPUT
    stderr: str = ERROR
    moved: Mapping[str, str] = field(default_factory=dict)


class Follows(Protocol):
    """Who follows the jobs of a pool."""

    def state(self, future: "JobFuture") -> State:
        """Return where a job is."""
        ...

    def remove(self, futures: "Sequence[JobFuture]") -> None:
        """Take jobs away."""
        ...

    def why(self, job: str) -> "Why":
        """Say why a job does not run."""
        ...


class JobFuture(Future[Any]):
    """A job: its result, once it has ended. It can be awaited; `concurrent.futures.wait` and ``as_completed`` take it.

    A job that is held waits for somebody to see to it. `result` says so at once, and the job may still go on: after ``release``
    it is as if nothing had been.
    """

    def __init__(self, follows: Follows, work: Work) -> None:
        super().__init__()
        self._follows, self._work = follows, work
        self._job = ""
        self._held: DodasError | None = None
        self._left: JobResult | None = None

    def __repr__(self) -> str:
        state = "done" if self.done() else "held" if self._held else "not done"
        return f"<JobFuture {self._job or 'on its way'}: {state}>"

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    @property
    def job_id(self) -> str:
        """Its name in the queue: ``12.0``. Waits until it is there."""
        with self._condition:
            self._condition.wait_for(lambda: self._job or self.done())
        if not self._job:
            raise NotFound("A job that has not come into the queue")
        return self._job

    @property
    def stdout(self) -> str:
        """What it wrote to its standard output, once it has ended; of very much the end."""
        return self._left.stdout if self._left else ""

    @property
    def stderr(self) -> str:
        """What it wrote to its standard error, once it has ended; of very much the end."""
        return self._left.stderr if self._left else ""

    @property
    def outputs(self) -> Mapping[str, Path]:
        """Where the files are that it was to leave, once it has ended."""
        return self._left.outputs if self._left else {}

    @property
    def held(self) -> DodasError | None:
        """Why it is held, with what helps; None if it is not."""
        return self._held

    def result(self, timeout: float | None = None, *, through_hold: bool = False) -> Any:
        """Return what the function returned, or a `JobResult` of a program; what the function raised is raised.

        Parameters
        ----------
        timeout
            Seconds to wait; None for as long as it takes.
        through_hold
            Wait on while it is held.

        Raises
        ------
        JobHeld
            With the reason and what helps; it can be released.
        JobFailed, JobRemoved, NotSupported, TimedOut
        """
        self._wait(timeout, through_hold)
        return super().result(0)

    def exception(self, timeout: float | None = None, *, through_hold: bool = False) -> BaseException | None:
        """Return what `result` would raise; None if it went well. Parameters as of `result`."""
        self._wait(timeout, through_hold)
        return super().exception(0)

    def cancel(self) -> bool:
        """Take the job away, wherever it is. Returns whether it had not ended."""
        if self.done():
            return self.cancelled()
        self._follows.remove([self])
        if super().cancel():
            self.set_running_or_notify_cancel()
        return self.cancelled()

    def status(self) -> State:
        """Tell where it is: ``waiting``, ``running``, ``held``, ..."""
        if self.cancelled():
            return State.REMOVED
        return State.COMPLETED if self.done() else self._follows.state(self)

    def why(self) -> "Why":
        """Say in words why it does not run."""
        return self._follows.why(self.job_id)

    def _named(self, job: str) -> None:
        with self._condition:
            self._job = job
            self._condition.notify_all()

    def _hold(self, reason: DodasError | None) -> None:
        with self._condition:
            self._held = reason
            self._condition.notify_all()

    def _wait(self, timeout: float | None, through_hold: bool) -> None:
        until = None if timeout is None else time.monotonic() + timeout

        def settled() -> bool:
            return self.done() or (self._held is not None and not through_hold)

        with self._condition:
            came = self._condition.wait_for(settled, None if until is None else max(0.0, until - time.monotonic()))
        if not self.done():
            if self._held is not None and not through_hold:
                raise self._held
            if not came:
                raise self._late(timeout)

    async def _awaited(self) -> Any:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # a loop that is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        self.add_done_callback(wake)
        while not self.done():
            if self._held is not None:
                raise self._held
            # A hold is no end, so it wakes nobody.
            with suppress(TimeoutError):
                async with asyncio.timeout(_GLANCE):
                    await ended.wait()
        return super().result(0)

    def _late(self, timeout: float | None) -> DodasError:
        return TimedOut(
            f"{'Job ' + self._job if self._job else 'The job'} has not ended within {timeout:g} s",
            cause="It goes on by itself; only the waiting has ended.",
            remedy="`pool.why(job)` says why a job waits; job.cancel() takes it away.",
        )
