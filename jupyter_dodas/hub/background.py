"""Work that nobody waits for."""

import asyncio
from collections.abc import Coroutine

__all__ = ["Background"]


class Background:
    """Holds work until it is done: a loop forgets tasks that nobody holds."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Begin it, and go on."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
