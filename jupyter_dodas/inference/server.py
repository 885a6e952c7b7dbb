"""One inference server: its parts, put together, started and ended in order."""

import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Final

from jupyter_dodas.errors import ModelNotFound
from jupyter_dodas.inference.control import Control
from jupyter_dodas.inference.conversion.jobs import Converter
from jupyter_dodas.inference.execution.live import Bounds
from jupyter_dodas.inference.execution.plane import Plane
from jupyter_dodas.inference.fleet import Changes, Replicas
from jupyter_dodas.inference.http.access import Access, Caller
from jupyter_dodas.inference.http.app import App
from jupyter_dodas.inference.http.intake import Intake
from jupyter_dodas.inference.http.log import Journal
from jupyter_dodas.inference.http.metrics import Metrics
from jupyter_dodas.inference.http.rates import Rates
from jupyter_dodas.inference.records import Manifest
from jupyter_dodas.inference.replicas.keeping import Keeping
from jupyter_dodas.inference.settings import Settings
from jupyter_dodas.inference.versions.store import State, Store

__all__ = ["Server", "serving"]

logger = logging.getLogger(__name__)

_INTAKES: Final = 1000


class Server:
    """The parts of one server, as protocols and pages see them."""

    def __init__(self, settings: Settings) -> None:
        self.settings: Final = settings
        self.version: Final = version("jupyter-dodas")
        self._began = time.monotonic()
        self.ready = False
        """Whether requests may come: not before everything is started, and not once the end has begun."""
        self.store: Final = Store(settings.folder)
        bounds = Bounds(rows=settings.queue_rows, size=settings.queue_bytes, timeout=settings.timeout)
        self.plane: Final = Plane(self.store, bounds=bounds, resident=settings.resident, memory=settings.worker_memory)
        self.converter: Final = Converter()
        self.keeping: Final = Keeping(self.store, self.plane.refresh)
        self.access: Final = Access(settings)
        self.rates: Final = Rates(settings.rate, settings.burst)
        self.metrics: Final = Metrics(self.plane.status)
        self.journal: Final = Journal(settings.log, self.metrics.count)
        self.changes: Final = Changes()
        self.app: Final = App(self)
        self._intakes: dict[tuple[str, str], Intake] = {}

    @property
    def uptime(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._began

    def intake(self, manifest: Manifest) -> Intake:
        """Return how rows of a version are read."""
        name = manifest.model, manifest.version
        found = self._intakes.get(name)
        if found is None:
            if len(self._intakes) >= _INTAKES:
                self._intakes.clear()
            found = self._intakes[name] = Intake(manifest)
        return found

    def catalogue(self, caller: Caller, model: str | None = None) -> Iterator[tuple[State, Sequence[Manifest]]]:
        """Yield the models of which a caller may see versions, with these, newest first.

        What is or was published is everybody's to see; what is staged, its owner's and the administrators'.
        """
        for name, state in self.store.models().items():
            if model in {None, name}:
                try:
                    versions = self.store.versions(name)
                except ModelNotFound:
                    continue  # it was deleted meanwhile
                seen = [one for one in versions if self.sees(caller, state, one)]
                if seen:
                    yield state, seen

    def sees(self, caller: Caller, state: State, one: Manifest) -> bool:
        """Whether a caller may know of a version."""
        opened = one.version == state.published or one.version in state.history
        return opened or caller.administrator or one.lineage.owner == caller.name


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Server]:
    """Start the parts of a server, and end them.

    Raises
    ------
    InvalidSetting, StateNotWritable
        If it cannot start.
    """
    server = Server(settings)
    async with AsyncExitStack() as stack:
        stack.callback(server.journal.close)
        stack.push_async_callback(server.access.close)
        stack.push_async_callback(server.plane.close)
        stack.push_async_callback(server.converter.close)
        await server.plane.start()
        if settings.standby:
            server.converter.expect()
        if settings.replicas_port is not None and settings.certificates is not None:
            stack.push_async_callback(server.keeping.close)
            server.keeping.start()
            server.plane.replicas.others = server.keeping.attend
            await server.plane.replicas.open(settings.host, settings.replicas_port, settings.certificates)
        if settings.control_port is not None and settings.certificates is not None:
            control = Control(Replicas(server.plane, server.keeping, server.changes), target=settings.target)
            stack.push_async_callback(control.close)
            await control.open(settings.host, settings.control_port, settings.certificates)
        server.ready = True
        try:
            yield server
        finally:
            server.ready = False
