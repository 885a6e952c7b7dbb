"""Counting the tasks of one client, by name, in the scheduler: a `Counter` is sent there, and stays until the client has gone.

Whatever Dask itself streams (`progress_stream`) is about all clients, is sent also while nothing happens, and knows no beginning.
"""

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from time import time
from typing import Any, Final

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler

__all__ = ["Counter"]

_LINGER: Final = 10.0
"""Seconds for which the tasks of a client are known after it was closed."""

_KEPT: Final = 2**20
"""The times of so many tasks of one name are remembered."""


class _Row:
    """Tasks of one name: how many are open and run, and when others were over."""

    __slots__ = ("done", "failed", "open", "running")

    def __init__(self) -> None:
        self.open = self.running = 0
        self.done, self.failed = array("d"), array("d")


class Counter(SchedulerPlugin):
    """Counts what becomes of the tasks that a client has asked for.

    It answers to the operation ``dodas_work`` with the name of the client and a time.
    """

    def __init__(self, client: str) -> None:
        self.name = _name(client)
        self._client = client
        self._rows: dict[str, _Row] = {}
        self._open: dict[Any, _Row] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """Answer. What answers is the same for all clients."""

        def answer(client: str, since: float) -> Mapping[str, Any]:
            counter = scheduler.plugins.get(_name(client))
            return {"now": time(), "tasks": counter.since(since) if isinstance(counter, Counter) else []}

        scheduler.handlers["dodas_work"] = answer

    def update_graph(self, scheduler: Scheduler, *, client: str, tasks: Any, **_: Any) -> None:
        """Take in what a client asks for. A result that is there already is no work."""
        if client != self._client:
            return
        for key in tasks:
            task = scheduler.tasks.get(key)
            if task is None or key in self._open or task.state in {"memory", "erred", "forgotten"}:
                continue
            row = self._open[key] = self._rows.setdefault(task.prefix.name, _Row())
            row.open += 1
            row.running += task.state == "processing"

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        """Take in what becomes of a task. What is computed once more, since a worker died, is not counted twice."""
        row = self._open.get(key)
        if row is None:
            return
        if start == "processing":
            row.running -= 1
        if finish == "processing":
            row.running += 1
        elif finish in {"memory", "erred", "forgotten"}:
            del self._open[key]
            row.open -= 1
            if finish != "forgotten":  # nobody wants it any longer
                times = row.done if finish == "memory" else row.failed
                times.append(time())
                if len(times) > _KEPT:
                    del times[: _KEPT // 2]

    def since(self, since: float) -> list[tuple[str, int, int, int, int]]:
        """Return name, total, done, running and failed of what was not over at a time, and forget what was."""
        found = []
        for name, row in list(self._rows.items()):
            for times in (row.done, row.failed):
                del times[: bisect_left(times, since)]
            done, failed = len(row.done), len(row.failed)
            if row.open or done or failed:
                found.append((name, row.open + done + failed, done, row.running, failed))
            else:
                del self._rows[name]
        return found

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Go, soon after the client has."""
        if client == self._client:
            scheduler.loop.call_later(_LINGER, self._leave, scheduler)

    def restart(self, scheduler: Scheduler) -> None:
        """Forget everything, as the scheduler does."""
        self._rows.clear()
        self._open.clear()

    def _leave(self, scheduler: Scheduler) -> None:
        with suppress(ValueError):
            scheduler.remove_plugin(self.name)


def _name(client: str) -> str:
    return f"dodas-work-{client}"
