"""Replicas keep what their server has, and bring it back to one that begins with nothing."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from jupyter_dodas.certificates import issue
from jupyter_dodas.credentials import accepting
from jupyter_dodas.errors import ModelBroken
from jupyter_dodas.inference.records import Lineage, Manifest, Signature, Tensor
from jupyter_dodas.inference.replicas.keeper import Keeper
from jupyter_dodas.inference.replicas.keeping import Keeping
from jupyter_dodas.inference.replicas.mirror import holdings, receive
from jupyter_dodas.inference.versions.store import Store
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio

SIGNATURE = Signature((Tensor("x", "float32", (None, 4)),), (Tensor("y", "float32", (None, 1)),))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name, content in issue("higgs", "page.token").items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


def add(store: Store, model: str, content: bytes, *, publish: bool = True) -> str:
    """Add a version that nobody needs to run."""
    with store.staging() as folder:
        for part in ("original", "engine/deeper"):
            (folder / part).mkdir(parents=True)
            (folder / part / "model.onnx").write_bytes(content * 100_000)
        lineage = Lineage(owner="alice", created=time.time(), note="by hand")
        made = Manifest(model=model, version="", format="onnx", engine="onnx", signature=SIGNATURE, lineage=lineage)
        version = store.add(folder, made).version
    if publish:
        store.publish(model, version)
    return version


@asynccontextmanager
async def serving(store: Store, certificates: Path, port: int, *, root: Path = Path("/nowhere")) -> AsyncIterator[Keeping]:
    """A server, as far as it keeps, whose store is seen at this path."""
    keeping = Keeping(store, lambda: None, root=root)
    attending: set[asyncio.Task[None]] = set()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await keeping.attend(json.loads(await reader.readline()), reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attending.add(task := asyncio.create_task(attend(reader, writer)))
        task.add_done_callback(attending.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=accepting(certificates))
    keeping.start()
    try:
        yield keeping
    finally:
        server.close()
        for task in attending:
            task.cancel()
        await asyncio.gather(*attending, return_exceptions=True)
        await keeping.close()


@asynccontextmanager
async def replica(name: str, own: Store, certificates: Path, port: int) -> AsyncIterator[None]:
    """A replica, as far as it keeps."""
    running = asyncio.create_task(Keeper("127.0.0.1", port, name, certificates, own).run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def there(store: Store) -> Mapping[str, Sequence[str]]:
    return {one.state.model: one.versions for one in holdings(store)}


def half_made(store: Store) -> Sequence[Path]:
    return [entry for entry in (store.root / "staging").iterdir() if entry.is_dir()]


async def test_a_replica_keeps_what_there_is_and_nothing_else(certificates: Path, port: int, tmp_path: Path) -> None:
    store, own = Store(tmp_path / "server"), Store(tmp_path / "replica")
    first, second = add(store, "net", b"1"), add(store, "net", b"2")
    add(own, "old", b"0")
    async with serving(store, certificates, port), replica("worker-1", own, certificates, port):
        await until(lambda: there(own), within=20, meets=lambda found: found == {"net": tuple(sorted((first, second)))})
        staged = add(store, "other", b"3", publish=False)
        await until(lambda: there(own), within=20, meets=lambda found: found.get("other") == (staged,))
        store.rollback("net")
        await until(lambda: own.models()["net"], within=20, meets=lambda state: state == store.models()["net"])
        store.delete("net", second)
        store.delete("other")
        await until(lambda: there(own), within=20, meets=lambda found: found == {"net": (first,)})
    assert own.manifest("net", first) == store.manifest("net", first)
    await until(lambda: half_made(own), within=10, meets=lambda left: not left)


async def test_what_a_replica_sees_itself_is_not_copied(certificates: Path, port: int, tmp_path: Path) -> None:
    store, own = Store(tmp_path / "server"), Store(tmp_path / "replica")
    version = add(store, "net", b"1")
    add(own, "old", b"0")
    async with serving(store, certificates, port, root=store.root), replica("worker-1", own, certificates, port):
        await until(lambda: there(own), within=20, meets=lambda found: not found)  # it has heard, and has done as told
    assert Store.place(store.root, "net", version).is_dir()
    assert there(own) == {}


async def test_a_server_that_begins_with_nothing_gets_all_back(certificates: Path, port: int, tmp_path: Path) -> None:
    before = Store(tmp_path / "before")
    first, second, staged = add(before, "net", b"1"), add(before, "net", b"2"), add(before, "other", b"3", publish=False)
    before.rollback("net")
    before.record("net", first, {"benchmark": [1, 2]})
    own, all_of_it = Store(tmp_path / "replica"), there(before)
    async with serving(before, certificates, port), replica("worker-1", own, certificates, port):
        await until(lambda: (there(own), own.models()), within=20, meets=lambda found: found == (all_of_it, before.models()))
    after = Store(tmp_path / "after")
    async with serving(after, certificates, port) as keeping:
        assert not keeping.kept("worker-1")
        async with replica("worker-1", own, certificates, port):
            await until(lambda: keeping.kept("worker-1"), within=20)
            assert there(after) == there(own) == {"net": tuple(sorted((first, second))), "other": (staged,)}
            assert after.models()["net"].published == first
            assert after.models()["other"].published is None
            assert after.metrics("net", first) == {"benchmark": [1, 2]}
            assert after.manifest("other", staged) == before.manifest("other", staged)
            assert after.folder("net", first)


async def test_replicas_that_come_at_once_bring_each_version_once(certificates: Path, port: int, tmp_path: Path) -> None:
    names = ("worker-1", "worker-2", "worker-3")
    owns = [Store(tmp_path / name) for name in names]
    for own in owns:
        found = tuple(sorted(add(own, "net", content) for content in (b"1", b"2", b"3")))
    (owns[0].folder("net", found[0]) / "original" / "deeper").mkdir()
    (owns[0].folder("net", found[0]) / "original" / "model.onnx").unlink()  # one of them has lost a part of what it kept
    after = Store(tmp_path / "after")
    async with serving(after, certificates, port) as keeping, AsyncExitStack() as replicas:
        for name, own in zip(names, owns, strict=True):
            await replicas.enter_async_context(replica(name, own, certificates, port))
        await until(lambda: [name for name in names if keeping.kept(name)], within=20, meets=lambda kept: len(kept) == 3)
        assert there(after) == {"net": found}
        assert after.models()["net"] == owns[1].models()["net"]


async def test_what_was_deleted_meanwhile_stays_so(certificates: Path, port: int, tmp_path: Path) -> None:
    owns = [Store(tmp_path / name) for name in ("one", "two")]
    for own in owns:
        version = add(own, "net", b"1")
    after = Store(tmp_path / "after")
    async with serving(after, certificates, port) as keeping:
        async with replica("worker-1", owns[0], certificates, port):
            await until(lambda: keeping.kept("worker-1"), within=20)
            assert there(after) == {"net": (version,)}
            after.delete("net")
            await until(lambda: there(owns[0]), within=20, meets=lambda found: not found)
        async with replica("worker-2", owns[1], certificates, port):
            await until(lambda: there(owns[1]), within=20, meets=lambda found: not found)
        assert there(after) == {}


async def test_a_server_that_has_lost_nothing_takes_nothing(certificates: Path, port: int, tmp_path: Path) -> None:
    store, own = Store(tmp_path / "server"), Store(tmp_path / "replica")
    version = add(store, "net", b"1")
    add(own, "net", b"2")
    add(own, "gone", b"3")
    async with serving(store, certificates, port) as keeping, replica("worker-1", own, certificates, port):
        assert keeping.kept("worker-1")
        await until(lambda: there(own), within=20, meets=lambda found: found == {"net": (version,)})
        assert there(store) == {"net": (version,)}


async def test_what_does_not_arrive_as_it_was_is_not_taken(certificates: Path, port: int, tmp_path: Path) -> None:
    own = Store(tmp_path / "replica")
    bad, good = add(own, "bad", b"1"), add(own, "good", b"2")
    (own.folder("bad", bad) / "engine" / "deeper" / "model.onnx").write_bytes(b"0" * 100_000)
    after = Store(tmp_path / "after")
    async with serving(after, certificates, port) as keeping, replica("worker-1", own, certificates, port):
        await until(lambda: keeping.kept("worker-1"), within=20)
        assert there(after) == {"good": (good,)}


@pytest.mark.parametrize("name", ["../outside", "/outside", "original/../../outside", ""])
async def test_a_file_that_would_lie_elsewhere_is_not_taken(tmp_path: Path, name: str) -> None:
    store, reader = Store(tmp_path / "server"), asyncio.StreamReader()
    made = Manifest(
        model="net", version="0" * 12, format="onnx", engine="onnx", signature=SIGNATURE, lineage=Lineage(owner="", created=0.0)
    )
    sent = {"manifest": msgspec.to_builtins(made) | {"files": {name: "0"}}, "sizes": {name: 1}}
    reader.feed_data(json.dumps(sent).encode() + b"\nx")
    reader.feed_eof()
    with pytest.raises(ModelBroken):
        await receive(store, reader)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server"]


async def test_a_connection_that_ends_within_a_version_leaves_nothing(tmp_path: Path) -> None:
    before, store, reader = Store(tmp_path / "before"), Store(tmp_path / "server"), asyncio.StreamReader()
    manifest = before.manifest("net", add(before, "net", b"1"))
    sizes = dict.fromkeys(manifest.files, 100000)
    reader.feed_data(msgspec.json.encode({"manifest": manifest, "sizes": sizes}) + b"\n" + b"1" * 150_000)
    reader.feed_eof()
    with pytest.raises(EOFError):
        await receive(store, reader)
    assert there(store) == {}
    assert half_made(store) == []
