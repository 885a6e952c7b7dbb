"""The page of a pool, and what it asks: the queue as JSON, and verbs. The manager's own process serves it to whoever has the token.

What the queue is asked with is passed in: this module knows HTTP, and nothing of HTCondor.
"""

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from http import HTTPStatus
from importlib.resources import files
from logging import getLogger
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from jupyter_dodas.errors import BadInput, DodasError, NotAllowed, PoolUnreachable, TooLarge, Unauthenticated

__all__ = ["POLICY", "serve"]

logger = getLogger(__name__)

Look = Callable[[], Mapping[str, Any]]
Act = Callable[[Mapping[str, Any]], Mapping[str, Any]]

POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",  # JupyterLab shows it, through a proxy
    ]
)

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

_STATUS: Final[Mapping[str, HTTPStatus]] = {
    BadInput.code: HTTPStatus.BAD_REQUEST,
    NotAllowed.code: HTTPStatus.FORBIDDEN,
    PoolUnreachable.code: HTTPStatus.SERVICE_UNAVAILABLE,
    TooLarge.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Unauthenticated.code: HTTPStatus.UNAUTHORIZED,
}
"""By the code of an error; what is not here is a defect of ours, 500."""

_FRESH: Final = 1.0
"""Seconds for which a look at the queue serves everybody who asks."""

_LARGEST: Final = 2**20
"""Bytes of a request: the numbers of ten thousand jobs take 200 kB."""


async def serve(
    host: str, port: int, token_file: Path, look: Look, acts: Mapping[str, Act], thread: Executor | None = None
) -> web.AppRunner:
    """Serve the page until the runner that is returned is cleaned up.

    Parameters
    ----------
    host, port
        Where to listen.
    token_file
        Holds the token that must be shown for everything but the page's own files.
    look
        Returns the queue as the page is to have it. It may block, and is called at most once a second.
    acts
        Verbs: each is a path that takes JSON objects, and may block as well. Neither runs while another one does.
    thread
        Where these are called; by default, in any thread.

    Raises
    ------
    OSError
        If the port is taken.
    """
    desk = _Desk(token_file.read_text().strip(), look, acts, thread)
    app = web.Application(client_max_size=_LARGEST, middlewares=[_answered, desk.guarded])
    app.add_routes(_pages())
    app.router.add_get("/queue.json", desk.queue)
    for name in acts:
        app.router.add_post(f"/{name}", desk.act)
    # What a request says of itself is nobody's business, and an access log would have the numbers of jobs.
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Desk:
    """Who may ask, and what they get."""

    def __init__(self, token: str, look: Look, acts: Mapping[str, Act], thread: Executor | None) -> None:
        self._header = f"Bearer {token}".encode()
        self._look, self._acts, self._thread = look, acts, thread
        self._lock = asyncio.Lock()
        self._seen: tuple[float, Mapping[str, Any] | PoolUnreachable] | None = None

    @web.middleware
    async def guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let whoever shows the token pass, and everybody to what is no secret."""
        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not (request.path in _OPEN or hmac.compare_digest(shown, self._header)):
            raise Unauthenticated(
                "This page wants to know who asks",
                cause="The token of the pool was not shown, or is another one's." if shown else "No token was shown.",
                remedy="Open the page from the pool's card in JupyterLab, which signs you in.",
            )
        return await handler(request)

    async def queue(self, request: web.Request) -> web.Response:
        """Tell what there is in the queue."""
        async with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] >= _FRESH:
                try:
                    seen: Mapping[str, Any] | PoolUnreachable = await asyncio.get_running_loop().run_in_executor(
                        self._thread, self._look
                    )
                except PoolUnreachable as error:
                    seen = error  # nor is a queue that does not answer asked more often
                self._seen = time.monotonic(), seen
        if isinstance(self._seen[1], PoolUnreachable):
            raise self._seen[1].with_traceback(None)
        return web.json_response({**self._seen[1], "now": time.time()}, headers=_HEADERS)

    async def act(self, request: web.Request) -> web.Response:
        """Do what is asked."""
        asked = _object(await request.read())
        async with self._lock:
            try:
                verb = self._acts[request.path.removeprefix("/")]
                done = await asyncio.get_running_loop().run_in_executor(self._thread, verb, asked)
            finally:
                self._seen = None
        return web.json_response(done, headers=_HEADERS)


@web.middleware
async def _answered(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Reply to errors in the form of all our own interfaces."""
    try:
        return await handler(request)
    except DodasError as error:
        return _refusal(error, _STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR))
    except web.HTTPRequestEntityTooLarge:
        large = TooLarge("This request is too large", cause=f"The most is {_LARGEST} bytes.", remedy="Name fewer jobs at a time.")
        return _refusal(large, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except web.HTTPException as error:
        return _refusal(DodasError(error.reason, remedy="See what this page offers: /"), HTTPStatus(error.status))
    except Exception as error:
        logger.exception("A request to the page failed")
        known = DodasError("Something unexpected happened", cause=type(error).__name__, remedy="The log of the manager has more.")
        return _refusal(known, HTTPStatus.INTERNAL_SERVER_ERROR)


def _refusal(error: DodasError, status: HTTPStatus) -> web.Response:
    said = {"code": error.code, "message": error.message, "cause": error.cause, "remedy": error.remedy}
    more = {"WWW-Authenticate": 'Bearer realm="dodas-htcondor"'} if status == HTTPStatus.UNAUTHORIZED else {}
    return web.json_response({"error": said}, status=status, headers={**_HEADERS, **more})


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise BadInput("This request cannot be read", cause="A JSON object is needed.", remedy='Write {"jobs": ["12.0"]}.')
    return read


def _files() -> Mapping[str, str]:
    """Return the files of the page by where they are served. Links in it are relative, so that it may stand below any path."""
    names = sorted(one.name for one in files(_PAGE).iterdir() if one.name.rpartition(".")[2] in _TYPES)
    return {"/" if name == "index.html" else f"/page/{name}": name for name in names}


def _pages() -> list[web.RouteDef]:
    return [web.get(path, _sending(name)) for path, name in _files().items()]


def _sending(name: str) -> _Handler:
    content = files(_PAGE).joinpath(name).read_bytes()

    async def send(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8", headers=_HEADERS)

    return send


_PAGE: Final = "jupyter_dodas.services.htcondor.page"
_OPEN: Final = frozenset(_files())
"""Paths of files that tell nothing of the pool."""
