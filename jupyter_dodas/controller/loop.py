"""The controller of a place: one queue of names, and a few tasks that reconcile them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from jupyter_dodas.backends.base import Runner, Store
from jupyter_dodas.controller.bearer import Bearer
from jupyter_dodas.controller.queue import WorkQueue
from jupyter_dodas.controller.reconcile import Reconciler
from jupyter_dodas.errors import DodasError
from jupyter_dodas.services.base import Service
from jupyter_dodas.settings import Limits, Settings
from jupyter_dodas.spec import Phase

__all__ = ["Controller"]

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 8
_RESYNC: Final = 300.0
_NEWCOMER: Final = 30.0


class Controller:
    """Makes every cluster of a place what its user asked for, until nothing is left to do for a while.

    Parameters
    ----------
    limits
        See `Reconciler`.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        services: Callable[[str], Service],
        settings: Settings,
        clock: Callable[[], float] = time.time,
        *,
        limits: Callable[[], Awaitable[Limits]] | None = None,
    ) -> None:
        self._store, self._runner, self._settings = store, runner, settings
        self._queue = WorkQueue()
        # Started for a launch that has yet to write its record.
        self._newcomer = True
        self._bearer = Bearer(store, runner, clock)
        self._reconciler = Reconciler(store, runner, services, settings, self._queue.add, clock, limits)

    async def run(self) -> None:
        """Run until the place has been empty for as long as the settings say."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._hear(self._store.watch())),
                    tasks.create_task(self._hear(self._runner.watch(), self._bearer.stir)),
                    tasks.create_task(self._bearer.run()),
                    *(tasks.create_task(self._work()) for _ in range(_AT_ONCE)),
                ]
                await self._until_empty()
                for task in running:
                    task.cancel()
        finally:
            await self._reconciler.close()

    async def _hear(self, hints: AbstractAsyncContextManager[AsyncIterator[str]], also: Callable[[], None] = lambda: None) -> None:
        async with hints as names:
            await self._look_at_everything()
            async for name in names:
                if name:
                    self._queue.add(name)
                    also()
                else:
                    await self._look_at_everything()

    async def _look_at_everything(self) -> None:
        names = {record.name for record in await self._store.list()}.union(await self._runner.clusters())
        for name in sorted(names):
            self._queue.add(name)

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            self._newcomer = failed = False
            try:
                again = await self._reconciler.reconcile(name)
                if again is not None:
                    self._queue.add_after(name, again)
            except DodasError as error:
                failed = True
                _log.warning("%s cannot be dealt with now: %s", name, error, extra={"cluster": name})
            except Exception:  # noqa: BLE001 - one cluster's trouble must not end the others' controller
                failed = True
                _log.exception("%s cannot be dealt with now", name, extra={"cluster": name})
            finally:
                self._queue.done(name, failed=failed)

    async def _until_empty(self) -> None:
        """Wait until there was nothing to do for long enough. Failed clusters need nobody."""
        loop = asyncio.get_running_loop()
        empty_since, resynced = loop.time(), loop.time()
        while True:
            await asyncio.sleep(min(15.0, max(0.1, self._settings.linger / 10)))
            now = loop.time()
            if now - resynced > _RESYNC:
                resynced = now
                await self._look_at_everything()
            records = await self._store.list()
            if any(record.status.phase is not Phase.FAILED for record in records) or await self._runner.clusters():
                empty_since = now
                continue
            patience = max(self._settings.linger, _NEWCOMER) if self._newcomer else self._settings.linger
            if now - empty_since >= patience:
                return
