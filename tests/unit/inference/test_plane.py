"""The data plane with workers in threads, whose models are functions: names, answers, failures, versions."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from jupyter_dodas.errors import BadInput, Busy, ModelBroken, ModelNotFound, TimedOut
from jupyter_dodas.inference.execution.engines import Array
from jupyter_dodas.inference.execution.frames import ERROR, FLAWED, HEADER, MOST, READY, RESULT, frame
from jupyter_dodas.inference.execution.live import Bounds, Live
from jupyter_dodas.inference.execution.plane import Plane
from jupyter_dodas.inference.execution.worker import Frames
from jupyter_dodas.inference.execution.worker import Worker as Serving
from jupyter_dodas.inference.execution.workers import Owner, Worker
from jupyter_dodas.inference.records import Lineage, Manifest, Signature, Tensor
from jupyter_dodas.inference.versions.store import Store
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio

Function = Callable[[Sequence[Array]], Sequence[Array]]

DOUBLED = Signature((Tensor("x", "float32", (None, 2)),), (Tensor("y", "float32", (None, 2)),))
TWO = Signature((Tensor("x", "float32", (None, 2)),), (Tensor("y", "float32", (None, 2)), Tensor("n", "int64", (None,))))


class Caller:
    def __init__(self, name: str, *, administrator: bool = False) -> None:
        self.name, self.administrator = name, administrator


BOB, ADMINISTRATOR = Caller("bob"), Caller("owner", administrator=True)


class Threads:
    """A host whose workers are threads, and whose models are functions by the name of the model."""

    name = "server"

    def __init__(self, **models: Function) -> None:
        self.models = models
        self.started: list[str] = []
        self.ended: list[str] = []

    @asynccontextmanager
    async def worker(self, manifest: Manifest, folder: Path, owner: Owner) -> AsyncIterator[Worker]:
        """See `Host`."""
        assert (folder / "manifest.json").exists()
        ours, theirs = socket.socketpair()
        self.started.append(manifest.version)
        thread = threading.Thread(target=self._serve, args=(manifest, theirs))
        thread.start()
        loop = asyncio.get_running_loop()
        _, worker = await loop.create_connection(lambda: Worker(owner, lambda: None), sock=ours)
        try:
            yield worker
        finally:
            worker.kill()
            await asyncio.to_thread(thread.join)
            worker.how = "The thread ended."
            self.ended.append(manifest.version)

    def _serve(self, manifest: Manifest, server: socket.socket) -> None:
        model = type("Model", (), {"run": staticmethod(self.models[manifest.model])})()
        with server:
            try:
                server.sendall(frame(READY, 0, msgspec.json.encode(["thread"])))
                Serving(manifest, model).serve(server)
            except ConnectionError:
                pass


def doubled(inputs: Sequence[Array]) -> Sequence[Array]:
    return [inputs[0] * 2]


def add(
    store: Store, model: str, *, signature: Signature = DOUBLED, owner: str = "alice", note: str = "", publish: bool = True
) -> str:
    with store.staging() as folder:
        (folder / "original").mkdir()
        (folder / "original" / "model.tflite").write_text(note)
        lineage = Lineage(owner=owner, created=1.0)
        manifest = Manifest(model=model, version="", format="tflite", engine="litert", signature=signature, lineage=lineage)
        version = store.add(folder, manifest).version
    if publish:
        store.publish(model, version)
    return version


@asynccontextmanager
async def serving(store: Store, host: Threads, **options: Any) -> AsyncIterator[Plane]:
    plane = Plane(store, here=host, **options)
    await plane.start()
    try:
        yield plane
    finally:
        await plane.close()
        assert len(host.started) == len(host.ended)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def row(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


async def infer(plane: Plane, live: Live, rows: Array, timeout: float = 10.0) -> list[Array]:
    outcome = await plane.infer(live, len(rows), [rows.data], timeout=timeout)
    outputs = live.manifest.signature.outputs
    return [
        np.frombuffer(part, tensor.dtype).reshape(shape)
        for part, tensor, shape in zip(outcome.parts, outputs, outcome.shapes, strict=True)
    ]


# Names.


@pytest.mark.parametrize("version", [None, "0" * 12, "nonsense", "../../etc"])
@pytest.mark.parametrize("model", ["nothing", "../m", ""])
async def test_what_is_not_there_is_told(store: Store, model: str, version: str | None) -> None:
    add(store, "m")
    async with serving(store, Threads()) as plane:
        with pytest.raises(ModelNotFound):
            plane.resolve(model, version, ADMINISTRATOR)


async def test_who_may_see_which_version(store: Store) -> None:
    first, second = add(store, "m", note="a"), add(store, "m", note="b")
    staged = add(store, "m", note="c", publish=False)
    async with serving(store, Threads()) as plane:
        assert plane.resolve("m", None, BOB).version == second
        assert plane.resolve("m", first, BOB).version == first  # it was published once
        with pytest.raises(ModelNotFound):
            plane.resolve("m", staged, BOB)
        assert plane.resolve("m", staged, Caller("alice")).version == staged
        assert plane.resolve("m", staged, ADMINISTRATOR).version == staged
        with pytest.raises(ModelNotFound):
            plane.resolve("m", staged, BOB)  # also now that it is known


async def test_a_model_of_which_nothing_is_published_is_not_found(store: Store) -> None:
    add(store, "m", publish=False)
    async with serving(store, Threads()) as plane:
        with pytest.raises(ModelNotFound):
            plane.resolve("m", None, ADMINISTRATOR)


async def test_what_others_change_in_the_store_is_seen(store: Store) -> None:
    add(store, "m")
    async with serving(store, Threads()) as plane:
        other = Store(store.root)
        version = add(other, "m", note="new")
        await until(lambda: plane.resolve("m", None, BOB).version == version, within=10)
        other.delete("m")

        def found() -> bool:
            try:
                return bool(plane.resolve("m", None, BOB))
            except ModelNotFound:
                return False

        await until(lambda: not found(), within=10)


async def test_the_workers_of_what_others_delete_end(store: Store) -> None:
    add(store, "m")
    host = Threads(m=doubled)
    async with serving(store, host) as plane:
        await plane.submit(plane.resolve("m", None, BOB), row(1, 2))
        Store(store.root).delete("m")
        await until(lambda: host.ended, within=10)
        assert plane.load() == (1, 0)


async def test_a_damaged_version_does_not_keep_others_from_being_found(store: Store) -> None:
    version = add(store, "m")
    (store.folder("m", version) / "manifest.json").write_text("{")
    add(store, "n")
    async with serving(Store(store.root), Threads(n=doubled)) as plane:
        assert await plane.submit(plane.resolve("n", None, BOB), row(1, 2))
        with pytest.raises(ModelNotFound):
            plane.resolve("m", None, BOB)


# Answers.


async def test_rows_get_their_own_answers_whoever_else_asks(store: Store) -> None:
    add(store, "m")
    async with serving(store, Threads(m=doubled)) as plane:
        live = plane.resolve("m", None, BOB)
        singles = [plane.submit(live, row(number, -number)) for number in range(700)]
        many = np.arange(400_000, dtype=np.float32).reshape(-1, 2)
        few = np.arange(20, dtype=np.float32).reshape(-1, 2)
        (large,), (small,) = await asyncio.gather(infer(plane, live, many), infer(plane, live, few))
        assert [np.frombuffer(await single, np.float32).tolist() for single in singles] == [[2.0 * n, -2.0 * n] for n in range(700)]
        assert (large == many * 2).all()
        assert (small == few * 2).all()
        state = live.status()
        assert (state["requests"], state["failures"], state["queued"], state["in_flight"]) == (702, 0, 0, 0)


async def test_several_outputs_of_shared_batches(store: Store) -> None:
    add(store, "m", signature=TWO)
    async with serving(store, Threads(m=lambda x: [x[0] * 2, x[0].sum(axis=1).astype(np.int64)])) as plane:
        live = plane.resolve("m", None, BOB)
        given = [np.full((count, 2), count, np.float32) for count in range(1, 30)]
        for rows, (y, n) in zip(given, await asyncio.gather(*(infer(plane, live, rows) for rows in given)), strict=True):
            assert (y == rows * 2).all()
            assert n.tolist() == [2 * len(rows)] * len(rows)
        with pytest.raises(BadInput):
            await plane.submit(live, row(1, 2))


async def test_flaws_are_told_by_output_and_number(store: Store) -> None:
    add(store, "m", signature=TWO)
    async with serving(store, Threads(m=lambda x: [1 / x[0], np.zeros(len(x[0]), np.int64)])) as plane:
        live = plane.resolve("m", None, BOB)
        good, bad = np.ones((3, 2), np.float32), np.array([[1, 0], [0, 0]], np.float32)
        done = await asyncio.gather(infer(plane, live, good), infer(plane, live, bad), return_exceptions=True)
        assert (np.asarray(done[0][0]) == 1).all()  # type: ignore[index]
        assert isinstance(done[1], ModelBroken)
        assert "3 of 'y'" in done[1].cause


async def test_one_that_the_model_cannot_do_does_not_fail_the_others(store: Store) -> None:
    def refuses(inputs: Sequence[Array]) -> Sequence[Array]:
        if (inputs[0] == 13).any():
            raise RuntimeError("no thirteen")
        return doubled(inputs)

    add(store, "m")
    async with serving(store, Threads(m=refuses)) as plane:
        live = plane.resolve("m", None, BOB)
        done = await asyncio.gather(*(plane.submit(live, row(number, 0)) for number in range(40)), return_exceptions=True)
        (failed,) = [answer for answer in done if isinstance(answer, BaseException)]
        assert isinstance(failed, ModelBroken)
        assert "no thirteen" in failed.cause
        assert len({*done}) == 40


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        (lambda x: [x[0][:, :1]], "shape"),
        (lambda x: [x[0].astype(np.float64)], "float64"),
        (lambda x: [x[0][:-1]], "shape"),
        (lambda x: [], "argument"),
    ],
)
async def test_outputs_that_are_not_those_of_the_signature_are_told(store: Store, gives: Function, why: str) -> None:
    add(store, "m")
    async with serving(store, Threads(m=gives)) as plane:
        with pytest.raises(ModelBroken) as told:
            await plane.submit(plane.resolve("m", None, BOB), row(1, 2))
        assert why in told.value.cause


def _garbage(number: int) -> dict[str, bytes]:
    return {
        "another number": frame(RESULT, number + 1, row(2, 4), rows=1),
        "other rows": frame(RESULT, number, row(2, 4), rows=2),
        "a short body": frame(RESULT, number, b"", rows=1),
        "a kind that is none": frame(77, number, row(2, 4), rows=1),
        "an error that is none": frame(ERROR, number, b"{"),
        "too long": HEADER.pack(MOST + 16, 1, number, 0, RESULT),
        "a shape": HEADER.pack(16, 1, number, 3, FLAWED) + b"\xff" * 16,
        "an end in between": HEADER.pack(16, 1, number, 0, RESULT) + b"x",
    }


@pytest.mark.parametrize("what", sorted(_garbage(0)))
async def test_a_worker_that_says_anything_is_killed_and_its_request_fails(store: Store, what: str) -> None:
    class Mad(Threads):
        def _serve(self, manifest: Manifest, server: socket.socket) -> None:
            if len(self.started) > 2:
                super()._serve(manifest, server)
                return
            with server:
                server.sendall(frame(READY, 0, b"[]"))
                frames = Frames(server)
                if (received := frames.next()) is not None:
                    server.sendall(_garbage(received[0])[what])
                    server.settimeout(0.5)
                    with suppress(OSError):
                        while server.recv(1000):
                            pass

    add(store, "m")
    async with serving(store, Mad(m=doubled)) as plane:
        live = plane.resolve("m", None, BOB)
        with pytest.raises(ModelBroken):
            await plane.submit(live, row(1, 2))
        assert await plane.submit(live, row(1, 2)) == row(2, 4)


# Bounds.


async def test_who_has_gone_is_not_answered(store: Store) -> None:
    seen: list[int] = []
    go = threading.Event()

    def slow(inputs: Sequence[Array]) -> Sequence[Array]:
        seen.append(len(inputs[0]))
        assert go.wait(20)
        return doubled(inputs)

    add(store, "m")
    async with serving(store, Threads(m=slow)) as plane:
        live = plane.resolve("m", None, BOB)
        first = [plane.submit(live, row(1, 2))]
        await until(lambda: seen, within=10)
        others = [plane.submit(live, row(1, 2)) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late = [plane.submit(live, row(1, 2)) for _ in range(50)]
        for one in late:
            one.cancel()
        go.set()
        await asyncio.gather(*first, *others)
        assert sum(seen) == 51
        assert live.idle


async def test_what_waits_too_long_is_told_so_and_the_worker_is_left_alone(store: Store) -> None:
    go = threading.Event()

    def slow(inputs: Sequence[Array]) -> Sequence[Array]:
        assert go.wait(20)
        return doubled(inputs)

    add(store, "m")
    host = Threads(m=slow)
    async with serving(store, host, bounds=Bounds(timeout=20)) as plane:
        live = plane.resolve("m", None, BOB)
        first = plane.submit(live, row(1, 2))
        await until(lambda: live.in_flight, within=10)
        with pytest.raises(TimedOut, match=r"0\.2 s"):
            await infer(plane, live, np.ones((1, 2), np.float32), timeout=0.2)
        go.set()
        assert await first
        assert len(host.started) == 1


async def test_a_full_queue_is_told_at_once(store: Store) -> None:
    add(store, "m")
    async with serving(store, Threads(m=doubled), bounds=Bounds(rows=3)) as plane:
        live = plane.resolve("m", None, BOB)
        futures = [plane.submit(live, row(1, 2)) for _ in range(5)]
        assert [future.done() for future in futures] == [False] * 3 + [True] * 2
        done = await asyncio.gather(*futures, return_exceptions=True)
        assert sum(isinstance(answer, Busy) for answer in done) == 2


# Versions.


async def test_publishing_waits_until_the_new_one_is_ready(store: Store) -> None:
    first, second = add(store, "m", note="a"), add(store, "m", note="b", publish=False)
    host = Threads(m=doubled)
    async with serving(store, host) as plane:
        await plane.submit(plane.resolve("m", None, BOB), row(1, 2))
        await plane.publish("m", second)
        assert host.started == [first, second]
        assert plane.resolve("m", None, BOB).workers
        state = await plane.rollback("m")
        assert state.published == first
        assert plane.resolve("m", None, BOB).version == first


async def test_a_deleted_version_answers_those_who_asked_before(store: Store) -> None:
    add(store, "m")
    host = Threads(m=doubled)
    async with serving(store, host) as plane:
        live = plane.resolve("m", None, BOB)
        futures = [plane.submit(live, row(1, 2)) for _ in range(300)]
        await plane.delete("m")
        assert all(future.done() and not future.exception() for future in futures)
        assert len(host.ended) == 1
        with pytest.raises(ModelNotFound):
            plane.resolve("m", None, ADMINISTRATOR)


async def test_no_more_versions_are_resident_than_may_be(store: Store) -> None:
    for name in "abcd":
        add(store, name)
    host = Threads(**dict.fromkeys("abcd", doubled))
    async with serving(store, host, resident=2) as plane:
        lives = {name: plane.resolve(name, None, BOB) for name in "abcd"}
        for name in "abacad":
            await plane.submit(lives[name], row(1, 2))
        await until(
            lambda: {name for name, live in lives.items() if live.workers}, within=10, meets=lambda warm: warm == {"a", "d"}
        )
        answers = await asyncio.gather(*(plane.submit(live, row(1, 2)) for live in lives.values()))
        assert answers == [row(2, 4)] * 4
