"""Models as they are sent: files, folders and tarballs under the names that the endpoint knows, and what is known of them."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from jupyter_dodas.errors import BadInput, DodasError, ModelRefused, NotSupported
from jupyter_dodas.services.tfaas.exporting import Known, Sent, known, packed

FRAME = pd.DataFrame({"pt": [1.0, 2.0], "eta": [3, 4]})


def content(model: Any, examples: Any = None, keys: tuple[str, ...] = ()) -> Mapping[str, bytes]:
    """Pack a model, and return what the archive holds."""
    about = known(examples, keys, (), 0, {"auc": 0.9}, "a try")
    with packed(model, about, examples) as file:
        data = b"".join(Sent(file, lambda: None))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: opened.read() for member in tar if (opened := tar.extractfile(member)) is not None}


@pytest.mark.parametrize(
    ("given", "sent"),
    [("k0s.keras", "model.keras"), ("a b.onnx", "model.onnx"), ("x.tflite", "model.tflite"), ("graph.pb", "model.pb")],
)
def test_a_file_is_sent_under_the_name_of_its_format(tmp_path: Path, given: str, sent: str) -> None:
    (tmp_path / given).write_bytes(b"model")
    assert content(tmp_path / given)[f"model/{sent}"] == b"model"
    assert content(str(tmp_path / given))[f"model/{sent}"] == b"model"


def test_the_bytes_of_onnx_are_a_model() -> None:
    assert content(b"onnx")["model/model.onnx"] == b"onnx"


def test_a_saved_model_is_sent_whole_without_who_had_it(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables" / "variables.index").write_bytes(b"index")
    with packed(tmp_path, Known(), None) as file:
        data = b"".join(Sent(file, lambda: None))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
    assert {"model/saved_model.pb", "model/variables/variables.index"} <= {member.name for member in members}
    assert {(member.uid, member.uname, member.mtime) for member in members} == {(0, "", 0)}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_members_of_a_tarball_become_the_model(tmp_path: Path, mode: Any) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    with tarfile.open(bundle, mode) as tar:
        for name in ("./params.json", "./model.pb"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    assert {"model/params.json", "model/model.pb"} <= set(content(bundle))


def test_rows_go_along_as_numbers() -> None:
    sent = content(b"onnx", np.ones((3, 2)))
    with np.load(io.BytesIO(sent["examples.npz"]), allow_pickle=False) as rows:
        assert {name: rows[name].shape for name in rows} == {"0": (3, 2)}
    assert json.loads(sent["upload.json"])["keys"] == []


def test_columns_of_the_rows_are_the_names_of_features() -> None:
    sent = content(b"onnx", FRAME)
    about = json.loads(sent["upload.json"])
    assert about["keys"] == ["pt", "eta"]
    assert about["metrics"] == {"auc": 0.9}
    assert about["note"] == "a try"
    with np.load(io.BytesIO(sent["examples.npz"])) as rows:
        np.testing.assert_array_equal(rows["0"], [[1, 3], [2, 4]])


def test_names_that_are_given_have_the_last_word() -> None:
    sent = content(b"onnx", FRAME, keys=("eta", "pt"))
    assert json.loads(sent["upload.json"])["keys"] == ["eta", "pt"]
    with np.load(io.BytesIO(sent["examples.npz"])) as rows:
        np.testing.assert_array_equal(rows["0"], [[3, 1], [4, 2]])


def test_rows_of_several_inputs_keep_their_names() -> None:
    sent = content(b"onnx", {"image": np.zeros((2, 4, 4)), "file": np.zeros((2, 3))})
    assert json.loads(sent["upload.json"])["keys"] == []
    with np.load(io.BytesIO(sent["examples.npz"])) as rows:
        assert {name: rows[name].shape for name in rows} == {"image": (2, 4, 4), "file": (2, 3)}


def test_versions_of_what_made_it_go_along() -> None:
    packages = json.loads(content(b"onnx")["upload.json"])["packages"]
    assert {"python", "numpy", "pandas"} <= set(packages)
    assert packages["numpy"] == np.__version__


def test_the_end_of_an_archive_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    with packed(b"onnx", Known(), None) as file:
        sent = Sent(file, lambda: said.append("done"))
        assert sent.size == sum(map(len, sent))
    assert said == ["done"]


class Estimator:
    """A model of a library that has no export of ours."""


def of(module: str) -> Any:
    return type("Forest", (), {"__module__": module})()


def unreadable(folder: Path) -> Path:
    (folder / "broken.tar").write_bytes(b"no archive")
    return folder / "broken.tar"


def unknown(folder: Path) -> Path:
    (folder / "model.h5").write_bytes(b"x")
    return folder / "model.h5"


BAD: list[tuple[str, Callable[[Path], Any], Any, type[DodasError], str, str]] = [
    ("no such file", lambda folder: folder / "gone.onnx", None, ModelRefused, "There is no model", "Look at its path"),
    ("an empty folder", lambda folder: folder, None, ModelRefused, "is no SavedModel", "model.export"),
    ("a broken tarball", unreadable, None, ModelRefused, "cannot be read", "again"),
    ("an old file of Keras", unknown, None, ModelRefused, "Nobody knows what model.h5 is", "old .h5 file"),
    ("a model of scikit-learn", lambda _: of("sklearn.ensemble"), None, NotSupported, "A Forest cannot be deployed", "skl2onnx"),
    ("a model of PyTorch", lambda _: of("torch.nn"), None, NotSupported, "A Forest cannot be deployed", "torch.onnx.export"),
    ("something else", lambda _: Estimator(), None, NotSupported, "An? Estimator cannot be deployed", "Give a Keras model"),
    ("no rows", lambda _: b"onnx", np.zeros((0, 2)), BadInput, "no rows among the examples", "examples="),
    ("rows of text", lambda _: b"onnx", ["a"], BadInput, "holds text", "Leave it out"),
]


@pytest.mark.parametrize(("make", "examples", "kind", "message", "remedy"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_be_sent_is_told_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], Any],
    examples: Any,
    kind: type[DodasError],
    message: str,
    remedy: str,
) -> None:
    temporary, own = tmp_path / "temporary", tmp_path / "own"
    temporary.mkdir()
    own.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with pytest.raises(kind, match=message) as caught:
        content(make(own), examples)
    assert remedy in caught.value.remedy
    assert not list(temporary.iterdir())


def test_columns_that_are_missing_among_the_rows_are_told() -> None:
    with pytest.raises(BadInput, match="The examples have no mass"):
        content(b"onnx", FRAME, keys=("pt", "mass"))
