"""Dashboards behind Jupyter's sign-in: pages, files and websockets of the user's own clusters, and of nothing else.

The machinery is that of jupyter-server-proxy. Where a request goes is not in the request: the name of a cluster leads to its
record, and the address in it must be one that an instance of the cluster listens on. What a browser shows to Jupyter (cookies,
tokens) stays here; the dashboard is shown a key from the cluster's secrets.
"""

import gzip
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async, url_path_join
from jupyter_server_proxy.handlers import ProxyHandler  # type: ignore[import-untyped]
from tornado import httputil, web
from tornado.httpclient import HTTPClientError

from jupyter_dodas import registry
from jupyter_dodas.errors import InvalidOption, NotSupported, NotYours, TimedOut, did_you_mean
from jupyter_dodas.server.base import RESOURCE, ErrorReplies
from jupyter_dodas.server.clusters import Clusters
from jupyter_dodas.spec import Record
from jupyter_dodas.views import dashboards

__all__ = ["DashboardHandler", "Target", "target_of"]

_KEPT_HERE: Final = ("Authorization", "Cookie", "Origin", "Referer", "X-Xsrftoken")
"""Headers that are between the browser and Jupyter."""

_WITH_LINKS: Final = ("text/html", "application/json")

_CONNECT: Final = 10.0
"""Seconds in which a dashboard must take a connection."""

_TRICKS: Final = re.compile(r"(?:^|/)\.\.?(?:/|$)|[\x00-\x1f\x7f\\]")
"""Paths that may mean another place to whoever reads them next."""


@dataclass(frozen=True)
class Target:
    """Where a dashboard listens."""

    host: str
    port: int


def target_of(record: Record, dashboard: str, reached: Mapping[str, str] | None = None) -> Target:
    """Return where a dashboard of a cluster is. Pure.

    Parameters
    ----------
    reached
        The addresses as this process reaches them; by default those of the record.

    Raises
    ------
    NotSupported
        If there is no such dashboard.
    NotYours
        If its address is not one of the cluster's own, or neither on this machine nor in the namespace of this pod.
    """
    known = dashboards(record)
    if dashboard not in known:
        raise NotSupported(
            f"{record.name!r} has no dashboard {dashboard!r}",
            cause=did_you_mean(dashboard, known) or f"It is {record.status.phase}.",
            remedy=f"Dashboards: {', '.join(known) or 'none yet'}.",
        )
    address = record.status.addresses[dashboard]
    target = _target(address)
    listening = {Target(i.host, number) for i in record.status.instances.values() for number in i.ports.values()}
    here = target if reached is None else _target(reached.get(dashboard, ""))
    if target not in listening or not (_is_loopback(here.host) or here.host in _own_names(record)):
        raise NotYours(
            f"The dashboard of {record.name!r} is not opened",
            cause=f"Its address {address} is not one of the cluster's own, on this machine or in the namespace of this server.",
            remedy="Restart the cluster.",
        )
    return here


def _own_names(record: Record) -> Collection[str]:
    """Return the names of the cluster's pods. They are single words, so a resolver takes them for names of its own namespace.

    Whoever can write a record could name an instance with dots, and so another host.
    """
    return {f"{record.name}-{instance}" for instance in record.status.instances if "." not in instance}


def _target(address: str) -> Target:
    try:
        parts = urlsplit(address)
        return Target(parts.hostname or "", parts.port or 80)
    except ValueError:
        return Target("", 0)


