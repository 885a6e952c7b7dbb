"""What a model cannot take is refused at the edge with a sentence, and the next request is answered as ever."""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tfaas.endpoint import KEYS, Endpoint
from tests.tfaas.seeded import seeded

pytestmark = pytest.mark.timeout(300)

GOOD = [0.5] * 9


@pytest.fixture(scope="module")
def endpoint(models: Path) -> Iterator[Endpoint]:
    with seeded(models) as made:
        yield made


def post(endpoint: Endpoint, path: str, body: bytes, **headers: str) -> tuple[int, str]:
    reply = endpoint.client.post(path, content=body, headers=headers)
    assert reply.headers["content-type"] == "application/json", reply.text
    (error,) = reply.json().values()
    assert reply.text.endswith("\n")
    return reply.status_code, error


@pytest.fixture(autouse=True)
def _still_answers(endpoint: Endpoint) -> Iterator[None]:
    yield
    assert endpoint.client.post("/json", json={"model": "net", "values": GOOD}).status_code == 200


ROWS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "cannot be read"),
    "no JSON": (b"values=1", 400, "cannot be read"),
    "a list": (b"[1, 2]", 400, "cannot be read"),
    "null": (b"null", 400, "cannot be read"),
    "no values": (b'{"model": "net"}', 400, "no values"),
    "values of null": (b'{"model": "net", "values": null}', 400, "cannot be read"),
    "values of text": (b'{"model": "net", "values": ["1", "2"]}', 400, "cannot be read"),
    "a value of null": (b'{"model": "net", "values": [1, null]}', 400, "cannot be read"),
    "NaN": (b'{"model": "net", "values": [NaN, 1, 1, 1, 1, 1, 1, 1, 1]}', 400, "cannot be read"),
    "1e400": (b'{"model": "net", "values": [1e400, 1, 1, 1, 1, 1, 1, 1, 1]}', 400, "out of range"),
    "beyond float32": (b'{"model": "net", "values": [1e39, 1, 1, 1, 1, 1, 1, 1, 1]}', 400, "does not fit"),
    "too short": (b'{"model": "net", "values": [1, 2]}', 400, "Too few numbers: 2. A row of 'net' is 9 numbers"),
    "too wide": (b'{"model": "net", "values": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}', 400, "Too many numbers: 10"),
    "nested": (b'{"model": "net", "values": [[1, 2, 3, 4, 5, 6, 7, 8, 9]]}', 400, "cannot be read"),
    "deep": (b'{"model": "net", "values": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "cannot be read"),
    "deep beside it": (b'{"model": "net", "other": ' + b'{"a":' * 50_000, 400, "cannot be read"),
    "no model": (b'{"values": [1]}', 400, "names no model"),
    "a model of another type": (b'{"values": [1], "model": 7}', 400, "cannot be read"),
    "an unknown model": (json.dumps({"values": GOOD, "model": "nett"}).encode(), 404, "Did you mean 'net'"),
    "a model that is a path": (json.dumps({"values": GOOD, "model": "../net"}).encode(), 404, "no model"),
    "UTF-16": (json.dumps({"values": GOOD, "model": "net"}).encode("utf-16"), 400, "cannot be read"),
    "half a character": (b'{"model": "net\xff", "values": [1]}', 400, "cannot be read"),
    "unknown keys": (json.dumps({"model": "named", "keys": ["x"], "values": [1]}).encode(), 400, "missing pt_1"),
    "keys without values": (
        json.dumps({"model": "named", "keys": KEYS[::-1], "values": [1]}).encode(),
        400,
        "9 keys, but 1 values",
    ),
}


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "application"])
def test_a_row_that_cannot_be_taken(endpoint: Endpoint, case: str, lane: bool) -> None:
    body, status, why = ROWS[case]
    found, error = (
        post(endpoint, "/json", body) if lane else post(endpoint, "/json", gzip.compress(body), **{"Content-Encoding": "gzip"})
    )
    assert (found, why in error) == (status, True), error


