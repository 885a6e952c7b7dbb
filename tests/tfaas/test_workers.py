"""Real workers: every engine, what they do to each other's requests, and what becomes of requests when they end."""

import asyncio
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from jupyter_dodas.errors import BadInput, Busy, DodasError, ModelBroken, ModelNotFound, TimedOut
from jupyter_dodas.inference.execution.live import Bounds, Live
from jupyter_dodas.inference.execution.plane import Plane
from jupyter_dodas.inference.records import Engine
from jupyter_dodas.inference.versions.store import Store
from jupyter_dodas.testing.waiting import until
from tests.tfaas.serving import OWNER, Caller, add, predict, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
async def plane(store: Store) -> AsyncIterator[Plane]:
    async with serving(store) as made:
        yield made


def pid(live: Live) -> int:
    """The number of its worker's process here."""
    (found,) = pids(live)
    return found


def pids(live: Live) -> list[int]:
    found, place = [], f"/{live.model}/versions/{live.version}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                mine = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
            except OSError:
                continue
            if mine and b"jupyter_dodas.inference.execution.worker" in words and any(word.endswith(place) for word in words):
                found.append(int(entry.name))
    return found


async def another(live: Live, gone: int) -> None:
    """Wait until a process is gone and there is another."""
    await until(lambda: pids(live), within=20, meets=lambda left: left and gone not in left)


async def more(count: Callable[[], int], by: int) -> None:
    """Wait until a count has gone up."""
    wanted = count() + by
    await until(count, within=20, meets=lambda seen: seen >= wanted)


def row(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


# Engines.


@pytest.mark.parametrize("engine", ["litert", "onnx", "tensorflow"])
async def test_every_engine_takes_several_inputs_and_outputs_and_is_confined(
    models: Path, store: Store, plane: Plane, engine: Engine
) -> None:
    add(store, models, "two", engine)
    live = plane.resolve("two", None, OWNER)
    await live.warm()
    for rows in (1, 3, 300, 1):
        a, b = np.random.default_rng(1).normal(size=(rows, 3)), np.arange(rows * 2).reshape(rows, 2)
        total, twice = await predict(plane, live, a, b)
        np.testing.assert_allclose(total, a.astype(np.float32).sum(axis=1, keepdims=True), atol=1e-5)
        assert twice.tolist() == (b * 2).tolist()
        assert twice.dtype == np.int64
    # Where a kernel has it, Landlock is one of them; what it holds back is tested with the sandbox itself.
    assert {"no-new-privs", "no-capabilities", "seccomp", "rlimits"} <= set(live.workers["server"].layers)
    status = Path(f"/proc/{pid(live)}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s2$", status, re.MULTILINE)


@pytest.mark.parametrize("engine", ["onnx", "tensorflow"])
async def test_what_is_no_matter_of_rows_goes_with_its_shape(models: Path, store: Store, plane: Plane, engine: Engine) -> None:
    add(store, models, "gram", engine)
    live = plane.resolve("gram", None, OWNER)
    await live.warm()
    x = np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32)
    (y,), (z,) = await asyncio.gather(predict(plane, live, x), predict(plane, live, x[:2, :3]))
    np.testing.assert_allclose(y, x @ x.T, atol=1e-5)
    assert z.shape == (2, 2)


@pytest.mark.parametrize("engine", ["litert", "onnx"])
@pytest.mark.parametrize("name", ["net", "cnn"])
async def test_predictions_are_those_of_keras_for_any_number_of_rows(
    models: Path, store: Store, plane: Plane, engine: Engine, name: str
) -> None:
    add(store, models, name, engine)
    live = plane.resolve(name, None, OWNER)
    known = np.load(models / f"{name}.npz")
    x, y = known["x"], known["y"]
    singles = await asyncio.gather(*(plane.submit(live, one.tobytes()) for one in x))
    np.testing.assert_allclose(np.frombuffer(b"".join(singles), np.float32).reshape(y.shape), y, atol=1e-5)
    for count in (1, 7, 64):
        np.testing.assert_allclose((await predict(plane, live, x[:count]))[0], y[:count], atol=1e-5)
    many = np.tile(x, (300, *[1] * (x.ndim - 1)))
    np.testing.assert_allclose((await predict(plane, live, many))[0], np.tile(y, (300, 1)), atol=1e-5)


