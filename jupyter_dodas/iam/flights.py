"""One flight for all who want to go to the same place: work that several ask for at once is done once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Flights"]

T = TypeVar("T")


class Flights(Generic[T]):
    """Work under way, by what it is about.

    Whoever asks while it is under way gets its outcome. That one of them goes away ends it for nobody: a refresh that was
    cancelled half way could have used up the token.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    async def join(self, about: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return the outcome of the work that is under way, or else start it."""
        task = self._under_way.get(about)
        if task is None:
            task = self._under_way[about] = asyncio.ensure_future(_started(work))
            task.add_done_callback(lambda done: self._landed(about, done))
        return await asyncio.shield(task)

    def _landed(self, about: Hashable, task: "asyncio.Task[T]") -> None:
        del self._under_way[about]
        if not task.cancelled():
            task.exception()  # seen, even if everybody who waited has gone away


async def _started(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
