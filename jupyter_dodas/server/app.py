"""The extension as Jupyter Server loads it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import prometheus_client
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Float

from jupyter_dodas.server.activity import Activity
from jupyter_dodas.server.clusters import Clusters
from jupyter_dodas.server.handlers import routes
from jupyter_dodas.server.hints import SCHEMA, SCHEMA_ID, Hints
from jupyter_dodas.server.infrastructures import Desk
from jupyter_dodas.server.metrics import ClusterMetrics

__all__ = ["DodasServer"]


class DodasServer(ExtensionApp):
    """Clusters on demand in Jupyter Server."""

    name = "dodas"

    open_proxy = Bool(
        default_value=False,
        help="Leave the routes of jupyter-server-proxy open that lead to any port of this machine (/proxy/<port>/).",
    ).tag(config=True)

    activity_interval = Float(
        30.0,
        min=0.1,
        help="Seconds between two looks whether a cell or a cluster is at work, so that a hub does not end the server.",
    ).tag(config=True)

    _tasks: "Sequence[asyncio.Task[None]]" = ()

    def initialize_settings(self) -> None:
        """Make what handlers, hints and metrics share."""
        server: Any = self.serverapp
        # Before anybody can subscribe: a listener hears only of schemas that were there when it came.
        server.event_logger.register_event_schema(SCHEMA)
        self.clusters = Clusters()
        self.desk = Desk()
        self.hints = Hints(self.clusters, self._tell)
        self.activity = Activity(
            server.web_app.settings, server.kernel_manager.list_kernels, lambda: self.hints.known, self.activity_interval
        )
        self.metrics = ClusterMetrics(lambda: self.hints.known)

    def initialize_handlers(self) -> None:
        """Add the routes. Extensions are loaded by name, so they stand before those of jupyter-server-proxy."""
        self.handlers.extend(routes(self.clusters, self.desk, open_proxy=self.open_proxy))

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begin to watch, once the loop runs."""
        prometheus_client.REGISTRY.register(self.metrics)
        self._tasks = [asyncio.create_task(self.hints.run()), asyncio.create_task(self.activity.run())]

    async def stop_extension(self) -> None:
        """Stop watching. The clusters go on."""
        if not self._tasks:
            return
        prometheus_client.REGISTRY.unregister(self.metrics)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.desk.close()

    def _tell(self, name: str, generation: int) -> None:
        server: Any = self.serverapp
        server.event_logger.emit(schema_id=SCHEMA_ID, data={"id": name, "generation": generation})
