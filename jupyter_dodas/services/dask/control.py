"""The scheduler's end of the control channel: it tells the controller how it is, and retires workers for it.

Over TLS, where both ends show the cluster's certificate. The scheduler begins with ``{"versions": {...}}``.
"""

import asyncio
from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path
from time import monotonic
from typing import Any, Final

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler

from jupyter_dodas.channel import ALIVE, Channel, Observation
from jupyter_dodas.credentials import accepting
from jupyter_dodas.services.dask.observation import observe
from jupyter_dodas.services.dask.retirement import Retirement
from jupyter_dodas.services.dask.service import DaskService
from jupyter_dodas.versions import installed

__all__ = ["Control"]

logger = getLogger(__name__)

_SOON: Final = 0.02  # a burst of changes makes one report
_PAUSE: Final = 0.2  # between reports of tasks that come and go; workers are reported at once
_TICK: Final = 1.0  # some changes have no event: a target that grows with time, memory that fills
_VERSIONS: Final = installed(DaskService.packages)


class Control(SchedulerPlugin):
    """Watches a scheduler and serves its control channel."""

    name = "dodas-control"

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._retirement = Retirement(scheduler)
        self._channel = Channel(self._greeting, self._retirement.retire)
        self._last: Observation | None = None
        self._said = 0.0
        self._ended: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, host: str, port: int, secrets: Path) -> None:
        """Serve until cancelled.

        Raises
        ------
        OSError
            If the port is taken.
        """
        self._scheduler.add_plugin(self)
        await self._channel.open(host, port, accepting(secrets))
        try:
            while True:
                await asyncio.sleep(_TICK)
                try:
                    self._look()
                except Exception:  # a look that fails must not end the scheduler, with all that it holds
                    logger.exception("The scheduler cannot be looked at")
        finally:
            await self._retirement.close()
            await self._channel.close()

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Note that a task moved. Called for every step of every task, so it does next to nothing."""
        if start == "processing":
            self._ended = monotonic()
        if self._timer is None:
            self._look_after(max(_SOON, self._said + _PAUSE - monotonic()))

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Tell at once that a worker came."""
        self._look_after(0)

    def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:
        """Tell at once that a worker went."""
        self._look_after(0)

    def log_event(self, topic: str, msg: Any) -> None:
        """Tell at once that a worker's status changed: it registers first, and runs a moment later."""
        if isinstance(msg, dict) and msg.get("action") == "worker-status-change":
            self._look_after(0)

    def _look_after(self, delay: float) -> None:
        if self._channel.listened:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        """Look at the scheduler, and tell the listeners if it differs from the last time or was silent for long."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._channel.listened:
            return
        seen = observe(self._scheduler, self._ended)
        if seen != self._last or monotonic() - self._said > ALIVE:
            self._last, self._said = seen, monotonic()
            self._channel.tell({"report": seen.message()})

    def _greeting(self) -> Sequence[Mapping[str, Any]]:
        return {"versions": _VERSIONS}, {"report": observe(self._scheduler, self._ended).message()}
