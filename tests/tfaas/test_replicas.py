"""Real replicas: they join over TLS, compute, leave, are killed, and nobody who predicts sees any of it."""

import asyncio
import random
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_dodas.certificates import issue
from jupyter_dodas.credentials import connecting
from jupyter_dodas.inference.execution.live import Live
from jupyter_dodas.inference.execution.plane import Plane
from jupyter_dodas.inference.versions.store import Store
from jupyter_dodas.testing.waiting import until
from tests.tfaas.serving import OWNER, add, predict, serving

pytestmark = pytest.mark.anyio

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return folder_of("tagger", tmp_path / "certificates")


def folder_of(cluster: str, folder: Path) -> Path:
    folder.mkdir()
    for name, content in issue(cluster, "token").items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
async def plane(models: Path, tmp_path: Path) -> AsyncIterator[Plane]:
    store = Store(tmp_path / "store")
    add(store, models, "net")
    add(store, models, "endless")
    async with serving(store) as made:
        yield made


@pytest.fixture
async def port(plane: Plane, certificates: Path) -> int:
    return await plane.replicas.open("127.0.0.1", 0, certificates)


@pytest.fixture
def start(port: int, certificates: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a replica of some name; all are ended with the test."""
    started = []

    def go(name: str) -> "subprocess.Popen[bytes]":
        options = {"server": f"127.0.0.1:{port}", "name": name, "certificates": certificates, "folder": tmp_path / "caches" / name}
        flags = [f"--{option}={value}" for option, value in options.items()]
        log = (tmp_path / f"{name}.log").open("wb")
        with log:
            started.append(subprocess.Popen([sys.executable, "-m", "jupyter_dodas.inference.replicas.replica", *flags], stderr=log))
        return started[-1]

    yield go
    for replica in started:
        replica.kill()
        replica.wait()


async def joined(plane: Plane, *names: str) -> None:
    """Wait until just these replicas are there."""
    await until(lambda: sorted(plane.replicas.replicas()), within=30, meets=lambda there: there == sorted(names))


async def working(live: Live, *names: str) -> None:
    """Wait until a version has its workers on just these hosts."""
    await until(lambda: sorted(live.workers), within=30, meets=lambda there: there == sorted(names))


class Load:
    """Clients that predict without a pause, and must all be served."""

    def __init__(self, plane: Plane) -> None:
        self._plane, self.served, self._over = plane, 0, False

    async def __aenter__(self) -> "Load":
        self._clients = [asyncio.ensure_future(self._predict()) for _ in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._clients)

    async def _predict(self) -> None:
        while not self._over:
            await self._plane.submit(self._plane.resolve("net", None, OWNER), bytes(36))
            self.served += 1

    async def more(self, by: int = 200) -> None:
        """Wait for more answers."""
        wanted = self.served + by
        await until(
            lambda: [one.exception() for one in self._clients if one.done()] or self.served, within=30, meets=_reaches(wanted)
        )


def _reaches(wanted: int) -> Callable[[object], bool]:
    def reached(seen: object) -> bool:
        assert isinstance(seen, int), seen
        return seen >= wanted

    return reached


async def test_replicas_take_over_from_the_server_and_give_back(plane: Plane, start: Start, tmp_path: Path) -> None:
    live = plane.resolve("net", None, OWNER)
    async with Load(plane) as load:
        await load.more()
        assert list(live.workers) == ["server"]
        first = start("replica-1")
        await working(live, "replica-1")
        await load.more()
        start("replica-2")
        await working(live, "replica-1", "replica-2")
        await load.more()
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 30) == 0
        await joined(plane, "replica-2")
        await load.more()
    assert live.traffic.failures == 0
    # The folder of the store is seen from there, so there is no copy.
    assert not list((tmp_path / "caches").rglob("*.tflite"))


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(10_000)], ids="seed-{}".format)
async def test_killed_replicas_cost_nobody_a_prediction(plane: Plane, start: Start, seed: int) -> None:
    chance = random.Random(seed)
    live = plane.resolve("net", None, OWNER)
    running = {name: start(name) for name in ("a", "b", "c")}
    await joined(plane, "a", "b", "c")
    async with Load(plane) as load:
        await working(live, "a", "b", "c")
        for _ in range(2):
            await load.more(chance.randrange(1, 200))
            name = chance.choice(sorted(running))
            running.pop(name).kill()
            await working(live, *running)
            await load.more()
        next(iter(running.values())).kill()
        await working(live, "server")
        await load.more()
    assert live.traffic.failures == 0


async def test_a_replica_that_sees_no_store_gets_the_files(plane: Plane, start: Start, tmp_path: Path) -> None:
    live = plane.resolve("net", None, OWNER)
    start("far")
    await joined(plane, "far")
    host = plane.replicas.hosts[0]
    ordered = host._say  # the wire, with a path of another machine
    host._say = lambda order: ordered({**order, "folder": "/nowhere"} if "start" in order else order)
    assert await plane.submit(live, bytes(36))
    assert list(live.workers) == ["far"]
    copy = tmp_path / "caches" / "far" / "versions" / f"net-{live.version}"
    assert {path.name for path in copy.rglob("*") if path.is_file()} == {"manifest.json", "model.tflite"}
    # A damaged copy is fetched again.
    await live.stop()
    (copy / "engine" / "model.tflite").write_bytes(b"damaged")
    assert await plane.submit(live, bytes(36))
    assert (copy / "engine" / "model.tflite").stat().st_size > 100


async def test_what_never_ends_is_killed_there_too(plane: Plane, start: Start) -> None:
    live = plane.resolve("endless", None, OWNER)
    start("replica-1")
    await joined(plane, "replica-1")
    with pytest.raises(Exception, match="did not answer in 1 s"):
        await predict(plane, live, [[1e9]], timeout=1.0)
    assert (await predict(plane, live, [[3.0]]))[0].tolist() == [[3.0]]
    assert list(live.workers) == ["replica-1"]


async def test_one_that_is_retired_gets_nothing_until_it_may_go_on(plane: Plane, start: Start) -> None:
    live = plane.resolve("net", None, OWNER)
    for name in ("a", "b"):
        start(name)
    await joined(plane, "a", "b")
    async with Load(plane) as load:
        await working(live, "a", "b")
        plane.replicas.retire("a")
        plane.replicas.retire("nobody")
        await working(live, "b")
        assert plane.replicas.replicas()["a"] == 0
        assert {one["name"]: one["state"] for one in plane.replicas.states()} == {"a": "draining", "b": "ready"}
        await load.more()
        plane.replicas.resume("a")
        await working(live, "a", "b")


async def test_workers_end_with_their_replica(plane: Plane, start: Start) -> None:
    live = plane.resolve("endless", None, OWNER)
    replica = start("replica-1")
    await joined(plane, "replica-1")
    await live.warm()
    looping = asyncio.ensure_future(predict(plane, live, [[1e9]], timeout=20))
    await until(lambda: live.in_flight, within=10)
    (worker,) = children(replica.pid)
    replica.kill()
    await until(lambda: not Path(f"/proc/{worker}").exists(), within=10)
    looping.cancel()
    await asyncio.gather(looping, return_exceptions=True)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_replica_joins_again_when_the_server_comes_back(
    models: Path, tmp_path: Path, certificates: Path, plane: Plane, start: Start
) -> None:
    start("replica-1")
    await joined(plane, "replica-1")
    port = plane.replicas.port
    await plane.close()
    async with serving(Store(tmp_path / "store")) as again:
        await again.replicas.open("127.0.0.1", port, certificates)
        await joined(again, "replica-1")
        assert await again.submit(again.resolve("net", None, OWNER), bytes(36))


@pytest.mark.parametrize("who", ["nobody", "another cluster"])
async def test_only_the_cluster_s_own_certificate_comes_in(plane: Plane, port: int, tmp_path: Path, who: str) -> None:
    if who == "nobody":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = connecting(folder_of("other", tmp_path / "other"))
        context.verify_mode = ssl.CERT_NONE

    def call() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as caller:
            caller.sendall(b'{"join": "intruder"}\n')
            return caller.recv(100)

    with suppress(ssl.SSLError, ConnectionError):  # it depends on how far the handshake is when it is refused
        assert await asyncio.to_thread(call) == b""
    assert not plane.replicas.replicas()


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"{}\n", b'{"worker": "x"}\n', b'{"fetch": "x", "file": "../y"}\n', b"\xff" * 100]
)
async def test_a_line_that_makes_no_sense_is_hung_up_on(plane: Plane, port: int, certificates: Path, line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=connecting(certificates))
    writer.write(line)
    writer.write_eof() if writer.can_write_eof() else writer.write(b"\n")
    try:
        async with asyncio.timeout(15):
            assert not await reader.read()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    assert not plane.replicas.replicas()
