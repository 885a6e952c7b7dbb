"""How much is taken at once: requests of a caller, bytes of a body, seconds for it, rows that wait."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.tfaas.endpoint import Endpoint
from tests.tfaas.seeded import seeded

pytestmark = pytest.mark.timeout(300)

ROW = {"model": "net", "values": [0.5] * 9}


@pytest.fixture(scope="module")
def endpoint(models: Path) -> Iterator[Endpoint]:
    """A server with small bounds."""
    with seeded(models, body_cap=100_000, upload_cap=200_000, timeout=2.0, queue_rows=4) as made:
        # Its first row waits for a worker, which may take longer than a prediction may here.
        blocking_until(lambda: made.client.post("/json", json=ROW).status_code, within=90, meets=lambda status: status == 200)
        yield made


@contextmanager
def connected(endpoint: Endpoint) -> Iterator[socket.socket]:
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def head(endpoint: Endpoint, path: str = "/json", **more: object) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {endpoint.token}"]
    return "\r\n".join([*lines, *(f"{name.replace('_', '-')}: {value}" for name, value in more.items()), "\r\n"]).encode()


def whole(connection: socket.socket) -> bytes:
    """What is said until the connection is closed from the other end."""
    said = b""
    while part := connection.recv(65536):
        said += part
    return said


@pytest.mark.parametrize("path", ["/json", "/proto", "/image", "/v2/models/net/infer", "/params"])
def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(endpoint: Endpoint, path: str) -> None:
    with connected(endpoint) as connection:
        began = time.monotonic()
        connection.sendall(head(endpoint, path, Content_Length=2 << 30, Content_Type="multipart/form-data; boundary=x"))
        said = whole(connection)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in said
    assert b"more than 100000 bytes" in said
    assert time.monotonic() - began < 30


def test_a_body_that_does_not_say_so_is_refused_as_soon_as_it_is(endpoint: Endpoint) -> None:
    with connected(endpoint) as connection:
        connection.sendall(head(endpoint, Transfer_Encoding="chunked"))
        for _ in range(3):
            connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert whole(connection).startswith(b"HTTP/1.1 413 ")


def test_clients_hear_why_a_body_is_refused_though_they_still_send_it(endpoint: Endpoint) -> None:
    reply = endpoint.client.post("/json", content=b" " * 5_000_000)
    assert (reply.status_code, "more than 100000 bytes" in reply.json()["error"]) == (413, True)


def test_a_body_that_is_small_only_while_it_is_packed_is_refused(endpoint: Endpoint) -> None:
    packed = gzip.compress(json.dumps(ROW).encode() + b" " * 50_000_000)
    assert len(packed) < 100_000
    reply = endpoint.client.post("/json", content=packed, headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 413
    small = gzip.compress(json.dumps(ROW).encode())
    assert endpoint.client.post("/json", content=small, headers={"Content-Encoding": "gzip"}).status_code == 200


@pytest.mark.parametrize("path", ["/upload", "/dodas/v1/models/big/versions"])
def test_an_upload_that_is_too_large_leaves_nothing(endpoint: Endpoint, path: str) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(30):
            yield bytes(10_000)

    headers = {"Content-Type": "application/x-tar"}
    assert endpoint.client.post(path, content=parts(), headers=headers).status_code == 413
    assert [one.name for one in (endpoint.store / "staging").iterdir()] == ["lock"]


SLOW = {
    "a head": b"POST /json HTTP/1.1\r\nHost: x\r\n",
    "nothing": b"",
    "half a line": b"PO",
}


@pytest.mark.parametrize("case", SLOW)
def test_a_head_that_does_not_come_ends_the_connection(endpoint: Endpoint, case: str) -> None:
    with connected(endpoint) as connection:
        connection.sendall(SLOW[case])
        assert whole(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("path", ["/json", "/proto", "/v2/models/net/infer", "/params"])
def test_a_body_that_does_not_come_has_a_deadline(endpoint: Endpoint, path: str) -> None:
    with connected(endpoint) as connection:
        connection.sendall(head(endpoint, path, Content_Length=100) + b'{"mo')
        said = whole(connection)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"did not come in time" in said


def test_others_are_answered_while_bodies_trickle_in(endpoint: Endpoint) -> None:
    with connected(endpoint) as one, connected(endpoint) as other:
        one.sendall(head(endpoint, Content_Length=100) + b"{")
        other.sendall(head(endpoint, "/proto", Content_Length=100) + b"{")
        assert endpoint.client.post("/json", json=ROW).status_code == 200


def test_a_connection_that_is_kept_alive_may_be_silent(endpoint: Endpoint) -> None:
    with connected(endpoint) as slow, connected(endpoint) as kept:
        body = json.dumps(ROW).encode()
        kept.sendall(head(endpoint, Content_Length=len(body)) + body)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        whole(slow)  # which is ended: so much time has passed
        kept.sendall(head(endpoint, Content_Length=len(body)) + body)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_more_rows_than_may_wait_are_told_to_come_back(endpoint: Endpoint) -> None:
    def ask(_: int) -> httpx.Response:
        with endpoint.caller(endpoint.token) as client:
            return client.post("/json", json={"model": "endless", "values": [1e30]})

    with ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(ask, range(32)))
    statuses = {reply.status_code for reply in replies}
    assert statuses <= {500, 503, 504}, [reply.text for reply in replies]
    busy = [reply for reply in replies if reply.status_code == 503]
    assert busy
    assert all(int(reply.headers["retry-after"]) >= 1 and "wait" in reply.json()["error"] for reply in busy)
    assert endpoint.client.post("/json", json=ROW).status_code == 200, "another model is not held up"


def test_a_caller_who_asks_too_often_is_told_when_to_come_back(models: Path) -> None:
    with seeded(models, rate=0.01, burst=3, anonymous="predict") as endpoint:
        replies = [endpoint.client.post("/json", json=ROW) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
        told = [int(reply.headers["x-ratelimit-remaining"]) for reply in replies]
        assert told == [2, 1, 0, 0, 0]
        assert {reply.headers["x-ratelimit-limit"] for reply in replies} == {"3"}
        assert int(replies[-1].headers["x-ratelimit-reset"]) > time.time()
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 101
        assert "asks too often" in replies[-1].json()["error"]
        assert endpoint.client.get("/models").status_code == 429, "all routes count"
        with endpoint.caller(None) as other:
            assert other.post("/json", json=ROW).status_code == 200, "each caller has a share"
