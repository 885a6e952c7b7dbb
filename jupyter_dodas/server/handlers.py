"""The REST interface: one short handler for each resource."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final

from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from pydantic import BaseModel
from tornado import web
from tornado.iostream import StreamClosedError

from jupyter_dodas import aio
from jupyter_dodas.errors import InvalidOption, NotSupported, did_you_mean
from jupyter_dodas.server import openapi
from jupyter_dodas.server.base import DodasHandler
from jupyter_dodas.server.clusters import Clusters, written
from jupyter_dodas.server.infrastructures import Desk, infrastructure_routes
from jupyter_dodas.server.proxy import DashboardHandler
from jupyter_dodas.views import (
    ClusterPatch,
    ClusterRequest,
    LogLine,
    LogsQuery,
    LogsView,
    QuotaView,
    ReceiptList,
    ReceiptsQuery,
    UsageQuery,
    UsageView,
)

__all__ = ["API", "routes"]

API: Final = "/dodas/api/v1"

_GLANCE: Final = 0.5
_EVERY: Final = 2.0
"""Seconds between two looks at what is used."""


class KindsHandler(DodasHandler):
    """What can be launched."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return every kind, with the schema of its options."""
        self.reply(await self.clusters.kinds())


class ClustersHandler(DodasHandler):
    """All clusters of the user."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return every cluster."""
        self.reply(await self.clusters.list())

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Accept a request for a cluster; events tell how it fares."""
        record = await self.clusters.launch(self.body(ClusterRequest))
        self.set_header("Location", url_path_join(self.base_url, API, "clusters", record.name))
        self.reply(written(record), HTTPStatus.ACCEPTED, of=record)


class ClusterHandler(DodasHandler):
    """One cluster."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Return what was asked and what is."""
        record = await self.clusters.get(name)
        self.reply(written(record), of=record)

    @web.authenticated
    @authorized
    async def patch(self, name: str) -> None:
        """Change what is asked."""
        record = await self.clusters.change(name, self.body(ClusterPatch), self.tags())
        self.reply(written(record), of=record)

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Stop it, or dismiss it after a failure; events tell when it is gone."""
        record = await self.clusters.stop(name, self.tags())
        if record is None:
            self.set_status(HTTPStatus.NO_CONTENT)
            self.finish()
        else:
            self.reply(written(record), HTTPStatus.ACCEPTED, of=record)


class FollowingHandler(DodasHandler):
    """A reply that goes on, by lines of JSON, for as long as somebody reads."""

    _following: "asyncio.Task[None] | None" = None

    async def follow(self, views: AsyncGenerator[Sequence[BaseModel], None]) -> None:
        """Write what comes, until there is no more."""
        self._following = asyncio.create_task(self._write_all(views))
        await asyncio.wait([self._following])

    async def _write_all(self, views: AsyncGenerator[Sequence[BaseModel], None]) -> None:
        self.set_header("Content-Type", "application/x-ndjson")
        self.set_header("X-Accel-Buffering", "no")  # a proxy that gathers lines would delay them for ever
        try:
            async with aclosing(views) as all_of_them:
                async for some in all_of_them:
                    self.write("".join(f"{view.model_dump_json()}\n" for view in some))
                    await self.flush()
            self.finish(set_content_type="application/x-ndjson")
        except StreamClosedError:
            pass

    def on_connection_close(self) -> None:
        """Stop looking when nobody reads any more."""
        super().on_connection_close()
        if self._following is not None:
            self._following.cancel()


class LogsHandler(FollowingHandler):
    """What the instances of a cluster wrote."""

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Return the last lines, or go on with each new one as a line of JSON."""
        query = self.query(LogsQuery)
        cluster = await self.clusters.held(name)
        found = await cluster.logs(query.instance, lines=query.lines)
        if query.instance is not None and not found:
            known = list(await cluster.logs(lines=1))
            raise InvalidOption(
                f"{name!r} has no instance {query.instance!r}",
                cause=did_you_mean(query.instance, known),
                remedy=f"Instances: {', '.join(known) or 'none has written anything'}.",
            )
        if not query.follow:
            return self.reply(LogsView(logs=found))
        return await self.follow(self._lines(cluster, query))

    async def _lines(self, cluster: aio.Cluster, query: LogsQuery) -> AsyncGenerator[Sequence[LogLine], None]:
        async with aclosing(cluster.tail(query.instance, lines=query.lines)) as said:
            async for lines in said:
                yield [LogLine.model_construct(instance=name, line=line) for name, line in lines]


