"""The server's side of replicas: they join over mutual TLS, get the files of versions, and run workers that it asks for.

Each connection begins with a line of JSON from the replica that says what it is for:

``{"join": NAME}``      orders go out and reports come in, as lines of JSON, for as long as the replica is there
``{"worker": ID}``      frames of a worker, as they would go to one here; the server says ``ok`` first
``{"fetch": ID, "file": PATH}``  the server sends a file of the version that this worker is for

Orders are ``{"start": ID, "manifest": .., "folder": .., "memory": ..}`` and ``{"left": true}``; to end a worker, its connection is
closed. Reports are ``{"failed": ID, "why": ..}``, ``{"ended": ID, "how": ..}`` and ``{"leave": true}``; ``{"alive": true}`` comes
every few seconds either way.
"""

import asyncio
import json
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from jupyter_dodas.credentials import accepting
from jupyter_dodas.inference.execution.workers import Owner, Worker
from jupyter_dodas.inference.records import Manifest

__all__ = ["ALIVE", "LINE", "SILENT", "Replica", "Replicas"]

logger = logging.getLogger(__name__)

ALIVE: Final = 5.0
"""Seconds; something is said at least this often."""
SILENT: Final = 20.0
"""Seconds without a word after which the other end is taken for gone."""
LINE: Final = 1 << 22
_HELLO: Final = 10.0
_HOW: Final = 2.0
_PIECE: Final = 1 << 20