def _is_loopback(host: str) -> bool:
    """Whether it is an address of this machine alone; a name is not, since it may resolve to another address the next time."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class DashboardHandler(ErrorReplies, ProxyHandler):  # type: ignore[misc]
    """Forwards what a browser asks of a dashboard. Most of them only show; verbs go to those that their kind names for it."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
    auth_resource = RESOURCE

    def initialize(self, clusters: Clusters) -> None:
        """Take what the route was made with."""
        self.clusters = clusters
        self.host_allowlist = lambda _, host: host == self._target.host
        self.rewrite_response = self._rewriter()
        self.update_last_activity = False  # an open page alone is not use
        self._key: Mapping[str, str] = {}

    @web.authenticated
    @authorized
    async def get(self, name: str, dashboard: str, path: str | None) -> None:
        """Forward a page, a file or a websocket."""
        await self._aim(name, dashboard, path)
        await ensure_async(super().get(name, dashboard, path))

    @web.authenticated
    @authorized
    async def head(self, name: str, dashboard: str, path: str | None) -> None:
        """Forward a question for the headers."""
        await self._aim(name, dashboard, path)
        await self.http_get()

    @web.authenticated
    @authorized
    async def post(self, name: str, dashboard: str, path: str | None) -> None:
        """Forward a verb, if this dashboard takes any."""
        await self._aim(name, dashboard, path)
        if dashboard not in self._service.verbs:
            raise web.HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)
        await self.http_get()

    put = delete = post

    def check_xsrf_cookie(self) -> None:
        """See that a verb comes from a page of Jupyter's own: what it is shown here opens the dashboard, so nobody else can."""
        if self.request.method not in ("GET", "HEAD"):
            JupyterHandler.check_xsrf_cookie(self)

    async def _aim(self, name: str, dashboard: str, path: str | None) -> None:
        """Find out where to, and refuse what is not the cluster's own."""
        if path is not None and _TRICKS.search(path):
            raise InvalidOption("This path will not do", cause="It has a part that leads elsewhere.", remedy="Leave out '..'.")
        record = await self.clusters.get(name)
        connection = await self.clusters.backend.connection(record)
        self._target = target_of(record, dashboard, connection.addresses)
        self._address = record.status.addresses[dashboard]
        self._path = path or ""
        self._what = f"{dashboard} of {name!r}"
        self.proxy_base = f"dodas/api/v1/clusters/{name}/ui/{dashboard}"
        self._service = registry.service(record.spec.kind)
        self._key = self._service.key(dashboard, connection.secrets, time.time())
        own = parse_qsl(self.request.query, keep_blank_values=True)
        if any(argument == "token" for argument, _ in own):
            self.request.query = urlencode([pair for pair in own if pair[0] != "token"])

    async def http_get(self, *_: object) -> None:
        """Forward a page or a file."""
        if not self._path:
            self.redirect(f"{self.request.path}/" + (f"?{self.request.query}" if self.request.query else ""))
            return
        if self.request.headers.get("Accept") == "text/event-stream":
            del self.request.headers["Accept"]  # would go past `_rewrite`
        try:
            await self.proxy(self._target.host, self._target.port, self._path)
        except (web.HTTPError, HTTPClientError, OSError) as error:
            raise self._silence() from error

    async def open(self, *_: object) -> None:
        """Forward a websocket."""
        try:
            await self.proxy_open(self._target.host, self._target.port, self._path)
        except (OSError, HTTPClientError):
            self.close(1011, "The dashboard does not answer")

    def proxy_request_options(self) -> dict[str, Any]:
        """Return how the dashboard is asked."""
        return {**super().proxy_request_options(), "connect_timeout": _CONNECT}

    def proxy_request_headers(self) -> httputil.HTTPHeaders:
        """Return the headers that the dashboard gets: the browser's without its secrets, and the dashboard's key."""
        headers = self.request.headers.copy()
        for name in _KEPT_HERE:
            if name in headers:
                del headers[name]
        headers.update(self._key)
        return headers

    def _rewriter(self) -> Callable[[Any], None]:
        def rewrite(response: Any) -> None:  # the machinery reads the names of arguments, so a method will not do
            self._rewrite(response)

        return rewrite

    def _rewrite(self, response: Any) -> None:
        """Change what the browser gets: cookies would be Jupyter's, and redirects must stay below this path."""
        headers = response.headers
        if "Set-Cookie" in headers:
            del headers["Set-Cookie"]
        if "Location" in headers:
            location = urlsplit(headers["Location"])
            if location.netloc in (f"{self._target.host}:{self._target.port}", self.request.host):
                headers["Location"] = location._replace(scheme="", netloc="").geturl() or "/"
        if "text/html" in headers.get("Content-Type", ""):
            headers["Cache-Control"] = "no-store"
        headers.add("Content-Security-Policy", "frame-ancestors 'self'")  # beside the dashboard's own, if it has one
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
        if response.body and headers.get("Content-Type", "").startswith(_WITH_LINKS):
            self._mount(response)

    def _mount(self, response: Any) -> None:
        """Have the links of a page lead below this path."""
        body = response.body
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
            del response.headers["Content-Encoding"]
        # Whatever cannot be decoded goes through as it is.
        page = body.decode("utf-8", "surrogateescape")
        mount = url_path_join(self.base_url, self.proxy_base)
        response.body = self._service.mounted(page, self._path, mount, self._address).encode("utf-8", "surrogateescape")

    def _silence(self) -> TimedOut:
        return TimedOut(
            f"The {self._what} does not answer",
            cause="The cluster starts, stops or has lost the instance that serves it.",
            remedy="Look at the cluster again, and open it once it is ready.",
        )