def test_names_in_another_order_are_put_in_order(endpoint: Endpoint) -> None:
    values = [number / 7 for number in range(9)]
    straight = endpoint.client.post("/json", json={"model": "named", "keys": KEYS, "values": values})
    turned = endpoint.client.post("/json", json={"model": "named", "keys": KEYS[::-1], "values": values[::-1]})
    wrong = endpoint.client.post("/json", json={"model": "named", "values": values[::-1]})
    assert straight.json() == turned.json() != wrong.json()


def test_a_result_that_is_no_number_is_an_error_and_not_an_empty_body(endpoint: Endpoint) -> None:
    assert endpoint.client.post("/json", json={"model": "log", "values": [1]}).json() == [0.0]
    status, error = post(endpoint, "/json", b'{"model": "log", "values": [-1]}')
    assert (status, "not finite" in error) == (500, True)


PROTO: dict[str, tuple[bytes, str]] = {
    "JSON": (b'{"values": [1], "model": "net"}', "no row"),
    "empty": (b"", "names no model"),
    "NaN": (b"\x12\x24" + b"\x00\x00\xc0\x7f" * 9 + b"\x1a\x03net", "not finite"),
    "too short": (b"\x12\x04" + bytes(4) + b"\x1a\x03net", "Too few numbers: 1"),
    "breaks off": (b"\x12\x24" + bytes(4), "ends before"),
}


@pytest.mark.parametrize("case", PROTO)
def test_a_message_that_cannot_be_taken(endpoint: Endpoint, case: str) -> None:
    body, why = PROTO[case]
    status, error = post(endpoint, "/proto", body)
    assert (status, why in error) == (400, True), error


def given(**changed: Any) -> bytes:
    one = {"name": "x", "shape": [1, 9], "datatype": "FP32", "data": GOOD, **changed}
    return msgspec.json.encode({"inputs": [{name: value for name, value in one.items() if value is not None}]})