Attend = Callable[[Mapping[str, Any], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Order:
    """A worker that a replica was asked for."""

    def __init__(self, manifest: Manifest, folder: Path, owner: Owner) -> None:
        loop = asyncio.get_running_loop()
        self.manifest, self.folder, self.owner = manifest, folder, owner
        self.connected: asyncio.Future[Worker] = loop.create_future()
        self.how: asyncio.Future[str] = loop.create_future()


class Replica:
    """One replica that has joined: a `Host`."""

    def __init__(self, name: str, memory: int, say: Callable[[Mapping[str, Any]], None]) -> None:
        self.name, self._memory, self._say = name, memory, say
        self.orders: dict[str, _Order] = {}
        self.retired = self.leaving = self.gone = False

    @property
    def wanted(self) -> bool:
        """Whether new batches go there."""
        return not (self.retired or self.leaving or self.gone)

    @property
    def in_flight(self) -> int:
        """Batches that it has."""
        return sum(len(order.connected.result().under_way) for order in self.orders.values() if _is_there(order.connected))

    @asynccontextmanager
    async def worker(self, manifest: Manifest, folder: Path, owner: Owner) -> AsyncIterator[Worker]:
        """See `Host`."""
        if self.gone:
            raise ConnectionError(f"The replica {self.name} is gone.")
        identity = secrets.token_hex(16)
        order = self.orders[identity] = _Order(manifest, folder, owner)
        worker = None
        try:
            text = json.loads(msgspec.json.encode(manifest))
            self._say({"start": identity, "manifest": text, "folder": str(folder), "memory": self._memory})
            worker = await order.connected
            yield worker
        finally:
            if worker is not None:
                worker.kill()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0 if self.gone else _HOW):
                        worker.how = await order.how
                worker.how = worker.how or f"The replica {self.name} is gone."
            del self.orders[identity]
            self.let_go()

    def let_go(self) -> None:
        """Tell it that it may end, if it wants to and nothing is left there."""
        if self.leaving and not self.orders and not self.gone:
            self._say({"left": True})

    def heard(self, report: Mapping[str, Any]) -> None:
        """Take a report of a worker."""
        order = self.orders.get(str(report.get("failed") or report.get("ended")))
        if order is not None and "failed" in report and not order.connected.done():
            order.connected.set_exception(ConnectionError(f"{report.get('why')}"))
        elif order is not None and "ended" in report and not order.how.done():
            order.how.set_result(f"{report.get('how')}")

    def lose(self) -> None:
        """See that nobody waits for it any more."""
        self.gone = True
        for order in self.orders.values():
            if not order.connected.done():
                order.connected.set_exception(ConnectionError(f"The replica {self.name} is gone."))
            elif _is_there(order.connected):
                order.connected.result().kill()


class Replicas:
    """All replicas that have joined.

    Parameters
    ----------
    memory
        Bytes that a worker may take.
    changed
        Called when a replica has come, goes or is gone.
    """

    def __init__(self, memory: int, changed: Callable[[], None]) -> None:
        self._memory, self._changed = memory, changed
        self.others: Attend = _hang_up
        """Attends to connections that begin in another way."""
        self._joined: dict[str, Replica] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        """Where they join, once it is open."""

    async def open(self, host: str, port: int, certificates: Path) -> int:
        """Listen, and return the port.

        Parameters
        ----------
        certificates
            The folder with the cluster's own certificate; see `jupyter_dodas.credentials`.

        Raises
        ------
        OSError
            If the port is taken, or there are no certificates.
        """
        context: ssl.SSLContext = accepting(certificates)
        self._server = await asyncio.start_server(self._accept, host, port, ssl=context, limit=LINE)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def hosts(self) -> Sequence[Replica]:
        """Those that batches may go to."""
        return [replica for replica in self._joined.values() if replica.wanted]

    def states(self) -> Sequence[Mapping[str, Any]]:
        """Return name, state and batches of each."""
        return [
            {"name": one.name, "state": "ready" if one.wanted else "draining", "in_flight": one.in_flight}
            for one in self._joined.values()
        ]

    def replicas(self) -> Mapping[str, int]:
        """Return those that answer, with the batches that each has."""
        return {name: replica.in_flight for name, replica in self._joined.items()}

    def retire(self, name: str) -> None:
        """Send no more batches to a replica. One that is not there, or is retired already, is no error."""
        self._set_retired(name, retired=True)

    def resume(self, name: str) -> None:
        """Send batches to it again."""
        self._set_retired(name, retired=False)

    def _set_retired(self, name: str, *, retired: bool) -> None:
        if (replica := self._joined.get(name)) is not None and replica.retired != retired:
            replica.retired = retired
            self._changed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())  # streams start one for each connection
        self._tasks.add(task)
        try:
            async with asyncio.timeout(_HELLO):
                hello = json.loads(await reader.readline())
            if "join" in hello:
                await self._joined_by(str(hello["join"]), reader, writer)
            elif "worker" in hello:
                await self._connect(str(hello["worker"]), writer)
            elif "fetch" in hello:
                await self._hand_out(str(hello["fetch"]), str(hello["file"]), writer)
            else:
                await self.others(hello, reader, writer)
        except (OSError, TimeoutError, ValueError, TypeError, asyncio.CancelledError) as error:
            logger.info("A connection of a replica ended: %s", error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _joined_by(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replica = Replica(name, self._memory, lambda order: _say(writer, order))
        if (old := self._joined.get(name)) is not None:
            old.lose()
        self._joined[name] = replica
        logger.info("The replica %s has joined", name)
        self._changed()
        alive = asyncio.create_task(_keep_saying_something(writer))
        try:
            while True:
                async with asyncio.timeout(SILENT):
                    line = await reader.readline()
                if not line:
                    break
                report = json.loads(line)
                replica.heard(report)
                if "leave" in report:
                    replica.leaving = True
                    self._changed()
                    replica.let_go()
        finally:
            alive.cancel()
            replica.lose()
            if self._joined.get(name) is replica:
                del self._joined[name]
            logger.info("The replica %s is gone", name)
            self._changed()

    async def _connect(self, identity: str, writer: asyncio.StreamWriter) -> None:
        order = self._order(identity)
        if order is None or order.connected.done():
            return
        transport = writer.transport
        worker = Worker(order.owner, transport.abort, far=True)
        transport.set_protocol(worker)
        worker.connection_made(transport)
        order.connected.set_result(worker)
        transport.write(b"ok\n")
        await worker.ended

    async def _hand_out(self, identity: str, file: str, writer: asyncio.StreamWriter) -> None:
        order = self._order(identity)
        if order is None or file not in order.manifest.files:
            return
        with (order.folder / file).open("rb") as content:
            while piece := await asyncio.to_thread(content.read, _PIECE):
                writer.write(piece)
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _order(self, identity: str) -> _Order | None:
        return next((replica.orders[identity] for replica in self._joined.values() if identity in replica.orders), None)


async def _hang_up(hello: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Have nothing to say."""


async def _keep_saying_something(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(ALIVE)
        _say(writer, {"alive": True})


def _say(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")


def _is_there(connected: "asyncio.Future[Worker]") -> bool:
    return connected.done() and not connected.cancelled() and connected.exception() is None
