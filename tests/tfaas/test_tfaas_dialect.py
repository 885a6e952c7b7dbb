"""TFaaS's documented calls, by curl: with a token, and unchanged where nobody needs one."""

import base64
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jupyter_dodas.inference.http.protobuf import write_predictions
from tests.tfaas.endpoint import Endpoint

pytestmark = pytest.mark.timeout(300)

LABELS = [f"digit-{number}" for number in range(10)]


class Curl:
    """The documented calls, with a token where one is needed."""

    def __init__(self, endpoint: Endpoint, folder: Path, *, token: bool) -> None:
        self.endpoint, self.folder = endpoint, folder
        self._always: Sequence[str] = ["-H", f"Authorization: Bearer {endpoint.token}"] if token else []

    def __call__(self, path: str, *arguments: str) -> tuple[int, bytes]:
        """The status and the body."""
        command = [
            "curl",
            "-s",
            "-S",
            "--max-time",
            "120",
            *self._always,
            *arguments,
            "-w",
            "\n%{http_code}",
            self.endpoint.url + path,
        ]
        done = subprocess.run(command, capture_output=True, check=True, cwd=self.folder)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    def row(self, **row: Any) -> tuple[int, bytes]:
        return self("/json", "-X", "POST", "-H", "Content-type: application/json", "-d", json.dumps(row))


def pack(target: Path, mode: Any, files: dict[str, Path | bytes]) -> None:
    with tarfile.open(target, mode) as packed:
        for name, content in files.items():
            if isinstance(content, Path):
                packed.add(content, name)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="module")
def files(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents have one upload: a frozen graph with its params and labels, and archives."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "params.json").write_text(
        json.dumps({"name": "ignored", "model": "net.pb", "labels": "labels.txt", "inputNode": "x"})
    )
    (folder / "labels.txt").write_text("signal\n")
    (folder / "net.pb").write_bytes((models / "net.pb").read_bytes())
    (folder / "coded").write_bytes(base64.encodebytes((models / "net.onnx").read_bytes()))
    images = {"name": "digits", "model": "cnn.onnx", "labels": "labels.txt", "img_channels": 1}
    labels = "\n".join(LABELS).encode()
    bundle: dict[str, Path | bytes] = {
        "digits/cnn.onnx": models / "cnn.onnx",
        "digits/params.json": json.dumps(images).encode(),
        "digits/labels.txt": labels,
    }
    pack(folder / "digits.tar.gz", "w:gz", bundle)
    pack(
        folder / "flat.tar",
        "w",
        {"./params.json": b'{"name": "flat", "description": "No folder."}', "./net.tflite": models / "net.tflite"},
    )
    Image.fromarray(np.arange(784, dtype="u1").reshape(28, 28)).save(folder / "seven.png")
    Image.fromarray(np.full((28, 28), 90, "u1")).save(folder / "grey.jpg")
    return folder


@pytest.fixture(scope="module", params=["token", "anonymous"])
def curl(request: pytest.FixtureRequest, files: Path) -> Iterator[Curl]:
    """An endpoint to which the documented models have been uploaded."""
    anonymous = request.param == "anonymous"
    endpoint = Endpoint(anonymous="all" if anonymous else "none")
    try:
        made = Curl(endpoint, files, token=not anonymous)
        form = ["-F", "name=tagger", "-F", "params=@params.json", "-F", "model=@net.pb", "-F", "labels=@labels.txt"]
        assert made("/upload", "-X", "POST", *form) == (200, b"")
        packed = ["-X", "POST", "-H", "Content-Encoding: gzip", "-H", "content-type: application/octet-stream"]
        assert made("/upload", *packed, "--data-binary", "@digits.tar.gz") == (200, b"")
        yield made
    finally:
        endpoint.close()


