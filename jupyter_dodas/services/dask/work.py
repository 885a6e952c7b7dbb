"""What a Dask cluster does for one client, as a notebook shows it."""

import asyncio
import time
import weakref
from collections.abc import Sequence
from typing import Any, Final, cast

from distributed.client import Client
from distributed.core import rpc

from jupyter_dodas.services.dask.counting import Counter
from jupyter_dodas.services.work import Work

__all__ = ["DaskObserver", "begin"]

_PATIENCE: Final = 5.0
"""Seconds for an answer of the scheduler."""


async def begin(client: Client) -> "DaskObserver":
    """Have the scheduler count the tasks of a client from now on, and return what looks at them."""
    await client.register_plugin(Counter(client.id))
    asked = time.time()
    scheduler: Any = client.scheduler
    reply = await scheduler.dodas_work(client=client.id, since=asked)
    answered = time.time()
    ahead = reply["now"] - (asked + answered) / 2
    # On one machine there is one clock; how long the question took says nothing about it.
    return DaskObserver(client, scheduler.address, ahead if abs(ahead) > (answered - asked) / 2 else 0.0)


class DaskObserver:
    """Asks the scheduler by a connection of its own: the client's loop may be the kernel's, which is busy.

    Parameters
    ----------
    ahead
        Seconds by which the clock of the scheduler is ahead of this one.
    """

    title: Final = "Dask"
    row: Final = ""
    item: Final = "task"
    lag: Final = 0.0

    def __init__(self, client: Client, address: str, ahead: float) -> None:
        self._client = weakref.ref(client)
        self._id = client.id
        self._ahead = ahead
        self._scheduler = rpc(address, connection_args=client.connection_args)  # type: ignore[no-untyped-call]
        self._loop = asyncio.new_event_loop()

    def look(self, since: float) -> Sequence[Work]:
        """Ask for the tasks of the client, by name."""
        found = self._loop.run_until_complete(asyncio.wait_for(self._ask(since + self._ahead), _PATIENCE))
        return [
            Work(name, total, done, running, failed, over=done + failed >= total) for name, total, done, running, failed in found
        ]

    def over(self) -> bool:
        """Whether the client is closed."""
        client = self._client()
        return client is None or client.status in {"closing", "closed"}

    def close(self) -> None:
        """Let go of the connection."""
        self._loop.run_until_complete(self._scheduler.close_rpc())  # type: ignore[no-untyped-call]
        self._loop.close()

    async def _ask(self, since: float) -> Sequence[tuple[str, int, int, int, int]]:
        reply = await self._scheduler.dodas_work(client=self._id, since=since)
        return cast("Sequence[tuple[str, int, int, int, int]]", reply["tasks"])
