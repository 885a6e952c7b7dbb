"""The toy's hub: hands out work to drones, and tells watchers how it stands."""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any


class Hub:
    """Work is what `drone.do` does; each piece is done once, or again by another drone when one dies."""

    def __init__(self, name: str, token: str) -> None:
        self.name, self.token = name, token
        self.drones: dict[str, asyncio.StreamWriter] = {}
        self.busy: dict[str, int] = {}
        self.draining: set[str] = set()
        self.waiting: dict[int, Any] = {}
        self.running: dict[int, Any] = {}
        self.clients: dict[int, asyncio.StreamWriter] = {}
        self.watchers: set[asyncio.StreamWriter] = set()
        self.numbers = itertools.count()
        self.last_active: float | None = None
        self.freed = asyncio.Event()

    def report(self) -> dict[str, Any]:
        jobs = len(self.waiting) + len(self.running)
        ago = None if self.last_active is None else time.time() - self.last_active
        return {
            "ready": [self.name, *self.drones],
            "busy": [*self.busy],
            "wanted": jobs,
            "active": jobs > 0,
            "last_active": ago,
        }

    def tell(self) -> None:
        line = json.dumps(self.report()).encode() + b"\n"
        for watcher in self.watchers:
            watcher.write(line)

    def assign(self) -> None:
        for drone, writer in self.drones.items():
            if self.waiting and drone not in self.busy and drone not in self.draining:
                number, work = self.waiting.popitem()
                self.running[number], self.busy[drone] = work, number
                writer.write(json.dumps({"number": number, "work": work}).encode() + b"\n")
        if self.waiting or self.running:
            self.last_active = time.time()
        self.tell()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello = json.loads(await reader.readline() or "{}")
            if hello.get("token") == self.token:
                await getattr(self, f"serve_{hello['role']}")(hello, reader, writer)
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    async def serve_watch(self, _: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.watchers.add(writer)
        self.tell()
        await reader.read()
        self.watchers.discard(writer)

    async def serve_drain(self, _: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        drones = json.loads(await reader.readline())["drain"]
        self.draining |= set(drones)
        while any(drone in self.busy for drone in drones):
            self.freed.clear()
            await self.freed.wait()
        writer.write(json.dumps({"drained": drones}).encode() + b"\n")
        await writer.drain()

    async def serve_client(self, _: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            number = next(self.numbers)
            self.waiting[number], self.clients[number] = json.loads(line), writer
            self.assign()

    async def serve_drone(self, hello: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = hello["name"]
        self.drones[name] = writer
        self.draining.discard(name)
        self.assign()
        try:
            while line := await reader.readline():
                done = json.loads(line)
                del self.running[done["number"]], self.busy[name]
                self.clients.pop(done["number"]).write(json.dumps(done["result"]).encode() + b"\n")
                self.last_active = time.time()
                self.freed.set()
                self.assign()
        finally:
            del self.drones[name]
            if (lost := self.busy.pop(name, None)) is not None:
                self.waiting[lost] = self.running.pop(lost)  # somebody else does it again
            self.freed.set()
            self.assign()


async def run(token: str, host: str, port: int, name: str) -> None:
    hub = Hub(name, Path(token).read_text())
    server = await asyncio.start_server(hub.serve, host, port)
    await server.serve_forever()


def main(argv: list[str]) -> None:
    if "--fail" in argv:
        sys.stderr.write("the hub was asked to fail\n")
        raise SystemExit(3)
    asyncio.run(run(argv[0], argv[1], int(argv[2]), argv[3]))


if __name__ == "__main__":
    main(sys.argv[1:])
