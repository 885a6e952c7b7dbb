"""What one does with an endpoint from a notebook and a shell: deploy, measure, predict, publish, go back, score frames of Dask."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import dask.array
import dask.dataframe
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

import jupyter_dodas as dodas
from jupyter_dodas import aio
from jupyter_dodas.cli import main
from jupyter_dodas.cli.exits import Exit
from jupyter_dodas.errors import BadInput, ModelNotFound, ModelRefused
from tests.place import Place

pytestmark = pytest.mark.timeout(300)

KEYS = [f"f{number}" for number in range(9)]


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    place = Place()
    with pytest.MonkeyPatch.context() as patched:
        for name, value in place.variables.items():
            patched.setenv(name, value)
        yield place
        place.close()


@pytest.fixture(scope="module")
def endpoint(shared_place: Place) -> Iterator[Any]:
    with dodas.tfaas(name="tagger", replicas=1) as made:
        yield made


@pytest.fixture(scope="module")
def net(models: Path) -> Any:
    """Rows, as a frame, and what Keras makes of them."""
    with np.load(models / "net.npz") as known:
        return pd.DataFrame(known["x"], columns=KEYS), known["y"]


@pytest.fixture(scope="module")
def published(endpoint: Any, models: Path, net: Any) -> Any:
    """A model that answers, for tests that only ask."""
    return endpoint.deploy(models / "net.onnx", name="answers", examples=net[0]).publish()


def token(endpoint: Any) -> str:
    return str((endpoint.connection().secrets / "page.token").read_text()).strip()


def test_from_the_cell_to_the_address_and_back(endpoint: Any, models: Path, net: Any) -> None:
    frame, wanted = net
    first = endpoint.deploy(models / "net.onnx", name="k0s", examples=frame, metrics={"auc": 0.92}, note="the first")
    known = first.info()
    assert (known.state, known.keys, known.metrics, known.note) == ("staged", tuple(KEYS), {"auc": 0.92}, "the first")
    assert known.packages["numpy"] == np.__version__
    np.testing.assert_allclose(first.predict(frame), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.predict(frame[KEYS[::-1]].assign(mass=1.0)), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelNotFound):
        endpoint.model("k0s").predict(frame)  # nothing is published

    found = first.benchmark(frame, batches=(1, 64), clients=(1, 4), seconds=0.1)
    assert [(one.batch, one.clients) for one in found] == [(1, 1), (1, 4), (64, 1), (64, 4)]
    assert all(0 < one.p50_ms <= one.p99_ms and one.rows_per_second > 0 for one in found)
    assert found.plot().svg.count("<circle") == 8
    assert first.info().benchmark == found.rows

    first.publish()
    second = endpoint.deploy(models / "net.tflite", name="k0s", keys=KEYS)
    assert second.version != first.version
    second.publish()
    assert [(one.version, one.state) for one in second.versions()] == [(second.version, "published"), (first.version, "earlier")]
    assert endpoint.model("k0s").info().version == second.version
    assert second.rollback().version == first.version
    np.testing.assert_allclose(endpoint.model("k0s").predict(frame.to_numpy()), wanted, rtol=1e-4, atol=1e-5)

    asked = subprocess.run(["bash", "-c", str(first.curl(frame[:2]))], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(asked.stdout)["outputs"][0]["data"], wanted[:2, 0], rtol=1e-4, atol=1e-5)
    shown = [first, found, endpoint.models(), first.curl(frame[:1]), endpoint.client(), endpoint]
    bundles = [one._repr_mimebundle_() for one in (first, found, endpoint.models())]
    assert token(endpoint) not in repr((shown, bundles))
    assert "k0s" in repr(endpoint.models())

    first.delete(everything=True)
    with pytest.raises(ModelNotFound):
        first.info()
    assert "deleted" in first._repr_mimebundle_()["text/plain"]


def test_one_version_can_go_alone(endpoint: Any, models: Path, net: Any) -> None:
    kept = endpoint.deploy(models / "net.onnx", name="pair", examples=net[0]).publish()
    gone = endpoint.deploy(models / "net.tflite", name="pair")
    gone.delete()
    assert [one.version for one in kept.versions()] == [kept.version]


MAKE = """
import sys
import keras, numpy as np, tensorflow as tf
import jupyter_dodas as dodas

endpoint, X = dodas.connect("tagger"), np.random.default_rng(3).normal(size=(20, 3)).astype("float32")
net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
signature = [tf.TensorSpec([None, 3], tf.float32)]


class Doubling(tf.Module):
    def __init__(self):
        super().__init__()
        self.by = tf.Variable(2.0)

    @tf.function(input_signature=signature)
    def __call__(self, x):
        return self.by * x


@tf.function(input_signature=signature)
def halved(x):
    return x / 2


@tf.function
def unsigned(x):
    return x


for name, model in {"keras": net, "module": Doubling(), "function": halved}.items():
    made = endpoint.deploy(model, name=name, examples=X)
    print(name, float(abs(made.predict(X) - np.asarray(model(X))).max()) < 1e-5, made.info().packages["keras"] == keras.__version__)
    made.delete()
for model in (unsigned, tf.Module(), keras.Sequential([keras.layers.Dense(2)])):
    try:
        endpoint.deploy(model, name="unsigned")
    except dodas.errors.ModelRefused as error:
        print(error.message)
