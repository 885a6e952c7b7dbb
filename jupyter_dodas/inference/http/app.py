"""The application: who calls is found out, counted and logged here; hot paths by one look, the rest by Starlette."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from jupyter_dodas.errors import Busy, DodasError, TimedOut
from jupyter_dodas.inference.http import exchange as exchanges
from jupyter_dodas.inference.http import management
from jupyter_dodas.inference.http.access import Caller, Right, require
from jupyter_dodas.inference.http.dialects.tfaas import Tfaas
from jupyter_dodas.inference.http.dialects.uploads import Uploads
from jupyter_dodas.inference.http.dialects.v2 import LIVE, READY, V2
from jupyter_dodas.inference.http.exchange import Exchange, Receive, Scope, Send
from jupyter_dodas.inference.http.log import Entry
from jupyter_dodas.inference.http.replies import Reply, as_known, plain, refusal

if TYPE_CHECKING:
    from jupyter_dodas.inference.http.lane import Slot
    from jupyter_dodas.inference.server import Server

__all__ = ["App", "Hot"]

logger = logging.getLogger(__name__)

Hot = Callable[[Exchange], Awaitable[Reply]]

_OPEN: Final = frozenset({LIVE, READY, "/v2", "/", "/openapi.json", "/favicon.ico"})
"""What needs no token: nothing here tells of models."""

_OPEN_BELOW: Final = "/page/"

_OURS: Final = "/dodas/"

_TARGETS: Final = 1024
"""Paths of inferences that are kept."""


class App:
    """The application of one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._tfaas, self._v2 = Tfaas(server), V2(server)
        self._hot: dict[str, Hot] = dict(self._tfaas.hot)
        self._fixed: Final = len(self._hot)
        self.lanes: Final = {path.encode(): path for path in self._tfaas.rows}
        """What may take the express lane, by its path as bytes."""
        self.note: Final = server.journal.note
        # Its router alone: errors come out of it as they are, and are answered in one place.
        self._rest = Router(
            redirect_slashes=False,
            routes=[
                *self._v2.routes(),
                *self._tfaas.routes(),
                *Uploads(server).routes(),
                *management.routes(server),
                Route("/metrics", self._metrics),
            ],
        )
        self._rest.default = self._missing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, time.perf_counter())
        path = exchange.path
        hot = self._hot.get(path) or self._target(path)
        sent = _Sent(send)
        try:
            await self._admit(exchange)
            if hot is None:
                sent.headers = self._rates(exchange)
                scope["app"] = self  # what the router refuses, it raises then
                with self._server.changes.count(exchange.method):
                    await self._rest(scope, receive, sent)
            elif exchange.method != "POST":
                await sent.reply(plain(405, b"", b"text/plain", (b"allow", b"POST")))
            else:
                sent.headers = self._rates(exchange)
                await sent.reply(await hot(exchange))
        except HTTPException as error:
            await sent.reply(_of_router(error, path))
        except Exception as error:  # noqa: BLE001 - callers get a sentence, whatever happened
            await self._refuse(exchange, sent, error)
        self._note(exchange, sent)

    def known(self, header: bytes | None) -> Caller | None:
        """Return who sent this Authorization header, if that needs no second thought."""
        return None if self._server.rates.bounded else self._server.access.known(header)

    def express(self, slot: "Slot") -> None:
        """Begin to answer a row that takes the lane. Raises what `Plane.hand` and the reading of rows do."""
        self._tfaas.express(slot)

    async def _admit(self, exchange: Exchange) -> None:
        """Find out who calls, and whether not too often."""
        access = self._server.access
        header = exchange.headers.get(b"authorization")
        try:
            exchange.caller = access.known(header) or await access.identify(header)
        except DodasError:
            if not (exchange.path in _OPEN or exchange.path.startswith(_OPEN_BELOW)) or header is not None:
                raise
        if self._server.rates.bounded:
            try:
                self._server.rates.take(self._counted(exchange))
            except Busy:
                exchange.often = True
                raise

    def _counted(self, exchange: Exchange) -> str:
        name = exchange.caller.name
        return f"{name} at {exchange.peer}" if exchange.caller is self._server.access.anonymous else name

    def _rates(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        """Return the headers in which TFaaS tells what may still come."""
        if not self._server.rates.bounded:
            return []
        limit, left, reset = self._server.rates.left(self._counted(exchange))
        names = b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"
        return [(name, b"%d" % value) for name, value in zip(names, (limit, left, int(time.time()) + reset), strict=True)]

    def _target(self, path: str) -> Hot | None:
        """Return what answers an inference by V2, kept for the next time."""
        target = self._v2.target(path)
        if target is None:
            return None
        hot: Hot = partial(self._v2.infer, model=target[0], version=target[1])
        if len(self._hot) >= self._fixed + _TARGETS:
            self._hot = dict(self._tfaas.hot)
        self._hot[path] = hot
        return hot

    async def _refuse(self, exchange: Exchange, sent: "_Sent", error: Exception) -> None:
        if not isinstance(error, DodasError):
            logger.exception("A request to %s could not be answered", exchange.path, exc_info=error)
        known, status = as_known(error), None
        if exchange.often:
            status, sent.headers = 429, self._rates(exchange)
        if sent.status:
            raise error  # half of a reply has gone: the connection is closed
        if isinstance(known, TimedOut) and not exchange.whole:
            status = 408
        late = isinstance(known, TimedOut) and not exchange.whole
        closing = late or exchange.comes()
        more = ((b"connection", b"close"),) if closing else ()
        await sent.reply(refusal(known, *more, status=status, ours=exchange.path.startswith(_OURS)), more=closing)
        if closing:
            if not late:
                await exchange.linger()
            await sent.end()

    def _note(self, exchange: Exchange, sent: "_Sent") -> None:
        ms = (time.perf_counter() - exchange.began) * 1e3
        self.note(
            Entry(
                time.time(),
                exchange.caller.name,
                exchange.method,
                exchange.path[:200],
                sent.status,
                round(ms, 3),
                exchange.taken,
                sent.given,
                exchange.model,
                exchange.version,
            )
        )

    async def _missing(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)

    async def _metrics(self, request: Request) -> Response:
        require(exchanges.of(request.scope).caller, Right.PREDICT)
        self._server.journal.flush()
        return Response(self._server.metrics.text(), media_type="text/plain; version=0.0.4")


class _Sent:
    """What of a reply has gone out."""

    __slots__ = ("_send", "given", "headers", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = self.given = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Those that every reply gets."""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send what Starlette says, and remember what matters."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.headers:
                message["headers"] = [*message.get("headers", ()), *self.headers]
        else:
            self.given += len(message.get("body", b""))
        await self._send(message)

    async def reply(self, reply: Reply, *, more: bool = False) -> None:
        """Send a whole reply; with more, its end is left to `end`."""
        self.status, self.given = reply.status, len(reply.body)
        headers = [*reply.headers, *self.headers] if self.headers else reply.headers
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": reply.body, "more_body": more})

    async def end(self) -> None:
        """End a reply."""
        await self._send({"type": "http.response.body", "body": b""})


def _of_router(error: HTTPException, path: str) -> Reply:
    """Return the reply to what the router refuses: a path that is not there, or a method that it does not have."""
    if error.status_code == 404:
        missing = DodasError(f"There is no {path[:200]}", remedy="/openapi.json lists what there is.")
        return refusal(missing, status=404, ours=path.startswith(_OURS))
    more = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return plain(error.status_code, b"", b"text/plain", *more)
