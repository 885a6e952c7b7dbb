"""One request and what is known of it so far: who asks, of which model, since when. And its body, within bounds."""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from jupyter_dodas.errors import BadInput, NotSupported, TimedOut, TooLarge
from jupyter_dodas.inference.http.access import Caller

__all__ = ["Exchange", "Receive", "Scope", "Send", "inflate", "of", "too_large"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_KEY: Final = "dodas"

_MUCH: Final = 1 << 16
"""Bytes that are sooner read than a connection is made anew."""


class Exchange:
    """A request under way.

    Attributes
    ----------
    caller
        Who asks; known before any route is called.
    began
        When its head was read, by `time.perf_counter`.
    model, version
        Which it is about, once that is known to be one; for log and metrics.
    taken
        Bytes of its body, as they came.
    often
        Whether the caller has come too often.
    whole
        Whether all of its body has come.
    """

    __slots__ = (
        *("_receive", "began", "caller", "headers", "method", "model", "often", "path", "peer", "query", "taken", "version"),
        "whole",
    )

    def __init__(self, scope: Scope, receive: Receive, began: float) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.peer: str = scope["client"][0] if scope["client"] else ""
        self.began = began
        self.caller: Caller = _NOBODY
        self.model = self.version = ""
        self.taken = 0
        self.whole = self.often = False
        self._receive = receive
        scope[_KEY] = self

    async def body(self, cap: int, seconds: float) -> bytes | bytearray:
        """Return the whole body, unpacked if it is gzip by its Content-Encoding.

        Raises
        ------
        TooLarge
            As soon as it is clear that it has more than `cap` bytes.
        TimedOut
            If it is not there within so many seconds.
        BadInput
            If it breaks off, or is not in the encoding that it says.
        """
        whole = bytearray()
        async for part in self.stream(cap, seconds):
            whole += part
        coding = self.headers.get(b"content-encoding")
        return whole if coding is None or coding == b"identity" else inflate(whole, coding, cap)

    async def stream(self, cap: int, seconds: float) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises as `body` does."""
        length = self.headers.get(b"content-length", b"0")
        if int(length) > cap:
            raise too_large(cap)
        deadline = asyncio.get_running_loop().time() + seconds
        more = True
        while more:
            try:
                async with asyncio.timeout_at(deadline):
                    message = await self._receive()
            except TimeoutError:
                raise TimedOut(
                    "The body did not come in time", cause=f"{seconds:g} s have passed.", remedy="Send it faster, or in parts."
                ) from None
            if message["type"] == "http.disconnect":
                raise BadInput("The request broke off", remedy="Send it again.")
            self.taken += len(message["body"])
            if self.taken > cap:
                raise too_large(cap)
            more = message.get("more_body", False)
            self.whole = not more
            yield message["body"]

    def comes(self) -> bool:
        """Whether much of its body is still to come, perhaps."""
        length = int(self.headers.get(b"content-length", b"0"))
        return not self.whole and (length - self.taken > _MUCH or b"transfer-encoding" in self.headers)

    async def linger(self, seconds: float = 1.0, most: int = 64 << 20) -> None:
        """Let what is left of a refused body come in for a while: whoever still sends would not read the reply otherwise."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                more = True
                while more and most > 0:
                    message = await self._receive()
                    most -= len(message.get("body", b""))
                    more = message.get("more_body", False)


def of(scope: Scope) -> Exchange:
    """Return the exchange that a scope of ASGI, or a request of Starlette, belongs to."""
    found: Exchange = scope[_KEY]
    return found


def inflate(body: bytes | bytearray, coding: bytes, cap: int) -> bytes:
    """Unpack gzip.

    Raises
    ------
    NotSupported
        If it is another encoding.
    TooLarge
        If it is more than `cap` bytes then.
    BadInput
        If it is not what it says.
    """
    if coding.lower() not in {b"gzip", b"x-gzip"}:
        raise NotSupported(f"The encoding {coding.decode('latin-1')!r} is not taken", remedy="Send the body as it is, or gzip.")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        plain = unpacking.decompress(body, cap + 1)
    except zlib.error:
        plain, unpacking = b"", zlib.decompressobj()
    if len(plain) > cap:
        raise too_large(cap)
    if not unpacking.eof:
        raise BadInput(
            "The body is no gzip", cause="Its Content-Encoding says so.", remedy="Leave that header out, or pack the body."
        )
    return plain


def too_large(cap: int) -> TooLarge:
    """Return the error for a body with more than so many bytes."""
    return TooLarge(f"The body has more than {cap} bytes", cause="This endpoint takes no more at once.", remedy="Send it in parts.")


_NOBODY: Final = Caller("nobody", frozenset())
