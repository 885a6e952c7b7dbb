"""Many calls in few jobs: how they are bundled, and their results in order."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, overload

from jupyter_dodas.services.htcondor.futures import JobFuture
from jupyter_dodas.services.htcondor.payload import Outcome, value_of

__all__ = ["Results", "Values", "bundles"]

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


class Values(Sequence[Any]):
    """What the calls of one job gave, in their order, as a list. What a call raised is raised where it is taken.

    Parameters
    ----------
    job
        The name of the job.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, outcomes: Sequence[Outcome], job: str) -> None:
        self._outcomes, self._job = outcomes, job

    def __repr__(self) -> str:
        return repr([self._told(outcome) for outcome in self._outcomes])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | Values) and [*self] == [*other]

    def __len__(self) -> int:
        return len(self._outcomes)

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [value_of(outcome, self._job) for outcome in self._outcomes[place]]
        return value_of(self._outcomes[place], self._job)

    def _told(self, outcome: Outcome) -> Any:
        try:
            return value_of(outcome, self._job)
        except Exception as error:  # noqa: BLE001 - shown, not raised
            return error


class Results(Iterator[Any]):
    """What the calls of a map gave, in their order. What a call raised is raised in its place, and those after it still come."""

    def __init__(self, futures: Sequence[JobFuture], sizes: Sequence[int]) -> None:
        self._futures, self._sizes = futures, sizes
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
            found: Sequence[Any] = future.result()
        except BaseException:
            if held or not future.done():  # it may still end well, and is asked again
                raise
            self._go_on()
            raise
        place = self._place
        self._go_on()
        return found[place]

    @property
    def jobs(self) -> Sequence[JobFuture]:
        """The futures of the jobs. The result of each is a list of what its calls gave."""
        return self._futures

    def cancel(self) -> None:
        """Take away the jobs that have not ended."""
        for future in self._futures:
            future.cancel()

    def _go_on(self) -> None:
        self._place += 1
        if self._place == self._sizes[self._bundle]:
            self._bundle, self._place = self._bundle + 1, 0