async def test_a_worker_has_no_tensorflow_where_another_engine_serves(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "net")
    live = plane.resolve("net", None, OWNER)
    await live.warm()
    maps = Path(f"/proc/{pid(live)}/maps").read_text()
    assert "ai_edge_litert" in maps
    assert "tensorflow/" not in maps


# Requests and what they do to others.


async def test_nan_fails_its_own_request_only(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "log")
    live = plane.resolve("log", None, OWNER)
    await live.warm()
    rows = [plane.submit(live, row(value)) for value in (1.0, -1.0, 4.0)]
    infers = [asyncio.ensure_future(predict(plane, live, [[1.0], [value]])) for value in (2.0, -2.0)]
    done = await asyncio.gather(*rows, *infers, return_exceptions=True)
    assert struct.unpack("<f", done[0]) == (0.0,)  # type: ignore[arg-type]
    assert struct.unpack("<f", done[2]) == pytest.approx((np.log(4.0),))  # type: ignore[arg-type]
    assert np.allclose(done[3][0], np.log([[1.0], [2.0]]))  # type: ignore[index]
    for failed in (done[1], done[4]):
        assert isinstance(failed, ModelBroken)
        assert "1 of 'y'" in failed.cause
    with pytest.raises(ModelBroken, match="finite"):
        await predict(plane, live, np.full((100_000, 1), -1.0))


@pytest.mark.parametrize("engine", ["litert", "tensorflow"])
async def test_what_takes_too_much_memory_ends_that_request_only(models: Path, store: Store, engine: Engine) -> None:
    add(store, models, "fill", engine)
    async with serving(store, memory=1 << 30) as plane:
        live = plane.resolve("fill", None, OWNER)
        await live.warm()  # TensorFlow takes its time
        assert (await predict(plane, live, [[5.0]]))[0].tolist() == [[10.0]]
        greedy = [asyncio.ensure_future(predict(plane, live, [[40_000.0]]))]
        modest = [asyncio.ensure_future(predict(plane, live, [[value]])) for value in (3.0, 4.0, 5.0)]
        with pytest.raises(ModelBroken):
            await greedy[0]
        for one, value in zip(modest, (3.0, 4.0, 5.0), strict=True):
            assert (await one)[0].shape == (1, 1), value
        assert (await predict(plane, live, [[2.0]]))[0].tolist() == [[4.0]]


async def test_what_never_ends_is_killed_and_others_go_on(models: Path, store: Store) -> None:
    add(store, models, "endless")
    async with serving(store, bounds=Bounds(timeout=5.0)) as plane:
        live = plane.resolve("endless", None, OWNER)
        assert (await predict(plane, live, [[3.0]]))[0].tolist() == [[3.0]]
        first, began = pid(live), time.monotonic()
        with pytest.raises(TimedOut, match="1 s"):
            await predict(plane, live, [[1e9]], timeout=1.0)
        assert time.monotonic() - began < 4
        assert (await predict(plane, live, [[4.0]]))[0].tolist() == [[4.0]]
        assert pid(live) != first


@pytest.mark.parametrize(("rows", "size"), [(1, 8), (2, 36), (0, 0)])
async def test_bytes_that_do_not_fit_are_refused(models: Path, store: Store, plane: Plane, rows: int, size: int) -> None:
    add(store, models, "net")
    live = plane.resolve("net", None, OWNER)
    with pytest.raises(BadInput):
        await plane.infer(live, rows, [bytes(size)], timeout=1.0)
    with pytest.raises(BadInput):
        await plane.submit(live, bytes(size + 1))


async def test_more_than_may_wait_is_told_to_come_later(models: Path, store: Store) -> None:
    add(store, models, "net")
    async with serving(store, bounds=Bounds(rows=50)) as plane:
        live = plane.resolve("net", None, OWNER)
        futures = [plane.submit(live, bytes(36)) for _ in range(60)]  # no worker is there yet
        done = await asyncio.gather(*futures, return_exceptions=True)
        refused = [one for one in done if isinstance(one, Busy)]
        assert len(refused) == 10
        assert all(one.after >= 1 for one in refused)
        assert await plane.submit(live, bytes(36))


