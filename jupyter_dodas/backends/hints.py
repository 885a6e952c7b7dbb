"""Hints within one process: names of clusters, told to everybody who watches."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

__all__ = ["Hints"]


class Hints:
    """Tells watchers which cluster may have changed."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[str], object] = {}

    def tell(self, name: str, teller: object = None) -> None:
        """Tell everybody but the teller, who knows."""
        for queue, watcher in self._queues.items():
            if teller is None or watcher is not teller:
                queue.put_nowait(name)

    @contextmanager
    def queue(self, watcher: object = None) -> Iterator[asyncio.Queue[str]]:
        """Collect what is told for as long as the context lasts."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues[queue] = watcher
        try:
            yield queue
        finally:
            del self._queues[queue]

    @asynccontextmanager
    async def watch(self, watcher: object = None) -> AsyncGenerator[AsyncIterator[str], None]:
        """Yield what is told."""
        with self.queue(watcher) as queue:
            heard = _each(queue)
            try:
                yield heard
            finally:
                await heard.aclose()


async def _each(queue: asyncio.Queue[str]) -> AsyncGenerator[str, None]:
    while True:
        yield await queue.get()
