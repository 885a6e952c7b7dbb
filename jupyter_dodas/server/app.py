"""The extension as Jupyter Server loads it."""

import asyncio
import contextlib
from typing import Any

import prometheus_client
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool

from jupyter_dodas.server.clusters import Clusters
from jupyter_dodas.server.handlers import routes
from jupyter_dodas.server.hints import SCHEMA, SCHEMA_ID, Hints
from jupyter_dodas.server.metrics import ClusterMetrics

__all__ = ["DodasServer"]


class DodasServer(ExtensionApp):
    """Clusters on demand in Jupyter Server."""

    name = "dodas"

    open_proxy = Bool(
        default_value=False,
        help="Leave the routes of jupyter-server-proxy open that lead to any port of this machine (/proxy/<port>/).",
    ).tag(config=True)

    _hinting: "asyncio.Task[None] | None" = None

    def initialize_settings(self) -> None:
        """Make what handlers, hints and metrics share."""
        server: Any = self.serverapp
        # Before anybody can subscribe: a listener hears only of schemas that were there when it came.
        server.event_logger.register_event_schema(SCHEMA)
        self.clusters = Clusters()
        self.hints = Hints(self.clusters, self._tell)
        self.metrics = ClusterMetrics(lambda: self.hints.known)

    def initialize_handlers(self) -> None:
        """Add the routes. Extensions are loaded by name, so they stand before those of jupyter-server-proxy."""
        self.handlers.extend(routes(self.clusters, open_proxy=self.open_proxy))

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begin to watch, once the loop runs."""
        prometheus_client.REGISTRY.register(self.metrics)
        self._hinting = asyncio.create_task(self.hints.run())

    async def stop_extension(self) -> None:
        """Stop watching. The clusters go on."""
        if self._hinting is None:
            return
        prometheus_client.REGISTRY.unregister(self.metrics)
        self._hinting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._hinting

    def _tell(self, name: str, generation: int) -> None:
        server: Any = self.serverapp
        server.event_logger.emit(schema_id=SCHEMA_ID, data={"id": name, "generation": generation})
