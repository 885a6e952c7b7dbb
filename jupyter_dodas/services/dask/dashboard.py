"""The scheduler's dashboard behind a lock: every request shows a token or a cookie, and bokeh comes with the first page.

`distributed` serves its dashboard to anybody who reaches the port. Here a gate stands before its application: pages, files and
websockets alike. Programs send ``Authorization: Bearer``; a browser brings a one-time code to ``/login`` and gets a cookie.
"""

import asyncio
import hmac
import re
import time
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from importlib import import_module
from logging import getLogger
from typing import Any, Final, TypeAlias

from distributed.http.utils import get_handlers
from distributed.scheduler import Scheduler
from tornado import web
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest, RequestStartLine, ResponseStartLine
from tornado.routing import Router

from jupyter_dodas.services.dask.signin import LIFETIME, Purpose, Word, make, read

__all__ = ["lock"]

logger = getLogger(__name__)

_ROUTES: Final = (
    "distributed.http.health",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.scheduler.prometheus",
    "distributed.http.statics",
)
"""All that is served beside the dashboard. Not the scheduler's API, which acts, nor its proxy: workers serve nothing."""

# These ask the dashboard's application what it has, so it must be there.
_NEEDS_DASHBOARD: Final = re.compile(r"/(?:individual-plots|sitemap)\.json")

_REFUSED: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><title>Sign in to this dashboard</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto; line-height: 1.5">
<h1>This dashboard is locked</h1>
<p>{why} It shows the work of one person, so it opens only with a key of hers.</p>
<p>In the notebook or script that holds the cluster, run</p>
<pre>cluster.dashboard()</pre>
<p>and open the address that it returns within a minute. Each address opens the dashboard once; the browser stays signed in
for twelve hours.</p>
</body>
</html>
"""


def lock(scheduler: Scheduler, secret: bytes, name: str) -> None:
    """Put a gate before everything that a scheduler serves over HTTP.

    Parameters
    ----------
    secret
        What opens it.
    name
        Of the cookie: a browser keeps one jar for all ports of a host.
    """
    scheduler.http_server.request_callback = _Gate(scheduler, secret, name)


_Load: TypeAlias = Callable[[Scheduler], Coroutine[Any, Any, None]]


class _Gate(Router):
    """Let a request through, or show it the entrance."""

    def __init__(self, scheduler: Scheduler, secret: bytes, cookie: str) -> None:
        self._scheduler, self._secret, self._cookie = scheduler, secret, cookie
        self._entrance = web.Application(
            [(r"/login", _SignIn, {"desk": _Desk(secret), "cookie": cookie}), (r".*", _Refusal)],
            log_function=lambda _: None,  # the usual line would show the code
        )
        self._loading: dict[_Load, asyncio.Task[None]] = {}

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> Any:
        """Choose who answers; tornado calls it for every request, before reading its body."""
        if request.path == "/login" or not self._is_known(request):
            return self._entrance.find_handler(request)
        return _Admitted(self, request)

    def _is_known(self, request: HTTPServerRequest) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(token.strip().encode(), self._secret)
        morsel = request.cookies.get(self._cookie)
        if morsel is None or read(self._secret, Purpose.COOKIE, morsel.value, time.time()) is None:
            return False
        # A browser adds the cookie to websockets that a page of another port opens, so the page must be ours.
        origin = request.headers.get("Origin")
        return origin is None or origin.partition("://")[2] == request.host

    async def serving(self, request: HTTPServerRequest) -> Any:
        """Find who serves a request that was let through; what is not loaded yet is loaded, but nothing before it is asked for."""
        await self._once(_load_routes)
        found = self._scheduler.http_application.find_handler(request)
        if _NEEDS_DASHBOARD.fullmatch(request.path) or issubclass(found.handler_class, web.ErrorHandler):
            try:
                await self._once(_load_dashboard)
            except ImportError:
                logger.warning("The dashboard needs bokeh, which is not installed: pip install bokeh")
            found = self._scheduler.http_application.find_handler(request)
        return found

    async def _once(self, load: _Load) -> None:
        task = self._loading.get(load)
        if task is None or (task.done() and task.exception()):
            task = self._loading[load] = asyncio.create_task(load(self._scheduler))
        await asyncio.shield(task)


async def _load_routes(scheduler: Scheduler) -> None:
    for module in _ROUTES:
        await asyncio.to_thread(import_module, module)
    scheduler.http_application.add_handlers(r".*", get_handlers(scheduler, list(_ROUTES), prefix="/"))


async def _load_dashboard(scheduler: Scheduler) -> None:
    dashboard = await asyncio.to_thread(import_module, "distributed.dashboard.scheduler")  # bokeh: a second and 60 MB
    dashboard.connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="/")
    logger.info("The dashboard is loaded")


class _Admitted(HTTPMessageDelegate):
    """A request that waits until there is somebody to serve it, then goes on as if there always had been."""

    def __init__(self, gate: _Gate, request: HTTPServerRequest) -> None:
        self._gate, self._request = gate, request
        self._then: Any = None

    async def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Wait; tornado reads on when this is done."""
        self._then = await self._gate.serving(self._request)
        if (more := self._then.headers_received(start_line, headers)) is not None:
            await more

    def data_received(self, chunk: bytes) -> Any:
        """Pass it on."""
        return self._then.data_received(chunk)

    def finish(self) -> None:
        """Pass it on."""
        self._then.finish()

    def on_connection_close(self) -> None:
        """Pass it on, if there is anybody yet."""
        if self._then is not None:
            self._then.on_connection_close()


class _Desk:
    """Takes each code once."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._opened = time.time()
        self._used: dict[str, Word] = {}

    def take(self, code: str) -> bool:
        """Whether this code is good; it is not again."""
        now = time.time()
        self._used = {nonce: word for nonce, word in self._used.items() if word.expires > now}
        word = read(self.secret, Purpose.CODE, code, now)
        # What was used is forgotten when the scheduler restarts, so codes from before are not taken either.
        if word is None or word.nonce in self._used or word.made < int(self._opened):
            return False
        self._used[word.nonce] = word
        return True


class _Refusal(web.RequestHandler):
    """Says how to get in."""

    def prepare(self) -> None:
        """Answer every method alike."""
        self._refuse("This request shows no key.")

    def _refuse(self, why: str) -> None:
        self.set_status(HTTPStatus.UNAUTHORIZED)
        self.set_header("WWW-Authenticate", "Bearer")
        self.set_header("Cache-Control", "no-store")
        self.finish(_REFUSED.format(why=why))


class _SignIn(_Refusal):
    """Exchanges a one-time code for a cookie."""

    def initialize(self, desk: _Desk, cookie: str) -> None:
        """Take what the route was made with."""
        self._desk, self._cookie = desk, cookie

    def prepare(self) -> None:
        """Leave it to the method."""

    def get(self) -> None:
        """Sign in and go to the first page."""
        if not self._desk.take(self.get_query_argument("code", "")):
            self._refuse("This address was used before, or is more than a minute old.")
            return
        value = make(self._desk.secret, Purpose.COOKIE, time.time())
        age = LIFETIME[Purpose.COOKIE]
        self.set_cookie(self._cookie, value, httponly=True, samesite="Lax", max_age=age)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.redirect("status")
