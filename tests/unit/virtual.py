"""A loop whose time passes at once: whatever waits for a moment finds it come, in the right order."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualLoop"]

T = TypeVar("T")


class _Instant(selectors.SelectSelector):
    """Instead of waiting, it moves the clock."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self.loop.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        selector = _Instant()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """The time that it is here."""
        return self.now

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self.run_until_complete(work)

    def pass_time(self, seconds: float) -> None:
        """Let everything that is due in the next seconds happen."""
        self.do(asyncio.sleep(seconds))

    def turn(self, times: int) -> None:
        """Go round so many times, whatever is under way."""

        async def turn() -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        self.do(turn())
