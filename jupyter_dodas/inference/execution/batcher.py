"""What waits for a version of a model, and in which batches it goes to a worker.

There is no timer: while a worker is busy requests wait, and what waits goes together. Small requests share batches, large ones
are cut by their maker and go piece by piece, in turn with the small ones, so that nobody waits for the whole of a large one.

Nothing here knows of sockets or clocks.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from jupyter_dodas.errors import Busy
from jupyter_dodas.inference.execution.frames import Buffer, Shapes

__all__ = ["ROWS", "SIZE", "Batch", "Queue", "Request", "Waiter"]

ROWS: Final = 256
"""Of small requests that share a batch."""
SIZE: Final = 1 << 20
"""Bytes of small requests that share a batch."""


class Waiter(Protocol):
    """Who waits for what comes of rows: a future, or what is as one."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Take the result."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Take the reason why there is none."""
        ...


class Request:
    """Rows that belong together, and who waits for what comes of them.

    Parameters
    ----------
    parts
        Of each input the bytes of all rows.
    shapes
        Of each input, if the model is not rowwise.
    large
        Whether it goes by itself, in turn with batches of others.
    began, deadline
        Seconds of `time.monotonic`.
    """

    __slots__ = ("began", "deadline", "future", "large", "parts", "rows", "shapes", "size", "tries", "weight")

    def __init__(
        self,
        future: Waiter,
        rows: int,
        parts: Sequence[Buffer],
        size: int,
        began: float,
        deadline: float,
        shapes: Shapes = (),
        large: bool = False,
    ) -> None:
        self.future, self.rows, self.parts, self.size = future, rows, parts, size
        self.began, self.deadline, self.shapes, self.large = began, deadline, shapes, large
        self.tries = 0
        """How many workers ended while they had it."""
        self.weight = 1
        """What it counts: of the pieces of a large one, only the last counts."""


class Batch:
    """Requests that go to a worker together."""

    __slots__ = ("began", "number", "requests", "rows")

    def __init__(self, requests: list[Request], rows: int) -> None:
        self.requests, self.rows = requests, rows
        self.number, self.began = 0, 0.0


class Queue:
    """What waits, within bounds.

    Parameters
    ----------
    rows, size
        How many rows of small requests, and how many bytes of all, may wait.
    together
        Whether rows of several requests may share a batch.
    """

    def __init__(self, *, rows: int, size: int, together: bool) -> None:
        self._most_rows, self._most_size, self._together = rows, size, together
        self._small: deque[Request] = deque()
        self._large: deque[Request] = deque()
        self._again: deque[Request] = deque()
        self._last_was_large = False
        self.rows = self.size = 0
        self.rate = 0.0
        """Bytes that are answered in a second, as far as is known; 0 if nothing is."""

    def __len__(self) -> int:
        return len(self._small) + len(self._large) + len(self._again)

    def __iter__(self) -> Iterator[Request]:
        yield from self._again
        yield from self._small
        yield from self._large

    def admit(self, rows: int, size: int, *, large: bool = False) -> None:
        """See that this much more may wait.

        Raises
        ------
        Busy
            If as much waits as may. What nothing waits before is taken however large it is.
        """
        full = not large and self.rows + rows > self._most_rows
        if self.size and (full or self.size + size > self._most_size):
            raise Busy(
                "More requests wait for this model than may",
                cause=f"{len(self)} requests of {self.size} bytes wait.",
                after=min(60.0, max(1.0, round(self.size / self.rate))) if self.rate else 1.0,
            )

    def put(self, request: Request) -> None:
        """Have a request wait."""
        self.size += request.size
        if request.large:
            self._large.append(request)
        else:
            self.rows += request.rows
            self._small.append(request)

    def put_again(self, batch: Batch) -> None:
        """Have the requests of a batch that came to nothing wait before all others. Each of them goes by itself from now on."""
        for request in reversed(batch.requests):
            self._again.appendleft(request)
            self.size += request.size
            if not request.large:
                self.rows += request.rows

    def take(self) -> Batch | None:
        """Return the next batch, if anything waits. Requests that nobody waits for any more are dropped."""
        while self._again or self._small or self._large:
            if self._again:
                requests = [self._again.popleft()]
            elif self._large and not (self._small and self._last_was_large):
                requests, self._last_was_large = [self._large.popleft()], True
            else:
                requests, self._last_was_large = self._of_small(), False
            rows = size = small = 0
            wanted = []
            for request in requests:
                size += request.size
                if not request.large:
                    small += request.rows
                if not request.future.done():
                    wanted.append(request)
                    rows += request.rows
            self.size -= size
            self.rows -= small
            if wanted:
                return Batch(wanted, rows)
        return None

    def _of_small(self) -> list[Request]:
        small = self._small
        requests = [small.popleft()]
        if self._together:
            rows, size = requests[0].rows, requests[0].size
            while small and (rows := rows + small[0].rows) <= ROWS and (size := size + small[0].size) <= SIZE:
                requests.append(small.popleft())
        return requests

    def clear(self) -> list[Request]:
        """Take out all that waits."""
        found = list(self)
        for queue in (self._again, self._small, self._large):
            queue.clear()
        self.rows = self.size = 0
        return found