class UsageHandler(FollowingHandler):
    """What is used of what is held."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Measure for a moment, or go on with each new look as a line of JSON."""
        if self.query(UsageQuery).follow:
            return await self.follow(self._looks())
        async with aclosing(self.clusters.usage(_GLANCE)) as looks:
            async for view in looks:
                return self.reply(view)
        return self.reply(UsageView(usage={}))

    async def _looks(self) -> AsyncGenerator[Sequence[UsageView], None]:
        async with aclosing(self.clusters.usage(_EVERY)) as looks:
            async for view in looks:
                yield [view]


class ReceiptsHandler(DodasHandler):
    """What clusters took."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return the receipts of clusters that have ended."""
        uids = {uid for uid in self.query(ReceiptsQuery).uids.split(",") if uid}
        self.reply(ReceiptList(receipts=await self.clusters.receipts(uids)))


class QuotaHandler(DodasHandler):
    """What may be held at once."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return limits and what is used of them."""
        self.reply(QuotaView.of(await self.clusters.quota()))


class OpenApiHandler(DodasHandler):
    """This interface, for programs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Return the OpenAPI document."""
        self.reply(openapi.document(url_path_join(self.base_url, API)))


class NowhereHandler(DodasHandler):
    """Everything else below the API."""

    async def _refuse(self, *_: str) -> None:
        """Refuse all methods alike, after a look at who asks."""
        raise web.HTTPError(HTTPStatus.NOT_FOUND if self.current_user else HTTPStatus.FORBIDDEN)

    get = head = post = put = patch = delete = _refuse


class ClosedProxyHandler(DodasHandler):
    """The routes on which jupyter-server-proxy would lead to any port of this machine."""

    async def _refuse(self, *_: str) -> None:
        """Refuse all methods alike."""
        raise NotSupported(
            "The open routes of jupyter-server-proxy are off",
            cause="They lead to any port of this machine.",
            remedy="Dashboards of clusters have paths of their own. An administrator can set DodasServer.open_proxy.",
        )

    get = head = post = put = patch = delete = _refuse


def routes(clusters: Clusters, desk: Desk, *, open_proxy: bool) -> list[tuple[Any, ...]]:
    """Return the handlers of the extension.

    Parameters
    ----------
    open_proxy
        Whether the routes of jupyter-server-proxy to any port stay.
    """
    shared = {"clusters": clusters}
    name = "([^/]+)"
    table: list[tuple[Any, ...]] = [
        (rf"{API}/kinds", KindsHandler, shared),
        (rf"{API}/clusters", ClustersHandler, shared),
        (rf"{API}/clusters/{name}", ClusterHandler, shared),
        (rf"{API}/clusters/{name}/logs", LogsHandler, shared),
        (rf"{API}/clusters/{name}/ui/{name}(/.*)?", DashboardHandler, shared),
        (rf"{API}/quota", QuotaHandler, shared),
        (rf"{API}/usage", UsageHandler, shared),
        (rf"{API}/receipts", ReceiptsHandler, shared),
        *infrastructure_routes(API, shared, desk),
        (rf"{API}/openapi\.json", OpenApiHandler, shared),
        (rf"{API}(?:/.*)?", NowhereHandler, shared),
    ]
    if not open_proxy:
        table.append((r"/proxy/.*", ClosedProxyHandler, shared))
    return table
