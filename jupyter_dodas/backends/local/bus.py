"""Hints between the processes of one place: "look at this cluster again", over a socket that the controller serves.

A hint is a name and nothing else, so a lost one costs time and never truth: whoever hears one reads the record. Where no controller
answers, a subscriber is told to look at everything once a second.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from jupyter_dodas.backends.hints import Hints

__all__ = ["EVERYTHING", "Bus", "BusClient", "BusServer"]

EVERYTHING: Final = ""
"""The hint that anything may have changed."""

_LOOK: Final = 1.0
_RETRY: Final = 0.05
_SILENCE: Final = 5.0


class Bus(Protocol):
    """What a store needs to tell others that it wrote, and to hear of their writes."""

    async def publish(self, name: str) -> None:
        """Tell everybody else."""
        ...

    def subscribe(self) -> contextlib.AbstractAsyncContextManager[AsyncIterator[str]]:
        """Hear what others publish from now on."""
        ...


class BusClient:
    """The bus as everybody but the controller sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def publish(self, name: str) -> None:
        """Tell the controller, and through it all others, if one is there."""
        try:
            _, writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            return  # it reads everything when it starts
        with contextlib.suppress(OSError):
            writer.write(f"{name}\n".encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def subscribe(self) -> AsyncGenerator[AsyncIterator[str], None]:
        """Hear hints, from the controller or from the clock."""
        names = self._hear()
        try:
            yield names
        finally:
            await names.aclose()

    async def _hear(self) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                if loop.time() - looked >= _LOOK:
                    looked = loop.time()
                    yield EVERYTHING
                await asyncio.sleep(_RETRY)
                continue
            try:
                writer.write(b"+\n")  # answered with an empty line, which is EVERYTHING, once nothing can be missed any more
                while line := await _line(reader):
                    yield line.decode().strip()
            except ConnectionError:
                pass
            finally:
                writer.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Read a line; after some silence an empty one, so that a hint that was lost costs no more than that."""
    try:
        async with asyncio.timeout(_SILENCE):
            return await reader.readline()
    except TimeoutError:
        return b"\n"


class BusServer:
    """The bus in the controller."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listeners: set[asyncio.StreamWriter] = set()
        self._hints = Hints()

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[None, None]:
        """Listen for as long as the context lasts."""
        self._path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._client, self._path)
        self._path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            for writer in self._listeners:
                writer.close()
            self._path.unlink(missing_ok=True)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        if peer is None or _peer_uid(peer) not in (os.getuid(), 0):
            writer.close()
            return
        try:
            while line := await reader.readline():
                name = line.decode().strip()
                if name == "+":
                    self._listeners.add(writer)
                    writer.write(b"\n")
                    continue
                self._hints.tell(name)
                self._send(name, leave_out=writer)
        except (ConnectionError, ValueError):
            pass
        finally:
            self._listeners.discard(writer)
            writer.close()

    async def publish(self, name: str) -> None:
        """Tell every listener."""
        self._send(name)

    def _send(self, name: str, leave_out: asyncio.StreamWriter | None = None) -> None:
        for writer in list(self._listeners):
            if writer is leave_out:
                continue
            if writer.transport.get_write_buffer_size() > 1 << 16:
                writer.close()  # it does not read; it will connect again and look at everything
                self._listeners.discard(writer)
            else:
                writer.write(f"{name}\n".encode())

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """Hear what clients publish."""
        return self._hints.watch()


def _peer_uid(peer: socket.socket) -> int:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])