async def test_large_bodies_let_small_ones_in_between(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "cnn")
    live = plane.resolve("cnn", None, OWNER)
    await live.warm()
    large = asyncio.ensure_future(predict(plane, live, np.zeros((20_000, 28, 28, 1), np.float32)))
    await asyncio.sleep(0)
    small = [await plane.submit(live, bytes(28 * 28 * 4)) for _ in range(5)]
    assert not large.done()
    assert len(set(small)) == 1
    assert (await large)[0].shape == (20_000, 10)


# Ends of workers.


async def test_a_killed_worker_costs_nobody_a_prediction(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "net")
    live = plane.resolve("net", None, OWNER)
    expected = await plane.submit(live, bytes(36))
    first = pid(live)
    os.kill(first, signal.SIGSTOP)
    futures = [plane.submit(live, bytes(36)) for _ in range(100)]
    await until(lambda: live.in_flight, within=5)
    os.kill(first, signal.SIGKILL)
    assert set(await asyncio.gather(*futures)) == {expected}
    assert pid(live) != first


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(10_000)], ids="seed-{}".format)
async def test_random_kills_under_load_cost_at_most_what_died_twice(models: Path, store: Store, plane: Plane, seed: int) -> None:
    chance = random.Random(seed)
    add(store, models, "net")
    live = plane.resolve("net", None, OWNER)
    expected = await plane.submit(live, bytes(36))
    done = {"right": 0, "broken": 0}
    over = asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            (answer,) = await asyncio.gather(plane.submit(live, bytes(36)), return_exceptions=True)
            if answer == expected:
                done["right"] += 1
            else:
                assert isinstance(answer, ModelBroken)
                assert "twice" in answer.message
                done["broken"] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(client())
        for _ in range(8):
            killed = (await until(lambda: pids(live), within=20))[0]
            for _ in range(chance.randrange(200)):
                await asyncio.sleep(0)
            os.kill(killed, signal.SIGKILL)
            await another(live, killed)
            await more(lambda: done["right"], 1)
        over.set()
    assert done["right"] > 100
    assert done["broken"] <= 16


async def test_a_request_that_kills_two_workers_is_refused_and_its_mates_are_not(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "endless")
    live = plane.resolve("endless", None, OWNER)
    await live.warm()
    first = pid(live)
    killer = asyncio.ensure_future(predict(plane, live, [[1e9]]))
    mates = [asyncio.ensure_future(predict(plane, live, [[value]])) for value in (1.0, 2.0)]
    await until(lambda: live.in_flight == 3, within=5)
    os.kill(first, signal.SIGKILL)
    second = (await until(lambda: [one for one in pids(live) if one != first and live.in_flight], within=20))[0]
    os.kill(second, signal.SIGKILL)
    with pytest.raises(ModelBroken, match="twice"):
        await killer
    assert [(await mate)[0].tolist() for mate in mates] == [[[1.0]], [[2.0]]]


async def test_a_version_that_cannot_be_opened_is_left_alone_for_a_while(models: Path, store: Store, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "net.tflite").write_bytes(b"no model at all")
    add(store, broken, "net")
    async with serving(store, bounds=Bounds(rest=1.0)) as plane:
        live = plane.resolve("net", None, OWNER)
        with pytest.raises(ModelBroken, match="does not run") as told:
            await plane.submit(live, bytes(36))
        assert "cannot be opened" in told.value.cause
        with pytest.raises(ModelBroken):
            await plane.submit(live, bytes(36))
        with pytest.raises(ModelBroken):
            await plane.publish("net", live.version)
        # A new version is not concerned.
        add(store, models, "net", note="whole")
        plane.refresh()
        assert await plane.submit(plane.resolve("net", None, OWNER), bytes(36))
        assert live.status()["state"] == "broken"