"""


def test_models_of_keras_and_tensorflow_go_as_they_are(endpoint: Any) -> None:
    source = MAKE.replace("import jupyter_dodas as dodas", "import jupyter_dodas as dodas, jupyter_dodas.errors")
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        *(f"{name} True True" for name in ("keras", "module", "function")),
        "This function has no signature",
        "This tf.Module has no signature",
        "This Keras model has no shape yet",
    ], done.stderr[-3000:]


def test_several_inputs_and_outputs_have_names(endpoint: Any, models: Path) -> None:
    model = endpoint.deploy(models / "two.onnx", name="two")
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[1, 2], [3, 4]])
    found = model.predict({"b": b, "a": a})
    assert set(found) == {"total", "twice"}
    np.testing.assert_array_equal(found["total"], a.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(found["twice"], b * 2)
    assert found["twice"].dtype == np.int64


def test_a_model_that_is_no_matter_of_rows_is_asked_whole(endpoint: Any, models: Path) -> None:
    model = endpoint.deploy(models / "gram.onnx", name="gram")
    x = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x), x @ x.T, rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInput, match="cannot be measured by rows"):
        model.benchmark(x)


def test_what_will_not_do_is_told_in_words(endpoint: Any, published: Any, net: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Features of 'answers' are missing: f8") as caught:
        published.predict(net[0].rename(columns={"f8": "f_8"}))
    assert "Did you mean 'f_8'" in caught.value.cause
    with pytest.raises(ModelNotFound, match="no model 'answer'") as unknown:
        endpoint.model("answer")
    assert "Did you mean 'answers'" in unknown.value.cause
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelRefused):
        endpoint.deploy(tmp_path / "broken.onnx", name="broken")
    with pytest.raises(BadInput, match="cannot be called 'a b'"):
        endpoint.deploy(tmp_path / "broken.onnx", name="a b")
    assert "broken" not in [model.name for model in endpoint.models()]


def test_frames_and_arrays_are_scored_by_the_workers_and_no_secret_is_on_its_way(endpoint: Any, published: Any, net: Any) -> None:
    frame, wanted = net
    parts = dask.dataframe.from_pandas(frame.assign(mass=1.0), npartitions=4)  # type: ignore[no-untyped-call]
    with dodas.dask(workers=1, name="scoring") as cluster, cluster.client():
        scores = published.map(parts)
        assert (scores.dtype, scores.name) == (np.float32, "answers")
        found = scores.compute()
        np.testing.assert_allclose(found, wanted[:, 0], rtol=1e-4, atol=1e-5)
        assert found.index.equals(frame.index)
        array = dask.array.from_array(frame.to_numpy(np.float32), chunks=(16, 5))  # type: ignore[no-untyped-call]
        blocks = published.map(array)
        np.testing.assert_allclose(blocks.compute(), wanted, rtol=1e-4, atol=1e-5)
        sent = b"".join(cloudpickle.dumps(one.__dask_graph__()) for one in (scores, blocks))
        seen = [repr(scores), repr(blocks), str(dict(scores.dask)), str(cluster.logs())]
        assert token(endpoint).encode() not in sent
        assert token(endpoint) not in "".join(seen)
        with pytest.raises(BadInput, match="Features of 'answers' are missing: f0"):
            published.map(parts.drop(columns="f0"))
    np.testing.assert_allclose(published.map(parts).compute(scheduler="synchronous"), wanted[:, 0], rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInput, match="no frame or array of Dask"):
        published.map(frame)


def test_the_asynchronous_face_does_the_same(shared_place: Place, published: Any, net: Any) -> None:
    async def ask() -> Any:
        endpoint: Any = await aio.connect("tagger")
        model = await endpoint.model("answers")
        assert (await model.info()).state == "published"
        assert "answers" in [one.name for one in await endpoint.models()]
        assert (await endpoint.page()).startswith("http://127.0.0.1:")
        return await model.predict(net[0])

    np.testing.assert_allclose(asyncio.run(ask()), net[1], rtol=1e-4, atol=1e-5)


def test_a_shell_does_the_same(
    endpoint: Any, models: Path, net: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, wanted = net
    rows = tmp_path / "rows.csv"
    frame.to_csv(rows, index=False)

    def run(*arguments: str) -> str:
        assert main(arguments) == Exit.OK, capsys.readouterr().err
        return capsys.readouterr().out

    deployed = json.loads(run("deploy", "tagger", str(models / "net.onnx"), "--name", "shell", "--examples", str(rows), "--json"))
    assert (deployed["state"], deployed["keys"]) == ("staged", KEYS)
    said = run("predict", "tagger", "shell", str(rows), "--version", deployed["version"])
    np.testing.assert_allclose([float(line) for line in said.splitlines()], wanted[:, 0], rtol=1e-4, atol=1e-5)
    assert "is published" in run("publish", "tagger", "shell")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(frame[:2].to_csv(index=False).encode())))
    np.testing.assert_allclose(json.loads(run("predict", "tagger", "shell", "--json")), wanted[:2], rtol=1e-4, atol=1e-5)
    assert "shell" in run("models", "tagger")
    assert main(["rollback", "tagger", "shell"]) == Exit.INVALID
    assert main(["publish", "tagger", "shell"]) == Exit.INVALID  # nothing is staged any more
    assert "removed" in run("delete", "tagger", "shell")
    assert main(["predict", "tagger", "shell", str(rows)]) == Exit.NOT_FOUND


def test_only_endpoints_have_models(shared_place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with dodas.dask(workers=0, name="no-endpoint"):
        assert main(["models", "no-endpoint"]) == Exit.INVALID
    assert "has no models" in capsys.readouterr().err
