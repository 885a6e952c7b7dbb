"""Uploads of every format become versions that an engine serves, and whatever ends a conversion leaves nothing of it."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import pytest

from jupyter_dodas.errors import Busy, ModelBroken, ModelRefused, StoreFull, TimedOut
from jupyter_dodas.inference.execution import engines
from jupyter_dodas.inference.records import Signature, Tensor
from jupyter_dodas.inference.versions.store import Store
from jupyter_dodas.testing.waiting import blocking_until, until
from tests.tfaas.converting import Converting, converting

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def at(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converting]:
    """One converter for all tests, since it takes its time to start."""
    manager = converting(tmp_path_factory.mktemp("conversion") / "store")
    yield runner.run(manager.__aenter__())
    runner.run(manager.__aexit__(None, None, None))


def one(name: str, *shape: int | None, dtype: str = "float32") -> tuple[Tensor, ...]:
    return (Tensor(name, dtype, shape),)


SERVED: dict[str, tuple[str, str, Signature | None]] = {
    # Of A's models and of the strange ones: format, engine, signature.
    "models/net.keras": ("keras", "litert", None),
    "models/net": ("saved-model", "litert", None),
    "models/net.pb": ("frozen-graph", "litert", Signature(one("x", None, 9), one("Identity", None, 1))),
    "models/net.onnx": ("onnx", "onnx", Signature(one("x", None, 9), one("y", None, 1))),
    "models/net.tflite": ("tflite", "litert", None),
    "models/cnn": ("saved-model", "litert", None),
    "models/gram.onnx": ("onnx", "onnx", Signature(one("x", None, None), one("y", None, None))),
    "zoo/special": ("saved-model", "onnx", Signature(one("x", None, 3), one("y", None, 3))),
    "zoo/rare": ("saved-model", "tensorflow", Signature(one("x", None, 3), one("y", None, 3))),
    "zoo/double": ("saved-model", "onnx", Signature(one("x", None, 3, dtype="float64"), one("y", None, 3, dtype="float64"))),
    "zoo/noisy": ("saved-model", "tensorflow", Signature(one("x", None, 3), one("y", None, 3))),
    "zoo/normalised": ("saved-model", "litert", Signature(one("x", None, 3), one("y", None, 3), independent=False)),
    "zoo/looked_up": ("saved-model", "litert", Signature(one("x", None, 1, dtype="int32"), one("y", None, 4))),
    "zoo/single": ("saved-model", "litert", Signature(one("x", 1, 3), one("y", 1, 3))),
    # As most such files are: for one row, but more go through it.
    "zoo/single.tflite": ("tflite", "litert", Signature(one("x", None, 3), one("y", None, 3))),
    "zoo/pooled": ("saved-model", "litert", Signature(one("x", None, None, 3), one("y", None, 3))),
    "zoo/bytes": (
        "saved-model",
        "onnx",
        Signature(one("x", None, 4, dtype="uint8"), (*one("big", None, 4, dtype="bool"), *one("y", None, 4))),
    ),
    "zoo/named": (
        "saved-model",
        "litert",
        Signature((*one("a", None, 2), *one("b", None, 2)), (*one("out_2", None, 2), *one("out_10", None, 2))),
    ),
    "zoo/crossed": (
        "saved-model",
        "onnx",
        Signature((*one("a2", None, 2), *one("a10", None, 2)), (*one("out_2", None, 2), *one("out_10", None, 2))),
    ),
    "zoo/other_key": ("saved-model", "litert", Signature(one("x", None, 3), one("y", None, 3))),
    "zoo/old": ("saved-model", "litert", Signature(one("features", None, 3), one("scores", None, 2))),
    "zoo/graph.pb": ("frozen-graph", "litert", Signature(one("x", None, 3), one("Identity", None, 2))),
    "zoo/recurrent.keras": ("keras", "onnx", Signature(one("tracks", None, 6, 2), one("output_0", None, 2))),
    "zoo/beside": ("onnx", "onnx", Signature(one("x", None, 3), one("y", None, 1000))),
}


@pytest.mark.parametrize("name", SERVED)
def test_every_format_is_served(name: str, runner: asyncio.Runner, at: Converting, models: Path, strange: Path) -> None:
    where, _, file = name.partition("/")
    manifest, folder = runner.run(at.put((models if where == "models" else strange) / file))
    form, engine, signature = SERVED[name]
    assert (manifest.format, manifest.engine) == (form, engine)
    assert signature in {None, manifest.signature}
    assert at.steps == ["Unpacked", "Loaded", "Converted", "Compared", "Measured"]
    check = manifest.check
    assert set(check.seconds) == {"Loaded", "Converted", "Compared", "Measured"}
    assert check.layers == ("no-new-privs", "no-capabilities", "landlock", "seccomp", "rlimits", "deadline")
    assert check.microseconds > 0
    assert check.memory > 0
    itself = engine == "tensorflow" or form in {"onnx", "tflite"}
    assert (check.compared == 0) == itself
    assert check.tolerance <= 1e-4
    assert bool(check.note) == (engine != "litert" and form != "onnx")
    assert {part.parts[0] for part in map(Path, manifest.files)} == {"engine", "original"}
    assert at.left() == []
    if engine != "tensorflow" and where == "models":
        _see_that_it_gives_what_keras_gave(manifest, folder, models)


def _see_that_it_gives_what_keras_gave(manifest: Any, folder: Path, models: Path) -> None:
    known = models / f"{Path(next(name for name in manifest.files if name.startswith('original/'))).stem}.npz"
    if known.exists():
        with np.load(known) as rows:
            found = engines.load(manifest.engine)(manifest, folder).run([rows["x"]])
            assert np.abs(found[0] - rows["y"]).max() < 1e-5


NOTES = {
    "special": "ONNX Runtime serves it, because LiteRT cannot run Erf, Asinh.",
    "rare": "TensorFlow serves it, because LiteRT cannot run Igamma; ONNX Runtime cannot run Igamma.",
}


@pytest.mark.parametrize("name", NOTES)
def test_a_version_says_why_another_engine_serves_it(name: str, runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    manifest, folder = runner.run(at.put(strange / name))
    assert manifest.check.note == NOTES[name]
    assert (folder / "engine" / ("saved_model/saved_model.pb" if name == "rare" else "model.onnx")).is_file()


def test_what_draws_lots_is_served_by_tensorflow(runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    manifest, _ = runner.run(at.put(strange / "noisy"))
    assert "LiteRT differs from it by" in manifest.check.note
    assert manifest.check.memory > 50 << 20


def test_the_same_upload_is_the_same_version(runner: asyncio.Runner, at: Converting, models: Path) -> None:
    first, _ = runner.run(at.put(models / "net.tflite"))
    assert runner.run(at.put(models / "net.tflite"))[0] == first
    assert runner.run(at.put(models / "net.tflite", labels=["signal"]))[0].version != first.version


def test_tfaas_names_the_nodes_of_a_frozen_graph(runner: asyncio.Runner, at: Converting, models: Path, tmp_path: Path) -> None:
    for fields in (("input_node", "output_node"), ("inputNode", "outputNode")):
        params = dict(zip(fields, ("x:0", "Identity"), strict=True))
        manifest, _ = runner.run(at.put(models / "net.pb", params=params))
        assert manifest.signature == Signature(one("x", None, 9), one("Identity", None, 1))
        assert manifest.params == params
    with pytest.raises(ModelRefused, match="no node 'input_7'"):
        runner.run(at.put(models / "net.pb", params={"input_node": "input_7"}))


EXAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "too wide": ({"x": np.zeros((5, 4), np.float32)}, r"takes float32\(n, 3\); there are float32\(5, 4\)"),
    "text": ({"x": np.array([["a", "b", "c"]])}, "do not fit the model"),
    "empty": ({"x": np.zeros((0, 3), np.float32)}, "do not fit the model"),
    "of another model": ({"pt": np.zeros((5, 3)), "eta": np.zeros((5, 3))}, "They are for eta, pt; its inputs are x"),
    "a pickle": ({"x": np.array([object()])}, "cannot be read"),
}


def test_examples_are_compared_too(runner: asyncio.Runner, at: Converting, strange: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", pt=np.random.default_rng(1).normal(size=(50, 3)))
    manifest, _ = runner.run(at.put(strange / "special", model="compared", examples=tmp_path / "rows.npz"))
    without, _ = runner.run(at.put(strange / "special", model="other"))
    assert manifest.check.compared == without.check.compared + 50


def test_a_model_that_takes_no_random_rows_wants_examples(
    runner: asyncio.Runner, at: Converting, strange: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match="Upload examples with it"):
        runner.run(at.put(strange / "picky"))
    np.savez(tmp_path / "rows.npz", x=np.full((4, 3), -1e7, np.float32))
    manifest, _ = runner.run(at.put(strange / "picky", examples=tmp_path / "rows.npz"))
    assert manifest.engine in {"litert", "onnx", "tensorflow"}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_examples_that_do_not_fit_are_refused(
    kind: str, runner: asyncio.Runner, at: Converting, strange: Path, tmp_path: Path
) -> None:
    arrays, words = EXAMPLES[kind]
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(ModelRefused, match=words):
        runner.run(at.put(strange / "special", examples=tmp_path / "rows.npz"))
    (tmp_path / "rows.npz").write_bytes(b"PK\3\4 nonsense")
    with pytest.raises(ModelRefused, match="examples cannot be read"):
        runner.run(at.put(strange / "special", examples=tmp_path / "rows.npz"))
    assert at.left() == []


def test_names_of_features_are_as_many_as_the_model_takes(runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    assert runner.run(at.put(strange / "other_key", keys=["pt", "eta", "phi"]))[0].keys == ("pt", "eta", "phi")
    with pytest.raises(ModelRefused, match="There are 2 names; a row of the model has 3 numbers"):
        runner.run(at.put(strange / "other_key", keys=["pt", "eta"]))


@pytest.mark.parametrize("name", ["net.keras", "cnn", "net.onnx", "net.tflite"])
def test_a_full_disk_is_said_and_leaves_nothing(
    name: str, runner: asyncio.Runner, at: Converting, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may write no more bytes to a file sees what a full disk shows."""
    monkeypatch.setattr(at.converter, "_size", 500)
    with pytest.raises((StoreFull, ModelRefused)) as caught:
        runner.run(at.put(models / name, model="full"))
    assert name == "net.keras" or isinstance(caught.value, StoreFull)  # Keras has words of its own for it
    assert "full" not in at.store.models()
    assert at.left() == []


