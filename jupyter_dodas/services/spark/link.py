"""The controller's connection to a Spark cluster: it looks at the master's pages, and asks workers to retire.

Only the standard library is imported, since the controller is small.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from logging import getLogger
from time import monotonic, time
from typing import Any, Final

from jupyter_dodas.services.base import Endpoint, Report, Site
from jupyter_dodas.services.spark import credentials
from jupyter_dodas.services.spark.pages import Load, Master, Pages, answers_grpc

__all__ = ["SparkLink"]

logger = getLogger(__name__)

_EAGER: Final = 60.0  # for so many seconds after an instance was added, it is expected at any moment
_QUICK, _BUSY, _CALM = 0.15, 1.0, 2.0  # seconds between looks: while something starts, while applications are there, otherwise
_YOUNG: Final = 10.0  # for so many seconds an application is left alone: its first page would cost it a second of its start
_TOKEN: Final = 60.0
_ANSWER: Final = 5.0
_QUESTIONS: Final = 5  # so often a worker is asked for its versions, if it does not answer
_NAMED: Final = ("master", "connect")


class SparkLink:
    """See `jupyter_dodas.services.base.Link`. To be made on the running loop."""

    def __init__(self, site: Callable[[], Site], changed: Callable[[], None]) -> None:
        self._site, self._changed = site, changed
        self._report = Report()
        self._versions: Mapping[str, str] | None = None  # as the first worker has told them
        self._questions = _QUESTIONS
        self._ended: float | None = None  # when activity ended, on our clock
        self._awaited: frozenset[str] = frozenset()
        self._since = monotonic()
        self._applications: Collection[str] = ()
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="spark link")

    async def report(self) -> Report:
        """Return what was seen last; an empty report while the master does not answer."""
        said = self._report
        if self._ended is None or said.active:
            return said
        return replace(said, last_active=max(monotonic() - self._ended, 0.0))

    async def drain(self, instances: Sequence[str]) -> Collection[str]:
        """Decommission workers: their executors take no more tasks, give away what they hold, and end."""
        site = self._site()
        try:
            properties = credentials.read(site.secrets)
        except OSError:
            return ()
        there = [(name, endpoint) for name in instances if (endpoint := site.endpoints.get(name)) is not None]
        left = await asyncio.gather(*(_beside(f"decommission {name}", endpoint, properties) for name, endpoint in there))
        return [name for (name, _), said in zip(there, left, strict=True) if said is not None and said["executors"] == 0]

    async def close(self) -> None:
        """Look no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _watch(self) -> None:
        while True:
            site = self._site()
            try:
                self._take(await self._look(site))
            except (OSError, ValueError, LookupError) as error:
                logger.debug("The master cannot be asked: %s", error, extra={"cluster": site.cluster})
                self._take(Report())
            await asyncio.sleep(self._pause(site))

    def _pause(self, site: Site) -> float:
        awaited = frozenset(site.endpoints) - self._report.ready
        if awaited - self._awaited:
            self._since = monotonic()
        self._awaited = awaited
        if awaited and monotonic() - self._since < _EAGER:
            return _QUICK
        return _BUSY if self._applications else _CALM

    async def _look(self, site: Site) -> Report:
        properties = credentials.read(site.secrets)
        pages = Pages(site.endpoints["master"], credentials.bearer(properties, time() + _TOKEN))
        master = await pages.master()
        self._applications = master.applications
        ready = {"master", *_alive(site, master)}
        if self._versions is None and self._questions and (worker := next((name for name in ready if name not in _NAMED), None)):
            self._questions -= 1
            self._versions = await _beside(f"versions {worker}", site.endpoints[worker], properties)
        if (connect := site.endpoints.get("connect")) is not None and await answers_grpc(connect.host, connect.ports["grpc"]):
            ready.add("connect")
        loads = [await self._ask(pages, master, application) for application in master.applications]
        known = [load for load in loads if load is not None]
        named = {where: name for name, where in _addresses(site).items()}
        busy = {master.identifiers.get(worker) for load in known for worker in load.busy}
        unknown = len(known) < len(loads)
        if unknown:
            busy |= master.used  # of an application that does not answer, all is taken to be in use
        tasks = Load(sum(load.tasks for load in known))
        return Report(
            ready=frozenset(ready),
            busy=frozenset(named[where] for where in busy if where in named),
            wanted=None if unknown else tasks.workers(int(properties[credentials.CORES])),
            active=unknown or tasks.tasks > 0,
            versions=self._versions or {},
        )

    async def _ask(self, pages: Pages, master: Master, application: str) -> Load | None:
        if master.alive and time() - master.applications[application] < _YOUNG:
            return None
        try:
            return await pages.load(application)
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.debug("%s cannot be asked: %s", application, error)
            return None

    def _take(self, report: Report) -> None:
        if self._report.active and not report.active:
            self._ended = monotonic()
        differs, self._report = report != self._report, report
        if differs:
            self._changed()


def _addresses(site: Site) -> Mapping[str, tuple[str, int]]:
    return {name: (e.host, e.ports["rpc"]) for name, e in (site.inner or site.endpoints).items() if name not in _NAMED}


def _alive(site: Site, master: Master) -> Collection[str]:
    return [name for name, where in _addresses(site).items() if where in master.alive]


async def _beside(request: str, endpoint: Endpoint, properties: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Ask what is beside one worker: to have it retire, which may be repeated, or for versions. None if it does not answer."""
    with suppress(OSError, ValueError, LookupError):
        async with asyncio.timeout(_ANSWER):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.ports["control"])
            try:
                challenge = (await reader.readline()).decode("ascii").strip()
                writer.write(f"{credentials.proof(properties, challenge, request)} {request}\n".encode())
                said: Mapping[str, Any] = json.loads(await reader.readline())
                return said
            finally:
                writer.transport.abort()
    return None
