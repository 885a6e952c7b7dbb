"""Ports of pods on this machine: what listens in a pod is reached at a port of the loopback interface.

The library cannot do this with asyncio. One websocket carries one connection, as the API server has it. A thread of its own does
it, since a caller's loop may end with the call, and whoever connects may block his own.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.errors import DodasError

__all__ = ["Forwarder"]

_log = logging.getLogger(__name__)

_DATA, _ERROR = 0, 1
"""Channels of a websocket, told by the first byte of each message."""

_PATIENCE: Final = 10.0
"""Seconds for which a connection is kept while nobody listens in the pod yet."""
_FIRST, _SLOWER, _LONGEST = 0.3, 1.4, 0.8
"""Seconds between attempts, each of which is a request: a scheduler takes some to import what it needs."""
_CHUNK: Final = 2**16

_TLS_HANDSHAKE: Final = 0x16
"""The first byte of whoever begins with TLS (RFC 8446, section 5.1)."""


class Forwarder:
    """Forwards ports until it is closed.

    Parameters
    ----------
    runs
        Tells whether a pod runs: to one that does not, a connection is refused without asking anybody.
    """

    def __init__(self, api: Api, runs: Callable[[str], bool]) -> None:
        self._api, self._runs = api, runs
        self._ports: dict[tuple[str, int], int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="forwarded ports", daemon=True)
        self._thread.start()

    async def port(self, pod: str, port: int) -> int:
        """Return the port of this machine that leads to one of a pod. It stays the same, also when the pod is another one."""
        if (pod, port) not in self._ports:
            api, runs = self._api, self._runs
            listening = _listen(lambda reader, writer: _serve(api, runs, pod, port, reader, writer))
            found = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(listening, self._loop))
            self._ports.setdefault((pod, port), found)
        return self._ports[pod, port]

    def close(self) -> None:
        """Forward nothing any more."""
        with contextlib.suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(_hang_up())
        loop.close()


async def _hang_up() -> None:
    """End what is still open on this loop: connections that wait for the other side's goodbye, which nobody would hear."""
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # they end in steps


async def _listen(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> int:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    task = asyncio.create_task(_stay(server))
    _KEPT.add(task)
    task.add_done_callback(_KEPT.discard)
    return int(server.sockets[0].getsockname()[1])


_KEPT: Final[set[asyncio.Task[None]]] = set()
"""A loop alone does not keep its tasks."""


async def _stay(server: asyncio.Server) -> None:
    async with server:
        await server.serve_forever()


async def _serve(
    api: Api, runs: Callable[[str], bool], pod: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one connection; while nobody listens in the pod it waits a little."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + _PATIENCE, _FIRST
    caller = _Caller(reader, writer)
    try:
        while runs(pod):
            try:
                async with api.websocket(f"pods/{quote(pod, safe='')}/portforward", ports=port) as socket:
                    if await _carry(socket, caller):
                        return
            except DodasError as error:
                _log.debug("No way to %s: %s", pod, error)
                if not caller.may_repeat:
                    return
            if loop.time() > deadline:
                return
            await asyncio.sleep(pause)
            pause = min(pause * _SLOWER, _LONGEST)
    except (ConnectionError, asyncio.CancelledError):
        pass  # it was cancelled with all others: nothing is forwarded any more, and asyncio would call that an error
    finally:
        writer.close()


class _Caller:
    """Whoever has connected here, and what they said while nobody answered: it can be said again to whoever comes next."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.said = bytearray()
        self.left = self.answered = False

    @property
    def can_repeat(self) -> bool:
        """Whether all that was said is still known, and somebody waits for an answer."""
        return not self.answered and not self.left and len(self.said) <= _CHUNK

    @property
    def may_repeat(self) -> bool:
        """Whether it also does no harm if that reaches the pod twice: nothing does, nor the beginning of TLS."""
        return self.can_repeat and (not self.said or self.said[0] == _TLS_HANDSHAKE)


async def _carry(socket: Any, caller: _Caller) -> bool:
    """Carry bytes both ways until one side ends; return whether that was all, else it is to be tried again."""
    beginnings = {_DATA, _ERROR}
    sending: asyncio.Task[None] | None = None
    try:
        async for message in socket:
            if not isinstance(message.data, bytes) or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel in beginnings:  # each begins with the number of the port
                beginnings.discard(channel)
                data = data[2:]
                if not beginnings and sending is None:
                    sending = asyncio.create_task(_send(socket, caller))
            if data and channel == _ERROR:
                _log.debug("Said of a forwarded port: %s", data)
                return not caller.can_repeat  # nobody listened, so nobody has heard a word
            if data:
                caller.answered = True
                caller.writer.write(data)
                await caller.writer.drain()
        return not caller.may_repeat  # a pod that is just being replaced ends without a word
    finally:
        if sending is not None:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await sending


async def _send(socket: Any, caller: _Caller) -> None:
    if caller.said:
        await socket.send_bytes(bytes([_DATA]) + bytes(caller.said))
    while data := await caller.reader.read(_CHUNK):
        if caller.can_repeat:
            caller.said += data
        await socket.send_bytes(bytes([_DATA]) + data)
    caller.left = True
    await socket.close()
