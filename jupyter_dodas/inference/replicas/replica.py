"""A replica: it joins a server, runs the workers that this asks for, and passes on what they and the server say.

``python -m jupyter_dodas.inference.replicas.replica --server HOST:PORT --name NAME --certificates FOLDER --folder CACHE``

It decides nothing. Workers have no keys and no network: the replica holds the encrypted connection of each. When the server closes
one, the worker is killed; when a worker ends, its connection is closed. A replica that is told to end (SIGTERM) asks to leave, and
goes once nothing is left for it to do.
"""

import argparse
import asyncio
import json
import logging
import shutil
import signal
import ssl
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from jupyter_dodas.credentials import connecting
from jupyter_dodas.inference.execution.hosts import Process
from jupyter_dodas.inference.records import Manifest
from jupyter_dodas.inference.replicas.joined import ALIVE, LINE, SILENT
from jupyter_dodas.inference.replicas.keeper import Keeper
from jupyter_dodas.inference.versions.store import Store

__all__ = ["Member", "main"]

logger = logging.getLogger(__name__)

_QUICK, _SLOW = 0.05, 1.0  # seconds between attempts to join, at first and in the end
_MOST_VERSIONS: Final = 20
_PIECE: Final = 1 << 20


def main() -> None:
    """Run until told to end."""
    parser = argparse.ArgumentParser(prog="replica", description="Compute for an inference server.")
    parser.add_argument("--server", required=True, help="host:port at which replicas join")
    parser.add_argument("--name", required=True, help="what this one is called")
    parser.add_argument("--certificates", required=True, type=Path, help="folder with the cluster's own certificate")
    parser.add_argument("--folder", required=True, type=Path, help="where files of versions are kept")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    host, _, port = given.server.rpartition(":")
    member = Member(host.strip("[]"), int(port), given.name, given.certificates, given.folder)
    try:
        import uvloop

        uvloop.run(_run(member))
    except ImportError:
        asyncio.run(_run(member))


async def _run(member: "Member") -> None:
    keeping = asyncio.create_task(member.keeper.run())
    try:
        await member.run()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


