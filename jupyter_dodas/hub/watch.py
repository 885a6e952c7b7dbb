"""Servers of people who may no longer be here are ended, whether or not anybody opens a page."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tornado.ioloop import PeriodicCallback

__all__ = ["Watch"]

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 8
"""People about whom the provider is asked at the same time."""


class Watch:
    """Looks after everybody who runs something.

    Parameters
    ----------
    app
        The hub.
    refresh
        Asks about one user; false if they may no longer be here.
    every
        Seconds between two looks.
    """

    def __init__(self, app: Any, refresh: Callable[[Any], Awaitable[bool]], every: float) -> None:
        self._app = app
        self._refresh = refresh
        self._timer = PeriodicCallback(self.look, every * 1000)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Look from time to time from now on."""
        self._timer.start()

    async def look(self) -> None:
        """Look at everybody once."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(user: Any) -> None:
            async with gate:
                if not await self._refresh(user):
                    await self.end(user)

        running = [user for user in list(self._app.users.values()) if user.active]
        for outcome in await asyncio.gather(*map(one, running), return_exceptions=True):
            if isinstance(outcome, Exception):
                _log.error("One user could not be looked at", exc_info=outcome)

    def end_soon(self, user: Any) -> None:
        """End what somebody runs, without keeping a request waiting for it."""
        task = asyncio.ensure_future(self.end(user))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, user: Any) -> None:
        """End all servers of a user. One that is just being started or stopped is seen at the next look."""
        for name, spawner in list(user.spawners.items()):
            if spawner.active and not spawner.pending:
                _log.warning("The server %s is ended: its user may no longer use this hub", spawner._log_name)  # noqa: SLF001
                await self._app.proxy.delete_user(user, name)
                await user.stop(name)
