"""Models that are not well meant are refused with a sentence, and what they wanted has not happened."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_dodas.errors import ModelRefused
from jupyter_dodas.inference.conversion import standby
from tests.tfaas.converting import Converting, converting
from tests.unit.inference import escapes

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def at(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converting]:
    manager = converting(tmp_path_factory.mktemp("hostile") / "store", memory=2 << 30)
    yield runner.run(manager.__aenter__())
    runner.run(manager.__aexit__(None, None, None))


REFUSED = {
    "read": "operation 'ReadFile', which is not allowed",
    "written": "operation 'WriteFile'",
    "deep": "operation 'ReadFile'",
    "python": "operation 'EagerPyFunc'",
    "old_python": "operation 'PyFunc'",
    "printed": "operation 'PrintV2'",
    "read.pb": "operation 'ReadFile'",
    "hidden": "operation 'WriteFile'",
    "saver": "operation 'SaveV2'",
    "unsigned": "has no signature",
    "words": "elements of the type string",
    "huge": "needs more than the 2048 MiB",
    "lambda.keras": r"Lambda layer(?s:.*)as deploy\(\) does",
    "unknown.keras": r"cannot be loaded(?s:.*)as deploy\(\) does",
    "absolute.onnx": "lies elsewhere: '/etc/passwd'",
    "upwards.onnx": r"lies elsewhere: '\.\./\.\./secret\.bin'",
    "missing.onnx": r"lies elsewhere: 'weights\.bin'",
    "foreign.onnx": r"operations of com\.example",
    "noise.onnx": "cannot be loaded as onnx",
    "flex.tflite": "operations of TFLite alone",
    "noise.tflite": "cannot be (opened|converted)",
    "noise.pb": "cannot be loaded as frozen-graph",
    "noise.keras": "cannot be loaded as keras",
    "empty.pb": "It has no nodes",
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str, runner: asyncio.Runner, at: Converting, strange: Path) -> None:
    with pytest.raises(ModelRefused, match=REFUSED[name]) as caught:
        runner.run(at.put(strange / "hostile" / name))
    assert caught.value.remedy
    assert not Path("/tmp/written-by-a-model").exists()
    assert at.left() == []
    assert at.processes() == []
    assert at.store.models() == {}


EXPLOITED = ("-c", "import sys; sys.path.insert(0, sys.argv[1]); import runpy; runpy.run_module('tests.tfaas.exploited')")


def test_a_model_that_has_taken_over_its_process_gets_nowhere(
    runner: asyncio.Runner, strange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox as conversions have it, not one put up for the test."""
    monkeypatch.setattr(standby, "_PROGRAM", (*EXPLOITED, str(Path(__file__).parents[2])))
    (tmp_path / "place").mkdir()

    async def exploit() -> str:
        async with converting(tmp_path / "store", memory=3 << 30, size=1 << 20) as at:
            with pytest.raises(ModelRefused, match="exploited") as caught:
                await at.put(strange / "hostile" / "read", params=there | {"memory": 3 << 30, "size": 1 << 20, "files": 1100})
            return caught.value.cause

    with escapes.place(tmp_path / "place") as there:
        assert runner.run(exploit()) == "[]"
    assert Path(there["log"]).read_text() == "secret"
    assert Path(there["doomed"]).exists()
