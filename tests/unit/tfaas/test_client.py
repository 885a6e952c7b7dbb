"""The client against a server of the test's own, which speaks what the endpoint speaks, and misbehaves when it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from jupyter_dodas import errors
from jupyter_dodas.errors import (
    BadInput,
    Busy,
    DodasError,
    ModelBroken,
    ModelNotFound,
    ModelRefused,
    NotAllowed,
    PlaceUnreachable,
    TimedOut,
    Unauthenticated,
)
from jupyter_dodas.services.tfaas.client import Client, Reach, error_of
from jupyter_dodas.services.tfaas.predicting import predicted
from jupyter_dodas.services.tfaas.tensors import HEADER
from jupyter_dodas.services.tfaas.versions import Tensor, Version

VERSION = Version(
    "k0s", "0123456789ab", "staged", "keras", "litert", (Tensor("x", "float32", (None, 3)),), (Tensor("y", "float32", (None, 1)),)
)
INPUTS = VERSION.inputs


@dataclass
class Endpoint:
    """What the server was asked, and what it is to do: sums rows, unless it is told otherwise."""

    token: str = "secret"
    asked: list[str] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    tricks: list[Callable[["Handler"], bool]] = field(default_factory=list)
    address: str = ""

    def client(self, **options: Any) -> Client:
        return Client(lambda: Reach(self.address, lambda: self.token), **options)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(lambda body: (200, {}, json.dumps({"path": self.path}).encode()))

    def do_POST(self) -> None:
        self.answer(self.infer if self.path.endswith("/infer") else lambda body: (204, {}, b""))

    def answer(self, make: Callable[[bytes], tuple[int, dict[str, str], bytes]]) -> None:
        endpoint = self.endpoint
        endpoint.asked.append(f"{self.command} {self.path}")
        endpoint.connections.add(self.client_address)
        if endpoint.tricks and endpoint.tricks.pop(0)(self):
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != "Bearer secret":
            self.reply(401, {}, json.dumps({"error": "Who are you?"}).encode())
            return
        self.reply(*make(body))

    def infer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        size = int(self.headers[HEADER])
        head = json.loads(body[:size])
        assert head["parameters"] == {"binary_data_output": True}
        (one,) = head["inputs"]
        rows = np.frombuffer(body[size:], "<f4").reshape(one["shape"])
        sums = rows.sum(axis=1, keepdims=True).astype("<f4")
        told = {"name": "y", "shape": list(sums.shape), "datatype": "FP32", "parameters": {"binary_data_size": sums.nbytes}}
        answer = json.dumps({"model_name": "k0s", "model_version": "0123456789ab", "outputs": [told]}).encode()
        return 200, {HEADER: str(len(answer))}, answer + sums.tobytes()

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"endpoint": endpoint}))
    server.daemon_threads = True
    endpoint.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as served:
        yield served


def rows(number: int) -> Any:
    return np.random.default_rng(1).standard_normal((number, 3)).astype(np.float32)


def test_numbers_go_there_and_come_back(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        answer = client.infer("k0s", None, INPUTS, [rows(5)])
        assert answer.version == "0123456789ab"
        np.testing.assert_allclose(answer.outputs["y"], rows(5).sum(axis=1, keepdims=True), rtol=1e-6)
    assert endpoint.asked == ["POST /v2/models/k0s/infer"]


def test_answers_are_read_to_where_they_are_wanted(endpoint: Endpoint) -> None:
    place = np.zeros((5, 1), np.float32)
    with endpoint.client() as client:
        answer = client.infer("k0s", "0123456789ab", INPUTS, [rows(5)], into={"y": place})
    assert answer.outputs["y"] is place
    assert place.any()
    assert endpoint.asked == ["POST /v2/models/k0s/versions/0123456789ab/infer"]


@pytest.mark.parametrize("number", [0, 1, 7, 900_000])
def test_many_rows_go_in_pieces_and_come_back_in_order(endpoint: Endpoint, number: int) -> None:
    with endpoint.client() as client:
        outputs = predicted(client, VERSION, rows(number))
    np.testing.assert_allclose(outputs["y"], rows(number).sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-5)
    assert len(endpoint.asked) == {0: 0, 1: 1, 7: 1, 900_000: 3}[number]


def test_connections_are_kept_and_shared_by_threads(endpoint: Endpoint) -> None:
    with endpoint.client() as client, ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            client.get("/v2/health/live")
        assert len(endpoint.connections) == 1
        found = list(threads.map(lambda number: client.infer("k0s", None, INPUTS, [rows(number)]).outputs["y"], range(1, 40)))
        assert [len(one) for one in found] == list(range(1, 40))
        assert len(endpoint.connections) <= 5


def test_a_token_is_read_when_it_is_used_and_stands_in_no_repr(endpoint: Endpoint) -> None:
    endpoint.token = "old"
    with endpoint.client() as client:
        with pytest.raises(Unauthenticated, match="Who are you"):
            client.get("/v2")
        endpoint.token = "secret"
        assert client.get("/v2") == {"path": "/v2"}
        assert "secret" not in repr(client) + repr(client.reach)


def hang_up(handler: Handler) -> bool:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def busy(handler: Handler) -> bool:
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    handler.reply(503, {"Retry-After": "0"}, json.dumps({"error": "The queue is full."}).encode())
    return True


def cut_short(handler: Handler) -> bool:
    handler.rfile.read(int(handler.headers["Content-Length"]))
    head = json.dumps(
        {"outputs": [{"name": "y", "shape": [5, 1], "datatype": "FP32", "parameters": {"binary_data_size": 20}}]}
    ).encode()
    handler.send_response(200)
    handler.send_header(HEADER, str(len(head)))
    handler.send_header("Content-Length", str(len(head) + 20))
    handler.end_headers()
    handler.wfile.write(head + bytes(8))
    return hang_up(handler)


@pytest.mark.parametrize("tricks", [[hang_up], [busy, busy, busy], [cut_short], [hang_up, busy, cut_short, hang_up]])
def test_predictions_are_asked_again_when_a_connection_breaks_or_the_endpoint_is_busy(
    endpoint: Endpoint, tricks: list[Any]
) -> None:
    endpoint.tricks = list(tricks)
    with endpoint.client() as client:
        assert client.infer("k0s", None, INPUTS, [rows(5)]).outputs["y"].shape == (5, 1)
    assert len(endpoint.asked) == len(tricks) + 1


def test_a_connection_that_had_gone_harms_nobody(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        client.get("/v2")
        endpoint.tricks = [hang_up]
        assert client.send("POST", "/dodas/v1/models/k0s/publish") is None


def test_what_must_not_be_done_twice_is_asked_for_once(endpoint: Endpoint) -> None:
    with endpoint.client() as client:
        client.get("/v2")
        endpoint.tricks = [through, hang_up]
        with pytest.raises(PlaceUnreachable):
            client.send("POST", "/dodas/v1/models/k0s/rollback", once=True)
    assert endpoint.asked.count("POST /dodas/v1/models/k0s/rollback") == 1


def test_busy_for_longer_than_one_is_patient_is_told(endpoint: Endpoint) -> None:
    endpoint.tricks = [busy] * 100_000
    with endpoint.client() as client, pytest.raises(Busy, match="The queue is full"):
        client.infer("k0s", None, INPUTS, [rows(5)], patience=0.05)


def test_an_endpoint_that_is_gone_is_told_and_found_where_it_is_now() -> None:
    with serving() as first:
        pass
    with serving() as second:
        found = [first.address, second.address]
        with Client(lambda: Reach(found.pop(0) if len(found) > 1 else found[0], lambda: "secret")) as client:
            assert client.get("/v2") == {"path": "/v2"}
    with Client(lambda: Reach(first.address)) as client, pytest.raises(PlaceUnreachable, match="does not answer") as caught:
        client.get("/v2")
    assert "dodas list" in caught.value.remedy


def test_silence_has_an_end(endpoint: Endpoint) -> None:
    over = threading.Event()
    endpoint.tricks = [lambda _: over.wait(60)]
    with endpoint.client(timeout=0.3) as client, pytest.raises(TimedOut, match=r"within 0\.3 s"):
        client.get("/v2")
    over.set()


def lines(*said: Any, drop: bool = False) -> Callable[[Handler], bool]:
    def answer(handler: Handler) -> bool:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for one in said:
            handler.wfile.write(json.dumps(one).encode() + b"\n")
        return hang_up(handler) if drop else True

    return answer


class Archive:
    size = 6

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"abc", b"def")


def through(_: Handler) -> bool:
    return False


def test_the_steps_of_an_upload_are_told_and_its_result_returned(endpoint: Endpoint) -> None:
    endpoint.tricks = [
        through,
        lines({"step": "Unpacked", "seconds": 0.1}, {"step": "Loaded", "seconds": 2}, {"version": {"a": 1}}),
    ]
    told: list[tuple[str, float]] = []
    with endpoint.client() as client:
        assert client.upload("k0s", "application/x-tar", Archive(), lambda step, seconds: told.append((step, seconds))) == {"a": 1}
    assert told == [("Unpacked", 0.1), ("Loaded", 2.0)]


def test_the_error_of_an_upload_is_raised(endpoint: Endpoint) -> None:
    error = {"code": "model-refused", "message": "It reads files", "cause": "ReadFile", "remedy": "Leave it out."}
    endpoint.tricks = [through, lines({"step": "Unpacked", "seconds": 0.1}, {"error": error})]
    with endpoint.client() as client, pytest.raises(ModelRefused, match="It reads files") as caught:
        client.upload("k0s", "application/x-tar", Archive(), lambda *_: None)
    assert (caught.value.cause, caught.value.remedy) == ("ReadFile", "Leave it out.")


def test_an_upload_without_an_end_is_told(endpoint: Endpoint) -> None:
    endpoint.tricks = [through, lines({"step": "Unpacked", "seconds": 0.1})]
    with endpoint.client() as client, pytest.raises(PlaceUnreachable, match="ended the upload without a result"):
        client.upload("k0s", "application/x-tar", Archive(), lambda *_: None)


def test_an_upload_is_not_sent_twice(endpoint: Endpoint) -> None:
    endpoint.tricks = [through, hang_up]
    with endpoint.client() as client, pytest.raises(PlaceUnreachable):
        client.upload("k0s", "application/x-tar", Archive(), lambda *_: None)
    assert endpoint.asked == ["GET /dodas/v1/status", "POST /dodas/v1/models/k0s/versions"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadInput),
        (401, Unauthenticated),
        (403, NotAllowed),
        (404, ModelNotFound),
        (429, Busy),
        (500, ModelBroken),
        (503, Busy),
    ],
)
def test_a_sentence_becomes_the_error_of_its_status(status: int, kind: type[DodasError]) -> None:
    error = error_of("It will not do.", status=status, after=3)
    assert type(error) is kind
    assert error.message == "It will not do."


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "did_you_mean"])
def test_an_error_of_the_api_is_the_same_error_here(name: str) -> None:
    kind = getattr(errors, name)
    told = {"code": kind.code, "message": "m", "cause": "c", "remedy": "r"}
    error = error_of(told, after=2.5)
    assert type(error) is kind
    assert (error.message, error.cause, error.remedy, str(error)) == ("m", "c", "r", "m\nc\nhint: r")
    assert not isinstance(error, Busy) or error.after == 2.5


def test_an_answer_that_is_none_is_told(endpoint: Endpoint) -> None:
    def nonsense(handler: Handler) -> bool:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.reply(200, {HEADER: "4"}, b"oops")
        return True

    endpoint.tricks = [nonsense]
    with endpoint.client() as client, pytest.raises(DodasError, match="cannot be read"):
        client.infer("k0s", None, INPUTS, [rows(1)])


def test_a_client_that_is_forgotten_closes_what_it_kept(endpoint: Endpoint) -> None:
    client = endpoint.client()
    client.get("/v2")
    del client  # an open socket would be a warning, and so an error
