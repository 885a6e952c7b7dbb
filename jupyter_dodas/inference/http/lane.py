"""The express lane: rows as JSON, from callers that are known, go from the connection to the model without a task in between.

Everything else on the same connection goes to the application as ever, and so does whatever is odd about a row: an encoding, a body
in pieces, a token that is new. Requests that come in one piece keep their order.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jupyter_dodas.errors import DodasError, TimedOut
from jupyter_dodas.inference.http.log import Entry
from jupyter_dodas.inference.http.replies import as_bytes, as_known, refusal

if TYPE_CHECKING:
    from jupyter_dodas.inference.http.access import Caller
    from jupyter_dodas.inference.http.app import App

__all__ = ["Lane", "Slot"]

_CAP: Final = 1 << 16
"""Bytes of the largest body that takes the lane: those beyond come in pieces."""

_NEVER: Final = float("inf")

_ODD: Final = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})
_GOOD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
_LAST: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"


class Slot:
    """A row under way. To the plane it is what waits for the result, to uvicorn a request whose reply is not complete."""

    __slots__ = (
        *("began", "body", "caller", "disconnected", "finish", "keep_alive", "lane", "message_event", "model", "path"),
        *("response_complete", "version"),
    )

    def __init__(self, lane: "Lane", caller: "Caller", path: str, *, keep_alive: bool) -> None:
        self.lane, self.caller, self.path, self.keep_alive = lane, caller, path, keep_alive
        self.began = time.perf_counter()
        self.body = b""
        self.model = self.version = ""
        self.disconnected = self.response_complete = False
        self.message_event = self
        self.finish: Callable[[bytes], bytes] = bytes
        """Makes the body of the reply out of the result."""

    def set(self) -> None:
        """Be told, as an event would, that the connection has gone."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self.response_complete or self.disconnected

    def set_result(self, result: bytes) -> None:
        """Reply with the result."""
        body = self.finish(result)
        self.lane.reply(self, 200, (_GOOD if self.keep_alive else _LAST) % (len(body), body), len(body))

    def set_exception(self, error: BaseException) -> None:
        """Reply with a refusal."""
        assert isinstance(error, Exception)
        reply = refusal(as_known(error), *(() if self.keep_alive else ((b"connection", b"close"),)))
        self.lane.reply(self, reply.status, as_bytes(reply), len(reply.body))


class Lane(HttpToolsProtocol):
    """Uvicorn's connection, with the lane beside it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._front: App = self.config.app  # type: ignore[assignment]
        self._slot: Slot | None = None
        self._since = time.monotonic()
        """When the head or body that is awaited here began; infinity if none is."""

    # What the parser calls. Uvicorn's own way begins only once it is clear that a request goes there.

    def on_message_begin(self) -> None:
        """See `httptools`."""
        self.url = b""
        self.headers = []
        self._since = time.monotonic()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools`."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Decide which way a request goes."""
        slot = self._slot = self._admitted()
        if slot is not None:
            self.cycle = slot  # type: ignore[assignment]
            return
        self._since = _NEVER
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        slot = self._slot
        if slot is None:
            super().on_body(body)
        else:
            slot.body = slot.body + body if slot.body else body

    def on_message_complete(self) -> None:
        """See `httptools`."""
        slot = self._slot
        if slot is None:
            super().on_message_complete()
            return
        self._slot, self._since = None, _NEVER
        try:
            self._front.express(slot)
        except DodasError as error:
            slot.set_exception(error)

    def hurry(self, before: float) -> None:
        """Refuse what began before this time and is not there yet: heads and small bodies that trickle in."""
        if self._since < before and not self.transport.is_closing():
            if self._slot is not None:
                self._slot.disconnected = True
            error = TimedOut("The request did not come in time", remedy="Send it faster.")
            self.transport.write(as_bytes(refusal(error, (b"connection", b"close"), status=408)))
            self.transport.close()

    def reply(self, slot: Slot, status: int, whole: bytes, given: int) -> None:
        """Write a whole reply, and go on with what came meanwhile."""
        slot.response_complete = True
        self.transport.write(whole)
        if not slot.keep_alive:
            self.transport.close()
        self.on_response_complete()
        now = time.time()
        ms = round((time.perf_counter() - slot.began) * 1e3, 3)
        self._front.note(
            Entry(now, slot.caller.name, "POST", slot.path, status, ms, len(slot.body), given, slot.model, slot.version)
        )

    def _admitted(self) -> Slot | None:
        """Return a slot if this request can take the lane."""
        path = self._front.lanes.get(self.url)
        if path is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        if self.cycle is not None and not self.cycle.response_complete:
            return None  # one after the other
        headers = dict(self.headers)
        if not _ODD.isdisjoint(headers) or int(headers.get(b"content-length", b"0")) > _CAP:
            return None
        try:
            caller = self._front.known(headers.get(b"authorization"))
        except DodasError:
            return None
        return None if caller is None else Slot(self, caller, path, keep_alive=self.parser.should_keep_alive())
