"""Many calls in few jobs: how they are bundled, and their results in order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from jupyter_dodas.services.htcondor.futures import JobFuture
from jupyter_dodas.services.htcondor.payload import Outcome

__all__ = ["Results", "bundles"]

_FIRST: Final = 0.7
"""The part of the calls that is handed out first. The rest goes to whoever has done that, so that all end at about one time."""


def bundles(calls: int, slots: int, size: int | None = None) -> Sequence[int]:
    """Return how many calls each job gets, in order.

    A job takes half a second beside what it computes, so there are no more than it takes for the slots to be busy to the end.

    Parameters
    ----------
    slots
        How many jobs can run at once.
    size
        Calls of each job, if somebody has said that.
    """
    if calls <= 0:
        return []
    if size is not None:
        return _even(calls, -(-calls // size), size)
    slots = max(1, slots)
    if calls <= 2 * slots:
        return [1] * calls
    first = round(calls * _FIRST)
    return [*_even(first, slots), *_even(calls - first, slots)]


def _even(calls: int, parts: int, size: int | None = None) -> list[int]:
    if size is not None:
        return [min(size, calls - start) for start in range(0, calls, size)]
    parts = min(parts, calls)
    return [calls // parts + (part < calls % parts) for part in range(parts)]


class Results(Iterator[Any]):
    """What the calls of a map gave, in their order. What a call raised is raised in its place, and those after it still come."""

    def __init__(self, futures: Sequence[JobFuture], sizes: Sequence[int], value: Callable[[Outcome, str], Any]) -> None:
        self._futures, self._sizes, self._value = futures, sizes, value
        self._bundle = self._place = 0

    def __repr__(self) -> str:
        ended = sum(future.done() for future in self._futures)
        return f"<Results of {sum(self._sizes)} calls in {len(self._futures)} jobs, {ended} of which have ended>"

    def __len__(self) -> int:
        """How many are still to come."""
        return sum(self._sizes[self._bundle :]) - self._place

    def __next__(self) -> Any:
        if self._bundle == len(self._futures):
            raise StopIteration
        future = self._futures[self._bundle]
        held = future.held is not None
        try:
            found: Sequence[Outcome] | None = future.result()
        except BaseException:
            if held or not future.done():  # it may still end well, and is asked again
                raise
            self._go_on()
            raise
        # What a function cannot be understood for is the same for all calls of a job.
        outcome = found[self._place if len(found) > 1 else 0] if found else None
        job = future.job_id
        self._go_on()
        assert outcome is not None
        return self._value(outcome, job)

    @property
    def jobs(self) -> Sequence[JobFuture]:
        """The futures of the jobs."""
        return self._futures

    def cancel(self) -> None:
        """Take away the jobs that have not ended."""
        for future in self._futures:
            future.cancel()

    def _go_on(self) -> None:
        self._place += 1
        if self._place == self._sizes[self._bundle]:
            self._bundle, self._place = self._bundle + 1, 0