TENSORS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not one of the Open Inference Protocol"),
    "no inputs": (b"{}", "inputs"),
    "inputs of none": (b'{"inputs": []}', "not all of them"),
    "another name": (given(name="z"), "unknown one, 'z'"),
    "twice": (b'{"inputs": [%b, %b]}' % ((given()[11:-2],) * 2), "one twice"),
    "another datatype": (given(datatype="FP64"), "takes FP32, not FP64"),
    "text": (given(datatype="BYTES", data=["a"]), "takes FP32, not BYTES"),
    "rank": (given(shape=[9]), "cannot have the shape"),
    "width": (given(shape=[1, 8]), "cannot have the shape"),
    "no rows": (given(shape=[0, 9], data=[]), "cannot have the shape"),
    "less than no rows": (given(shape=[-1, 9]), "cannot have the shape"),
    "a huge shape": (given(shape=[2**62, 9]), "not of the shape"),
    "too few data": (given(data=GOOD[:-1]), "not of the shape"),
    "ragged": (given(shape=[2, 9], data=[GOOD, GOOD[:-1]]), "do not fit"),
    "deep": (b'{"inputs":[{"name":"x","shape":[1,9],"datatype":"FP32","data":' + b"[" * 9000 + b"]" * 9000 + b"}]}", ""),
    "data of text": (given(data=["1"] * 9), "do not fit"),
    "data of null": (given(data=[None] * 9), "do not fit"),
    "one number": (given(data=1), "not a list"),
    "no data": (given(data=None), "no data"),
    "beyond float32": (given(data=[1e39] * 9), "not finite"),
    "1e400": (given(data=GOOD).replace(b"0.5", b"1e400", 1), "out of range"),
    "an unknown output": (given()[:-1] + b',"outputs":[{"name":"z"}]}', "no output 'z'"),
    "binary that is not there": (given(data=None, parameters={"binary_data_size": 36}), "not all there"),
    "binary of a wrong size": (given(data=None, parameters={"binary_data_size": -1}), "not all there"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_cannot_be_taken(endpoint: Endpoint, case: str) -> None:
    body, why = TENSORS[case]
    status, error = post(endpoint, "/v2/models/net/infer", body)
    assert (status, why in error) == (400, True), error


@pytest.mark.parametrize("length", ["-1", "x", "999999", "1e3", "٣"])
def test_a_length_of_the_json_that_is_none(endpoint: Endpoint, length: str) -> None:
    headers = {b"Inference-Header-Content-Length": length.encode()}
    reply = endpoint.client.post("/v2/models/net/infer", content=given(), headers=headers)
    assert (reply.status_code, "not the length" in reply.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("size", "behind", "why"), [(36, b"\x00\x00\xc0\x7f" * 9, "not finite"), (32, bytes(32), "36"), (36, bytes(40), "too many")]
)
def test_binary_tensors_that_cannot_be_taken(endpoint: Endpoint, size: int, behind: bytes, why: str) -> None:
    text = given(data=None, parameters={"binary_data_size": size})
    status, error = post(endpoint, "/v2/models/net/infer", text + behind, **{"Inference-Header-Content-Length": str(len(text))})
    assert (status, why in error) == (400, True), error


def test_pictures_that_cannot_be_taken(endpoint: Endpoint) -> None:
    def sent(image: bytes, model: str = "cnn") -> tuple[int, str]:
        reply = endpoint.client.post("/image", files={"image": ("a.png", image)}, data={"model": model})
        return reply.status_code, reply.json()["error"]

    assert sent(b"no picture")[0] == 400
    assert "takes no images" in sent(b"", "net")[1]
    assert post(endpoint, "/image", b"{}")[0] == 415
    assert endpoint.client.post("/image", files={"picture": ("a.png", b"")}).status_code == 400


def test_encodings_that_are_not_taken(endpoint: Endpoint) -> None:
    assert post(endpoint, "/json", b"x", **{"Content-Encoding": "br"})[0] == 415
    assert post(endpoint, "/json", b"x", **{"Content-Encoding": "gzip"})[0] == 400


def test_what_is_there_is_told_where_nothing_is(endpoint: Endpoint) -> None:
    reply = endpoint.client.get("/nothing")
    assert (reply.status_code, "/openapi.json" in reply.json()["error"]) == (404, True)
    reply = endpoint.client.get("/dodas/v1/nothing")
    assert (reply.status_code, list(reply.json()["error"])) == (404, ["code", "message", "cause", "remedy"])


WIRE: dict[str, tuple[bytes, bytes]] = {
    "no HTTP": (b"hello\r\n\r\n", b"400"),
    "two lengths": (b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
    "a length of text": (b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"400"),
    "a length below zero": (b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
    "length and chunks": (
        b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"400",
    ),
}


@pytest.mark.parametrize("case", WIRE)
def test_what_is_no_request(endpoint: Endpoint, case: str) -> None:
    sent, status = WIRE[case]
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        assert connection.recv(100).split()[1] == status


def test_requests_that_come_in_one_piece_are_answered_in_order(endpoint: Endpoint) -> None:
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    row = json.dumps({"model": "net", "values": GOOD}).encode()
    token = f"Authorization: Bearer {endpoint.token}\r\nHost: x\r\n".encode()
    fast = b"POST /json HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (token, len(row), row)
    slow = b"GET /v2/models/net/ready HTTP/1.1\r\n%b\r\n" % token
    with socket.create_connection((host, int(port)), timeout=30) as connection, connection.makefile("rb") as lines:
        connection.sendall(fast + slow + fast + fast + slow)
        for expected in (b"[", b"{", b"[", b"[", b"{"):
            assert lines.readline() == b"HTTP/1.1 200 OK\r\n"
            head = {name.lower(): value for name, _, value in (line.partition(b": ") for line in iter(lines.readline, b"\r\n"))}
            assert lines.read(int(head[b"content-length"]))[:1] == expected