def test_uploads_take_turns_and_too_many_are_refused(runner: asyncio.Runner, at: Converting, models: Path) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(at.put(models / "net.tflite") for _ in range(8)), return_exceptions=True)

    found = runner.run(many())
    assert sum(isinstance(each, tuple) for each in found) == 5
    assert sum(isinstance(each, Busy) for each in found) == 3
    assert at.left() == []


async def working(at: Converting) -> psutil.Process:
    """Wait until a conversion is under way, and return its process."""
    return (await until(at.jobs, within=120))[0]


def test_a_model_that_never_ends_is_ended(
    runner: asyncio.Runner, at: Converting, strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.run(at.put(strange / "single"))
    monkeypatch.setattr(at.converter, "_deadline", 3.0)
    with pytest.raises(TimedOut, match="It was ended after 3 s"):
        runner.run(at.put(strange / "hostile" / "endless"))
    assert at.processes() == []
    assert at.left() == []
    assert at.converter.process is not None, "the process that waits need not go"


def test_a_conversion_that_is_cancelled_leaves_nothing(runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(at.put(strange / "hostile" / "endless"))
        await working(at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert at.processes() == []
        assert at.left() == []

    runner.run(cancelled())
    runner.run(at.put(strange / "single"))


def test_one_that_waits_and_is_cancelled_is_never_begun(runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    async def cancelled() -> None:
        first = asyncio.ensure_future(at.put(strange / "hostile" / "endless"))
        await working(at)
        second = asyncio.ensure_future(at.put(strange / "single"))
        await until(lambda: len(at.left()), within=10, meets=lambda count: count == 2)
        for task in (second, first):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert at.left() == []

    runner.run(cancelled())


def test_the_process_of_a_conversion_is_killed(runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    async def killed() -> None:
        task = asyncio.ensure_future(at.put(strange / "hostile" / "endless"))
        (await working(at)).kill()
        with pytest.raises(ModelRefused, match="SIGKILL"):
            await task

    runner.run(killed())
    assert at.left() == []
    runner.run(at.put(strange / "single"))


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(10_000) for _ in range(1)], ids="seed-{}".format)
def test_the_converter_is_killed_at_any_time(seed: int, runner: asyncio.Runner, at: Converting, models: Path) -> None:
    chance = random.Random(seed)

    async def killed() -> None:
        task = asyncio.ensure_future(at.put(models / "cnn"))
        job = await working(at)
        await asyncio.wait({task}, timeout=chance.random())
        assert at.converter.process is not None
        psutil.Process(at.converter.process).kill()
        found = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(found, ModelBroken | tuple), found
        # What it forked goes with it.
        await until(lambda: not job.is_running() or job.status() == psutil.STATUS_ZOMBIE, within=10)

    runner.run(killed())
    assert at.left() == []
    runner.run(at.put(models / "net.tflite"))


def test_the_process_that_waits_ends_unused_and_is_started_again(runner: asyncio.Runner, tmp_path: Path, models: Path) -> None:
    async def unused() -> None:
        async with converting(tmp_path / "store", idle=0.5) as at:
            at.converter.expect()
            await until(lambda: at.converter.process is not None, within=10)
            pid = at.converter.process or 0
            await until(lambda: not psutil.pid_exists(pid), within=120)
            assert at.converter.process is None
            await at.put(models / "net.tflite")  # it is started again

    runner.run(unused())


SERVER = """
import asyncio, sys
from pathlib import Path
from tests.tfaas.converting import converting
async def main():
    async with converting(Path(sys.argv[1])) as at:
        task = asyncio.ensure_future(at.put(Path(sys.argv[2])))
        while not (jobs := at.jobs()):
            await asyncio.sleep(0.01)
        print(at.converter.process, jobs[0].pid, flush=True)
        await task
asyncio.run(main())
"""


def test_a_server_that_is_killed_leaves_no_process_and_nothing_half_stored(tmp_path: Path, strange: Path) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path / "store"), str(strange / "hostile" / "endless")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pids = [int(word) for word in server.stdout.readline().split()]
        server.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    blocking_until(lambda: [pid for pid in pids if psutil.pid_exists(pid)], within=60, meets=lambda left: not left)
    assert len(list((tmp_path / "store" / "staging").iterdir())) == 2  # the lock over them, and what was under way
    store = Store(tmp_path / "store")
    assert [path.name for path in (store.root / "staging").iterdir()] == ["lock"]
    assert store.models() == {}
