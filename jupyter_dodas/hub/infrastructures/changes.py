"""Who waits for a change of an infrastructure hears of it."""

import asyncio
from collections.abc import Awaitable, Callable

from jupyter_dodas.hub.infrastructures.records import Record

__all__ = ["Changes"]


class Changes:
    """Wakes those who wait. What has changed they read again."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._over = False

    def tell(self, uid: str) -> None:
        """Wake all who wait for one."""
        for event in self._waiting.get(uid, ()):
            event.set()

    def end(self) -> None:
        """Let nobody wait any more."""
        self._over = True
        for uid in list(self._waiting):
            self.tell(uid)

    async def wait(self, uid: str, known: int, seconds: float, look: Callable[[], Awaitable[Record | None]]) -> Record | None:
        """Return one as it is when its generation is another than the known one, or when the time is over."""
        event = asyncio.Event()
        waiting = self._waiting.setdefault(uid, set())
        waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                while (found := await look()) is not None and found.generation == known and not self._over:
                    await event.wait()
                    event.clear()
        except TimeoutError:
            found = await look()
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(uid, None)
        return found
