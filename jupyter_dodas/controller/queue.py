"""A keyed work queue: merges what comes twice, hands out a name to one worker at a time, and backs off from what fails."""

import asyncio
import heapq
from typing import Final

__all__ = ["WorkQueue"]

_FIRST: Final = 0.1
_LONGEST: Final = 30.0


class WorkQueue:
    """Names that are to be looked at. For use on one event loop."""

    def __init__(self) -> None:
        self._ready: dict[str, None] = {}  # ordered, without duplicates
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._wake = asyncio.Event()

    def add(self, name: str) -> None:
        """Have it looked at as soon as may be."""
        self._due.pop(name, None)
        if name in self._active:
            self._again.add(name)
        else:
            self._ready[name] = None
            self._wake.set()

    def add_after(self, name: str, delay: float) -> None:
        """Have it looked at after `delay` seconds, unless it is looked at before. The earliest of several calls counts."""
        due = asyncio.get_running_loop().time() + max(0.0, delay)
        if due < self._due.get(name, float("inf")):
            self._due[name] = due
            heapq.heappush(self._later, (due, name))
            self._wake.set()

    async def get(self) -> str:
        """Wait for the next name; it is handed out again only after `done`."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            while self._later and self._later[0][0] <= now:
                due, name = heapq.heappop(self._later)
                if self._due.get(name) == due:
                    self.add(name)
            if self._ready:
                name = next(iter(self._ready))
                del self._ready[name]
                self._due.pop(name, None)
                self._active.add(name)
                return name
            self._wake.clear()
            timeout = self._later[0][0] - now if self._later else None
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def done(self, name: str, *, failed: bool = False) -> None:
        """Give a name back. One that failed comes again by itself, later each time."""
        self._active.discard(name)
        if failed:
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            self.add_after(name, min(_LONGEST, _FIRST * 2 ** (failures - 1)))
        else:
            self._failures.pop(name, None)
        if name in self._again:
            self._again.discard(name)
            self.add(name)
        elif self._ready or self._later:
            self._wake.set()
