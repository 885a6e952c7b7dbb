"""The controller's words beside a worker: only who holds the secrets is heard, and the one worker retires."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_dodas.services.base import Endpoint, Site
from jupyter_dodas.services.spark import credentials
from jupyter_dodas.services.spark.control import Control
from jupyter_dodas.services.spark.link import SparkLink
from jupyter_dodas.testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not hasattr(signal, "SIGPWR"), reason="only Linux has SIGPWR")]

RETIRES = """
import signal
signal.signal(signal.SIGPWR, lambda *_: print("retired", flush=True))
print("here", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
async def worker() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RETIRES, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"here\n"
    yield process
    process.kill()
    await process.wait()


@pytest.fixture
async def port(worker: asyncio.subprocess.Process, tmp_path: Path, unused_port: int) -> AsyncIterator[int]:
    (tmp_path / credentials.FILE).write_bytes(credentials.issue(cores=1)[credentials.FILE])
    serving = asyncio.create_task(Control("worker-1", worker, tmp_path).serve("127.0.0.1", unused_port))

    async def listens() -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", unused_port)
            writer.close()
            return True
        return False

    await until(listens, within=5)
    yield unused_port
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


def a_link(name: str, port: int, secrets: Path) -> SparkLink:
    ports = {"rpc": 1, "web": 1, "control": port}
    site = Site("higgs", {name: Endpoint("127.0.0.1", ports), "master": Endpoint("127.0.0.1", ports)}, secrets)
    return SparkLink(lambda: site, lambda: None)


async def test_a_worker_retires_once(worker: asyncio.subprocess.Process, port: int, tmp_path: Path) -> None:
    link = a_link("worker-1", port, tmp_path)
    try:
        for _ in range(2):
            assert await link.drain(["worker-1", "worker-7"]) == ["worker-1"]
    finally:
        await link.close()
    assert worker.stdout is not None
    assert await worker.stdout.readline() == b"retired\n"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.stdout.readline(), 0.2)


async def test_strangers_are_not_heard(worker: asyncio.subprocess.Process, port: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / credentials.FILE).write_bytes(credentials.issue(cores=1)[credentials.FILE])
    for name, secrets in (("worker-1", tmp_path / "other"), ("worker-2", tmp_path)):
        link = a_link(name, port, secrets)
        try:
            assert await link.drain([name]) == []
        finally:
            await link.close()
    for line in (b"\n", b"x" * 100_000, b"0 decommission worker-1\n", b"\xff\xfe\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(line)
        writer.write_eof()
        with suppress(ConnectionError):
            assert len(await reader.read()) <= 33
        writer.close()
    assert worker.stdout is not None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.stdout.readline(), 0.2)


def test_tokens_are_signed_and_end() -> None:
    text = credentials.issue(cores=2)[credentials.FILE].decode()
    properties = dict(line.split(" ", 1) for line in text.splitlines())
    word, token = credentials.bearer(properties, 1000.9).split()
    assert word == "Bearer"
    assert token.count(".") == 2
    assert not set(token) & set("=+/")
    assert credentials.bearer(properties, 1000.1) == f"Bearer {token}"
    assert credentials.proof(properties, "a", "b") != credentials.proof(properties, "a", "c")
