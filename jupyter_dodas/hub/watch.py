"""Servers of people who may no longer be here are ended, whether or not anybody opens a page."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tornado.ioloop import PeriodicCallback

__all__ = ["Watch"]

_AT_ONCE: Final = 8
"""People about whom the provider is asked at the same time."""


class Watch:
    """Looks after everybody who runs something.

    Parameters
    ----------
    app
        The hub.
    refresh
        Asks about one user, and has what they run ended if they may no longer be here.
    every
        Seconds between two looks.
    """

    def __init__(self, app: Any, refresh: Callable[[Any], Awaitable[bool]], every: float) -> None:
        self._app = app
        self._refresh = refresh
        self._timer = PeriodicCallback(self.look, every * 1000)
        self._ending: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Look from time to time from now on."""
        self._timer.start()

    async def look(self) -> None:
        """Ask about everybody who runs something."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(user: Any) -> None:
            async with gate:
                await self._refresh(user)

        running = [user for user in list(self._app.users.values()) if user.active]
        for outcome in await asyncio.gather(*map(one, running), return_exceptions=True):
            if isinstance(outcome, Exception):
                self._app.log.error("One user could not be looked at", exc_info=outcome)

    def end_soon(self, user: Any) -> bool:
        """End what a user runs, without keeping a request waiting for it. False if that is under way already."""
        if user.name in self._ending:
            return False
        task = self._ending[user.name] = asyncio.ensure_future(self._end(user))
        task.add_done_callback(lambda _: self._ending.pop(user.name))
        return True

    async def _end(self, user: Any) -> None:
        # One that is just being started or stopped is seen at the next look.
        for name, spawner in list(user.spawners.items()):
            if spawner.active and not spawner.pending:
                try:
                    await self._app.proxy.delete_user(user, name)
                    await user.stop(name)
                except Exception:
                    self._app.log.exception("A server of %s could not be ended", user.name)
