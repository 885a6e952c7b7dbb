"""Who gets in, and what will not do."""

import os
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tests.jupyter import JupyterServer, error
from tests.place import Place

PATHS = ("kinds", "clusters", "clusters/x", "clusters/x/logs", "quota", "openapi.json", "nothing")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}], ids=["no token", "wrong token"])
def test_nobody_gets_in_without_a_token(server: JupyterServer, path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST", "PATCH", "DELETE"):
        reply = httpx.request(method, f"{server.api}/{path}", headers=headers, json={})
        assert reply.status_code in ((403,) if method == "GET" else (403, 405)), (method, reply.text)
        assert error(reply)["code"]


def test_a_browser_needs_the_xsrf_token(server: JupyterServer) -> None:
    with httpx.Client(base_url=server.url) as browser:
        browser.get("/login", params={"token": server.token}, follow_redirects=True)
        assert browser.get("/dodas/api/v1/clusters").status_code == 200
        launched = {"kind": "toy", "name": "crossed", "options": {"workers": 0}}
        assert browser.post("/dodas/api/v1/clusters", json=launched).status_code == 403
        assert server.client.get("clusters/crossed").status_code == 404
        headers = {"X-XSRFToken": browser.cookies["_xsrf"]}
        assert browser.post("/dodas/api/v1/clusters", json=launched, headers=headers).status_code == 202


def test_another_page_cannot_ask(server: JupyterServer) -> None:
    with httpx.Client(base_url=server.url, headers={"Origin": "http://evil.example"}) as browser:
        browser.get("/login", params={"token": server.token}, follow_redirects=True)
        assert browser.get("/dodas/api/v1/clusters").status_code == 404


def test_an_authorizer_is_asked(place: Place) -> None:
    (place.root / "deny.py").write_text(
        "from jupyter_server.auth import Authorizer\n"
        "class Reader(Authorizer):\n"
        "    def is_authorized(self, handler, user, action, resource):\n"
        "        return resource != 'dodas' or action == 'read'\n"
    )
    variables = {**place.variables, "PYTHONPATH": f"{place.root}{os.pathsep}{place.variables['PYTHONPATH']}"}
    server = JupyterServer(variables, {"ServerApp": {"authorizer_class": "deny.Reader"}})
    try:
        assert server.client.get("clusters").status_code == 200
        for reply in (
            server.client.post("clusters", json={"kind": "toy"}),
            server.client.patch("clusters/x", json={}),
            server.client.delete("clusters/x"),
        ):
            assert reply.status_code == 403
            assert error(reply)["code"] == "forbidden"
    finally:
        server.close()


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid-option"),
        (b"{", 400, "invalid-option"),
        (b"\xff\xfe", 400, "invalid-option"),
        (b"null", 400, "invalid-option"),
        (b"[]", 400, "invalid-option"),
        (b'{"kind": "toy", "options": []}', 400, "invalid-option"),
        (b'{"kind": "toi"}', 400, "unknown-kind"),
        (b'{"kind": "toy", "options": {"wrokers": 1}}', 400, "unknown-option"),
        (b'{"kind": "toy", "options": {"workers": -1}}', 400, "invalid-option"),
        (b'{"kind": "toy", "options": {"wait": true}}', 400, "unknown-option"),
        (b'{"kind": "toy", "options": {"name": "x"}}', 400, "unknown-option"),
        (b'{"kind": "toy", "name": "../../etc"}', 400, "invalid-option"),
        (b'{"kind": "toy", "options": {"environment": {"variables": {"A_TOKEN": "1"}}}}', 400, "invalid-option"),
    ],
)
def test_bodies_that_will_not_do(server: JupyterServer, body: bytes, status: int, code: str) -> None:
    reply = server.client.post("clusters", content=body)
    assert (reply.status_code, error(reply)["code"]) == (status, code)
    assert server.client.get("clusters").json() == {"clusters": []}


def test_a_body_of_100_megabytes(server: JupyterServer) -> None:
    before = resident(server)
    reply = server.client.post("clusters", content=b" " * 100_000_000)
    assert (reply.status_code, error(reply)["code"]) == (413, "too-large")

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000_000

    reply = server.client.post("clusters", content=chunks())  # says no length
    assert (reply.status_code, error(reply)["code"]) == (413, "too-large")
    assert resident(server) - before < 30e6


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}, None], ids=["no token", "wrong token", "right"])
def test_a_refusal_never_ends_a_connection_without_a_word(server: JupyterServer, headers: dict[str, str] | None) -> None:
    # A proxy goes on using it, also for somebody else.
    asked = server.headers if headers is None else headers
    for path in (*PATHS, "infrastructures"):
        for method, length in (("GET", 0), ("POST", 0), ("PATCH", 0), ("DELETE", 0), ("PUT", 1 << 25)):
            with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
                connection.request(method, f"/dodas/api/v1/{path}", headers={**asked, "Content-Length": str(length)})
                reply = connection.getresponse()
                assert reply.status in (403, 413) if length else reply.status < 500
                reply.read()
                if reply.headers["Connection"] != "close":
                    connection.request("GET", "/dodas/api/v1/kinds", headers=server.headers)
                    assert connection.getresponse().status == 200, (method, path)


def resident(server: JupyterServer) -> int:
    """Bytes of memory that it holds."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "%00", "A", "a" * 60, "a--b", "%ff", "a%2fb", "a%0d%0ab", "~root"]
)
def test_names_that_are_tricks(server: JupyterServer, name: str) -> None:
    for path in (f"clusters/{name}", f"clusters/{name}/logs", f"clusters/{name}/ui/dashboard/"):
        assert server.raw(f"GET /dodas/api/v1/{path} HTTP/1.1") in (400, 404)


def test_what_is_not_there(server: JupyterServer) -> None:
    assert error(server.client.get("nothing"))["code"] == "not-found"
    assert error(server.client.get("clusters/higgs"))["code"] == "not-found"
    reply = server.client.put("clusters", json={})
    assert reply.status_code == 405
    assert {"GET", "POST"} <= set(reply.headers["Allow"].split(", "))


def test_a_name_is_taken_once(server: JupyterServer) -> None:
    server.launch("once")
    reply = server.client.post("clusters", json={"kind": "toy", "name": "once"})
    assert (reply.status_code, error(reply)["code"]) == (409, "already-exists")
