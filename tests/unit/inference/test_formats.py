"""What an upload is, told by its files alone."""

import asyncio
import json
from pathlib import Path

import pytest

from jupyter_dodas.errors import MissingSoftware, ModelRefused
from jupyter_dodas.inference.conversion import jobs as conversion
from jupyter_dodas.inference.records import Lineage
from jupyter_dodas.inference.versions.formats import Bundle, Found, read_bundle, recognised


def made(folder: Path, *names: str, **contents: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(contents.get(Path(name).stem, ""))
    return folder


RECOGNISED = {
    "a keras file": (["model.keras"], {}, Found("keras", "model.keras")),
    "an onnx file": (["deep/model.ONNX"], {}, Found("onnx", "deep/model.ONNX")),
    "a tflite file": (["net.tflite", "README.md"], {}, Found("tflite", "net.tflite")),
    "a frozen graph": (["graph.pb", "params.json", "labels.txt"], {}, Found("frozen-graph", "graph.pb")),
    "a saved model": (["saved_model.pb", "fingerprint.pb", "variables/variables.index"], {}, Found("saved-model", ".")),
    "a saved model in a folder": (["tagger/saved_model.pb", "tagger/keras_metadata.pb"], {}, Found("saved-model", "tagger")),
    "what params.json names": (["a.pb", "b.pb"], {"model": "b.pb"}, Found("frozen-graph", "b.pb")),
    "a path in params.json": (["a.pb", "b.pb"], {"model": "/old/place/a.pb"}, Found("frozen-graph", "a.pb")),
    "files of a Mac": (["._model.onnx", "model.onnx", "__MACOSX/.x.onnx"], {}, Found("onnx", "model.onnx")),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_formats_are_recognised(tmp_path: Path, name: str) -> None:
    files, params, wanted = RECOGNISED[name]
    assert recognised(made(tmp_path, *files), params) == wanted


REFUSED = {
    "nothing": ([], "holds no model"),
    "something else": (["notes.txt"], "There is: notes.txt"),
    "two models": (["a.onnx", "b.onnx"], "more than one model"),
    "a pickle": (["model.pkl"], "a pickle is a program"),
    "torch": (["model.pt"], "Export it as ONNX"),
    "old Keras": (["model.h5"], "model.save"),
    "a graph as text": (["saved_model.pbtxt"], "binary form"),
    "two saved models": (["a/saved_model.pb", "b/saved_model.pb"], "more than one model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    files, words = REFUSED[name]
    with pytest.raises(ModelRefused, match=words) as caught:
        recognised(made(tmp_path, *files))
    assert caught.value.remedy


def test_without_tensorflow_nothing_is_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)

    async def upload() -> None:
        converter = conversion.Converter()
        try:
            converter.expect()
            await converter.convert(conversion.Upload(tmp_path, "m"), Lineage(owner="jane", created=1.0), lambda step: None)
        finally:
            assert converter.process is None
            await converter.close()

    with pytest.raises(MissingSoftware, match=r"pip install"):
        asyncio.run(upload())


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").symlink_to("/etc/passwd")
    with pytest.raises(ModelRefused, match="neither a file nor a folder"):
        recognised(tmp_path)


PARAMS = {"name": "vk", "model": "model.pb", "labels": "classes.csv", "img_channels": 3}


@pytest.mark.parametrize("where", [".", "vk"])
def test_bundles_at_the_root_and_in_a_folder(tmp_path: Path, where: str) -> None:
    made(
        tmp_path / where, "model.pb", "classes.csv", "params.json", classes="cat\n\n dog \r\n", params="\ufeff" + json.dumps(PARAMS)
    )
    assert read_bundle(tmp_path) == Bundle("vk", ("cat", "dog"), PARAMS)


def test_a_bundle_without_params_has_the_name_of_its_folder(tmp_path: Path) -> None:
    made(tmp_path, "tagger/model.pb", "tagger/labels.txt", labels="a\nb")
    assert read_bundle(tmp_path) == Bundle("tagger", ("a", "b"), {})
    made(tmp_path, "more.txt")
    assert read_bundle(tmp_path).name == ""


def test_labels_are_looked_for_in_the_upload_alone(tmp_path: Path) -> None:
    made(tmp_path, "model.pb", "params.json", params='{"labels": "../../../etc/passwd"}')
    assert read_bundle(tmp_path).labels == ()


@pytest.mark.parametrize("text", ["{", "[]", "1", "[" * 100_000, "\0"])
def test_params_that_cannot_be_read_are_refused(tmp_path: Path, text: str) -> None:
    made(tmp_path, "params.json", params=text)
    with pytest.raises(ModelRefused, match=r"params.json cannot be read"):
        read_bundle(tmp_path)


def test_large_and_binary_texts_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "labels.txt", labels="x" * (5 << 20))
    with pytest.raises(ModelRefused, match="too large"):
        read_bundle(tmp_path)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelRefused, match="is not text"):
        read_bundle(tmp_path)