@pytest.fixture(scope="module")
def rows(models: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    known = np.load(models / "net.npz")
    return known["x"].astype("f4"), known["y"].astype("f4")


Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def test_a_row_as_json_gives_a_flat_row(curl: Curl, rows: Rows) -> None:
    inputs, outputs = rows
    keys = [f"attr{number}" for number in range(9)]
    for row, expected in zip(inputs[:5].tolist(), outputs[:5], strict=True):
        status, body = curl.row(keys=keys, values=row, model="tagger")
        assert (status, body[:1], body[-2:]) == (200, b"[", b"]\n")
        assert np.allclose(json.loads(body), expected, atol=1e-6)
        assert len(body) < 20, "the shortest form of a float32"


@pytest.mark.parametrize("names", [("Values", "Model"), ("VALUES", "name"), ("values", "NAME")])
def test_fields_may_have_any_case_and_the_name_that_documents_give(curl: Curl, rows: Rows, names: tuple[str, str]) -> None:
    status, body = curl("/predict/json", "-d", json.dumps({names[0]: rows[0][0].tolist(), names[1]: "tagger"}))
    assert status == 200
    assert np.allclose(json.loads(body), rows[1][0], atol=1e-6)


def test_a_row_as_protocol_buffers_gives_predictions(curl: Curl, rows: Rows, tmp_path: Path) -> None:
    message = b"\x12\x24" + rows[0][0].tobytes() + b"\x1a\x06tagger"
    (tmp_path / "row").write_bytes(message)
    for path in ("/proto", "/predict/proto"):
        status, body = curl(path, "-X", "POST", "--data-binary", f"@{tmp_path / 'row'}")
        assert (status, body[:3]) == (200, write_predictions([0.0])[:3])
        assert np.allclose(np.frombuffer(body[3:], "<f4"), rows[1][0], atol=1e-6)


@pytest.mark.parametrize("picture", ["seven.png", "grey.jpg"])
def test_a_picture_gives_its_best_labels(curl: Curl, picture: str) -> None:
    for path in ("/image", "/predict/image"):
        status, body = curl(path, "-F", f"image=@{picture}", "-F", "model=digits")
        assert status == 200, body
        reply = json.loads(body)
        assert reply["filename"] == picture
        chances = [one["probability"] for one in reply["labels"]]
        assert (len(chances), chances) == (5, sorted(chances, reverse=True))
        assert {one["label"] for one in reply["labels"]} < set(LABELS)


def test_models_and_their_params_are_told(curl: Curl) -> None:
    status, body = curl("/models")
    told = {one["name"]: one for one in json.loads(body)}
    assert (status, body[-1:]) == (200, b"\n")
    assert {"tagger", "digits"} <= told.keys()
    assert told["digits"]["img_channels"] == 1
    status, body = curl("/params/tagger")
    assert (status, json.loads(body)["model"], json.loads(body)["inputNode"]) == (200, "net.pb", "x")


def test_a_default_is_set_for_rows_that_name_no_model(curl: Curl, rows: Rows) -> None:
    row = json.dumps({"values": rows[0][0].tolist()})
    status, body = curl("/json", "-d", row)
    assert (status, b"names no model" in body) == (400, True)
    assert curl("/params", "-X", "POST", "-d", '{"model": "tagger"}') == (200, b"")
    assert curl("/json", "-d", row)[0] == 200
    assert curl("/params", "-d", '{"name": "nothing"}')[0] == 404


def test_archives_without_a_folder_are_named_by_their_params(curl: Curl, rows: Rows) -> None:
    assert curl("/bundle", "-X", "POST", "-H", "content-type: application/octet-stream", "--data-binary", "@flat.tar") == (200, b"")
    assert np.allclose(json.loads(curl.row(values=rows[0][1].tolist(), model="flat")[1]), rows[1][1], atol=1e-5)


def test_a_packed_archive_needs_no_header_and_models_may_come_as_base64(curl: Curl, rows: Rows) -> None:
    assert curl("/upload", "-H", "content-type: application/x-tar", "--data-binary", "@digits.tar.gz") == (200, b"")
    form = ["-F", "name=coded", "-F", "model=@coded;filename=net.onnx"]
    assert curl("/upload", "-H", "Content-Encoding: base64", *form) == (200, b"")
    assert np.allclose(json.loads(curl.row(values=rows[0][2].tolist(), model="coded")[1]), rows[1][2], atol=1e-5)


def test_only_files_of_a_published_model_are_given(curl: Curl, files: Path) -> None:
    assert curl("/data?model=tagger/net.pb") == (200, (files / "net.pb").read_bytes())
    for path in (
        "/etc/hostname",
        "../../../../etc/hostname",
        "tagger/../../../lock",
        "tagger/%2e%2e/manifest.json",
        "tagger/",
        "",
        "tagger",
    ):
        status, body = curl(f"/data?model={path}", "--path-as-is")
        assert status in {400, 404}, path
        assert b"error" in body


def test_the_state_of_the_server_is_told(curl: Curl) -> None:
    status, body = curl("/status")
    told = json.loads(body)
    assert status == 200
    assert told.keys() == {"CPU", "Load", "Memory", "NGo", "Uptime", "getRequests", "postRequests"}
    assert told["Memory"].keys() == {"Virtual", "Swap"}


def test_models_are_deleted_both_ways_and_one_that_is_not_there_is_no_error(curl: Curl) -> None:
    for name, arguments in {"one": ["/delete/one", "-X", "DELETE"], "two": ["/delete", "-X", "DELETE", "-F", "model=two"]}.items():
        assert (
            curl("/upload", "-F", f"name={name}", "-F", "model=@coded;filename=net.onnx", "-H", "Content-Encoding: base64")[0]
            == 200
        )
        assert name in {one["name"] for one in json.loads(curl("/models")[1])}
        assert curl(*arguments) == (200, b"")
        assert curl(*arguments) == (200, b"")
        assert name not in {one["name"] for one in json.loads(curl("/models")[1])}
    assert curl("/delete", "-X", "DELETE")[0] == 400


def test_another_method_gets_an_empty_405(curl: Curl) -> None:
    assert curl("/json") == (405, b"")
    assert curl("/models", "-X", "POST", "-d", "") == (405, b"")
    status, head = curl("/json", "-D", "-", "-o", "/dev/null")
    assert (status, b"allow: POST" in head) == (405, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-F", "name=x"], "no model"),
        (["-F", "name=../x", "-F", "model=@net.pb"], "cannot be called"),
        (["-F", "name=x", "-F", "model=@labels.txt;filename=model.pkl"], "format that is not served"),
        (["-F", "model=@net.pb"], "cannot be called"),
        (["-F", "name=x", "-F", "model=@labels.txt;filename=net.pb", "-H", "Content-Encoding: base64"], "no base64"),
        (["--data-binary", "@labels.txt", "-H", "content-type: application/octet-stream"], "error"),
    ],
)
def test_uploads_that_cannot_be_served_leave_nothing(curl: Curl, arguments: list[str], why: str) -> None:
    before = curl("/models")
    status, body = curl("/upload", *arguments)
    assert (status, why.encode() in body) == (400, True), body
    assert curl("/models") == before
    assert [one.name for one in (curl.endpoint.store / "staging").iterdir()] == ["lock"]