class Member:
    """A replica, as it sees itself."""

    def __init__(self, host: str, port: int, name: str, certificates: Path, folder: Path) -> None:
        self._host, self._port, self._name, self._folder = host, port, name, folder / "versions"
        self._kept = folder / "kept"
        self.keeper = Keeper(host, port, name, certificates, Store(self._kept))
        self._context: ssl.SSLContext = connecting(certificates)
        self._asked_to_end = asyncio.Event()
        self._left = self._joined = False
        self._writer: asyncio.StreamWriter | None = None
        self._fetching: dict[str, asyncio.Lock] = {}
        self._in_use: dict[Path, int] = {}

    async def run(self) -> None:
        """Join, and join again whenever the connection breaks, until told to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pause = _QUICK
        while not self._left:
            self._joined = False
            try:
                await self._stay()
            except (OSError, TimeoutError, ValueError) as error:
                logger.log(logging.WARNING if self._joined else logging.DEBUG, "The server cannot be reached: %s", error)
            pause = _QUICK if self._joined else min(pause * 1.5, _SLOW)
            if self._asked_to_end.is_set():
                return  # it would have nothing to do any more
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._asked_to_end.wait()

    def _end(self) -> None:
        self._asked_to_end.set()
        self._say({"leave": True})

    async def _stay(self) -> None:
        """Join, and do what the server asks, until it hangs up."""
        reader, writer = await self._dial({"join": self._name})
        self._writer, self._joined = writer, True
        logger.info("Joined the server at %s:%s", self._host, self._port)
        if self._asked_to_end.is_set():
            self._end()
        try:
            async with asyncio.TaskGroup() as tasks:
                alive = tasks.create_task(self._keep_saying_something())
                workers = set()
                while not self._left:
                    async with asyncio.timeout(SILENT):
                        line = await reader.readline()
                    if not line:
                        break
                    order = json.loads(line)
                    if "start" in order:
                        workers.add(task := tasks.create_task(self._work(order)))
                        task.add_done_callback(workers.discard)
                    self._left = self._left or "left" in order
                for task in (alive, *workers):
                    task.cancel()
        except* (OSError, TimeoutError, ValueError) as group:
            raise ConnectionError(str(group.exceptions[0])) from group
        finally:
            self._writer = None
            writer.transport.abort()

    async def _work(self, order: Mapping[str, Any]) -> None:
        """Run a worker from its start to its end."""
        identity = str(order["start"])
        try:
            manifest = msgspec.convert(order["manifest"], Manifest)
            folder = await self._files(identity, manifest, Path(order["folder"]))
            self._in_use[folder] = self._in_use.get(folder, 0) + 1
            try:
                how = await self._relay(identity, folder, int(order["memory"]))
            finally:
                self._in_use[folder] -= 1
        except (OSError, ValueError) as error:
            logger.warning("A worker could not be started: %s", error)
            self._say({"failed": identity, "why": f"{self._name}: {error}"})
        else:
            self._say({"ended": identity, "how": how})

    async def _relay(self, identity: str, folder: Path, memory: int) -> str:
        """Start a worker, connect it with the server, and return how it ended."""
        loop = asyncio.get_running_loop()
        reader, writer = await self._dial({"worker": identity})
        if await reader.readline() != b"ok\n":
            writer.transport.abort()
            raise ConnectionError("the server wants this worker no more")
        process = Process(folder, memory)
        outside, inside = _End(), _End()
        outside.other, inside.other = inside, outside
        try:
            transport = writer.transport
            await loop.create_connection(lambda: inside, sock=process.socket)
            transport.set_protocol(outside)
            outside.connection_made(transport)
            await asyncio.wait([outside.ended, inside.ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            process.kill()
            for end in (outside, inside):
                end.close()
            how = await asyncio.shield(process.end())
        return how

    async def _files(self, identity: str, manifest: Manifest, shared: Path) -> Path:
        """Return the folder of a version: the server's own where it is seen from here, or a copy."""
        name = f"{manifest.model}-{manifest.version}"
        async with self._fetching.setdefault(name, asyncio.Lock()):
            text, wanted = msgspec.json.encode(manifest), [file for file in manifest.files if file.startswith("engine/")]
            for folder in (shared, Store.place(self._kept, manifest.model, manifest.version), self._folder / name):
                if await asyncio.to_thread(_is_whole, folder, manifest, wanted):
                    return folder
            await asyncio.to_thread(self._make_room)
            part, folder = self._folder / f"{name}.part", self._folder / name
            await asyncio.to_thread(_remove, part, folder)
            for file in wanted:
                await self._fetch(identity, file, part / file)
            (part / "manifest.json").write_bytes(text)
            if not await asyncio.to_thread(_is_whole, part, manifest, wanted):
                raise ConnectionError(f"the files of {name} did not arrive whole")
            part.rename(folder)
            return folder

    async def _fetch(self, identity: str, file: str, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        reader, writer = await self._dial({"fetch": identity, "file": file})
        try:
            with path.open("wb") as content:
                while piece := await reader.read(_PIECE):
                    await asyncio.to_thread(content.write, piece)
        finally:
            writer.transport.abort()

    def _make_room(self) -> None:
        """Remove the copies that were used least recently."""
        copies = [entry for entry in self._folder.iterdir() if entry.is_dir() and not self._in_use.get(entry)]
        for copy in sorted(copies, key=lambda entry: entry.stat().st_mtime)[: max(0, len(copies) - _MOST_VERSIONS)]:
            shutil.rmtree(copy, ignore_errors=True)

    async def _dial(self, hello: Mapping[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(SILENT):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context, limit=LINE)
        writer.write(json.dumps(hello).encode() + b"\n")
        return reader, writer

    async def _keep_saying_something(self) -> None:
        while True:
            await asyncio.sleep(ALIVE)
            self._say({"alive": True})

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")


class _End(asyncio.Protocol):
    """One of two connections: what comes in here goes out at the other, no faster than it takes it."""

    other: "_End"

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.other._transport is not None:  # noqa: SLF001 - the other one is of this class
            self.other._transport.write(data)  # noqa: SLF001

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.other._transport is not None:  # noqa: SLF001
            self.other._transport.pause_reading()  # noqa: SLF001

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.other._transport is not None and not self.other._transport.is_closing():  # noqa: SLF001
            self.other._transport.resume_reading()  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> None:
        """Hang up, once what was written has gone out."""
        if self._transport is not None:
            self._transport.close()


def _is_whole(folder: Path, manifest: Manifest, wanted: list[str]) -> bool:
    """Whether a folder holds this very version, with all files that an engine needs."""
    try:
        there = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        return there == manifest and all(_digest(folder / file) == manifest.files[file] for file in wanted)
    except (OSError, msgspec.DecodeError):
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        hashed = sha256()
        while piece := content.read(_PIECE):
            hashed.update(piece)
    return hashed.hexdigest()


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