async def test_workers_that_die_again_and_again_are_left_alone_for_a_while(models: Path, store: Store) -> None:
    add(store, models, "endless")
    async with serving(store, bounds=Bounds(deaths=3, rest=0.5)) as plane:
        live = plane.resolve("endless", None, OWNER)
        await live.warm()
        for _ in range(3):
            with pytest.raises(TimedOut):
                await predict(plane, live, [[1e9]], timeout=0.3)
            await until(lambda: (live.workers and live.idle) or live.broken, within=20)
        with pytest.raises(ModelBroken, match="does not run"):
            await predict(plane, live, [[1.0]])
        # It is tried again after its rest.
        await until(lambda: _goes_well(plane, live), within=20)


async def _goes_well(plane: Plane, live: Live) -> bool:
    try:
        return bool((await predict(plane, live, [[2.0]]))[0] == 2.0)
    except DodasError:
        return False


# Versions.


async def test_a_staged_version_is_its_owners(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "net")
    staged = add(store, models, "net", publish=False, note="better")
    assert plane.resolve("net", staged.version, Caller("alice")).version == staged.version
    assert plane.resolve("net", staged.version, OWNER).version == staged.version
    for version in (staged.version, "0" * 12):
        with pytest.raises(ModelNotFound):
            plane.resolve("net", version, Caller("bob"))
    await plane.publish("net", staged.version)
    assert plane.resolve("net", None, Caller("bob")).version == staged.version
    await plane.rollback("net")
    with pytest.raises(ModelNotFound):
        plane.resolve("net", staged.version, Caller("bob"))


async def test_versions_are_swapped_under_load_without_a_failure(models: Path, store: Store, plane: Plane) -> None:
    versions = [add(store, models, "net", note="a").version, add(store, models, "net", engine="onnx", note="b").version]
    over, served = asyncio.Event(), dict.fromkeys(versions, 0)

    async def client() -> None:
        while not over.is_set():
            live = plane.resolve("net", None, Caller("bob"))
            await plane.submit(live, bytes(36))
            served[live.version] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(client())
        for version in versions * 4:
            await plane.publish("net", version)
            await more(partial(served.__getitem__, version), 50)
        over.set()


async def test_a_deleted_version_answers_what_is_under_way(models: Path, store: Store, plane: Plane) -> None:
    add(store, models, "net")
    live = plane.resolve("net", None, OWNER)
    await live.warm()
    futures = [plane.submit(live, bytes(36)) for _ in range(500)]
    await plane.delete("net")
    assert len(await asyncio.gather(*futures)) == 500
    assert not pids(live)
    with pytest.raises(ModelNotFound):
        plane.resolve("net", None, OWNER)


async def test_the_version_that_was_used_least_recently_goes(models: Path, store: Store) -> None:
    for name in ("a", "b", "c"):
        add(store, models, "net", model=name)
    async with serving(store, resident=2) as plane:
        a, b, c = (plane.resolve(name, None, OWNER) for name in ("a", "b", "c"))
        for live in (a, b, a, c):
            await plane.submit(live, bytes(36))
        await until(lambda: not pids(b), within=10)
        assert pids(a)
        assert pids(c)
        assert await plane.submit(b, bytes(36))


async def test_nothing_outlives_the_server(models: Path, store: Store) -> None:
    add(store, models, "endless")
    program = (
        "import asyncio, sys, os, signal\n"
        "from pathlib import Path\n"
        "from jupyter_dodas.inference.versions.store import Store\n"
        "from tests.tfaas.serving import OWNER, predict, serving\n"
        "async def main():\n"
        "    async with serving(Store(Path(sys.argv[1]))) as plane:\n"
        "        live = plane.resolve('endless', None, OWNER)\n"
        "        await live.warm()\n"
        "        asyncio.ensure_future(predict(plane, live, [[1e9]]))\n"
        "        while not live.in_flight: await asyncio.sleep(0.01)\n"
        "        print(open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read(), flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    run = partial(subprocess.run, stdout=subprocess.PIPE, text=True, check=False)
    ended = await asyncio.to_thread(run, [sys.executable, "-c", program, store.root])
    assert ended.returncode == -signal.SIGKILL
    children = [int(word) for word in ended.stdout.split()]
    assert children
    await until(lambda: not any(_runs(child) for child in children), within=10)


def _runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
