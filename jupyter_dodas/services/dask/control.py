"""The scheduler's end of the control channel: it tells the controller how it is, and retires workers for it.

One JSON object a line, over TLS where both ends show the cluster's certificate. The scheduler begins with ``{"versions": {...}}``,
and speaks whenever something has changed, ``{"report": {...}}``, so nobody polls; it is asked
``{"id": 7, "retire": ["worker-1"]}`` and answers ``{"id": 7, "retired": [...]}``.
"""

import asyncio
import json
from logging import getLogger
from pathlib import Path
from time import monotonic
from typing import Any, Final

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler

from jupyter_dodas.services.dask.credentials import accepting
from jupyter_dodas.services.dask.observation import Observation, observe
from jupyter_dodas.services.dask.retirement import Retirement
from jupyter_dodas.services.dask.service import DaskService
from jupyter_dodas.versions import installed

__all__ = ["Control"]

logger = getLogger(__name__)

_SOON: Final = 0.02  # a burst of changes makes one report
_PAUSE: Final = 0.2  # between reports of tasks that come and go; workers are reported at once
_TICK: Final = 1.0  # some changes have no event: a target that grows with time, memory that fills
_ALIVE: Final = 5.0  # something is said at least this often
_LINE: Final = 2**20
_VERSIONS: Final = installed(DaskService.packages)
_BEHIND: Final = 2**22  # a listener that lets this many bytes pile up is cut off


class Control(SchedulerPlugin):
    """Watches a scheduler and serves its control channel."""

    name = "dodas-control"

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._retirement = Retirement(scheduler)
        self._listeners: set[asyncio.StreamWriter] = set()
        self._attending: set[asyncio.Task[None]] = set()
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
        server = await asyncio.start_server(self._accept, host, port, ssl=accepting(secrets), limit=_LINE)
        try:
            while True:
                await asyncio.sleep(_TICK)
                try:
                    self._look()
                except Exception:  # a look that fails must not end the scheduler, with all that it holds
                    logger.exception("The scheduler cannot be looked at")
        finally:
            server.close()
            for listener in self._listeners:
                listener.transport.abort()
            await self._retirement.close()
            await asyncio.gather(*self._attending)

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
        if self._listeners:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        """Look at the scheduler, and tell the listeners if it differs from the last time or was silent for long."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._listeners:
            return
        seen = observe(self._scheduler, self._ended)
        if seen != self._last or monotonic() - self._said > _ALIVE:
            self._last, self._said = seen, monotonic()
            for listener in list(self._listeners):
                _say(listener, {"report": seen.message()})

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._attend(reader, writer), name="control connection")
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one listener."""
        try:
            _say(writer, {"versions": _VERSIONS})
            _say(writer, {"report": observe(self._scheduler, self._ended).message()})
            self._listeners.add(writer)
            while line := await reader.readline():
                request = json.loads(line)
                retired = await self._retirement.retire(request["retire"])
                _say(writer, {"id": request["id"], "retired": retired})
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.info("A control connection ended: %s", error)
        finally:
            self._listeners.discard(writer)
            writer.close()


def _say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if writer.transport.get_write_buffer_size() > _BEHIND:
        writer.transport.abort()
    else:
        writer.write(json.dumps(message).encode() + b"\n")
