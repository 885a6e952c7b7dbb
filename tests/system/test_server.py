"""The Jupyter Server extension in a real Jupyter Server: all verbs, dashboards, hints, faults and bad input."""

import asyncio
import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import settings
from schemathesis.specs.openapi.checks import missing_required_header, negative_data_rejection, positive_data_acceptance
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from jupyter_dodas import aio
from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.server.openapi import document
from jupyter_dodas.settings import load
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, InstanceStatus, Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer
from tests.place import Place

SCHEMA = "https://events.jupyter-dodas.org/cluster/v1"


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


@pytest.fixture(scope="module")
def shared(shared_place: Place) -> Iterator[JupyterServer]:
    server = JupyterServer(shared_place.variables)
    yield server
    server.close()


@pytest.fixture
def server(shared: JupyterServer) -> Iterator[JupyterServer]:
    """The server, in which a test leaves no cluster."""
    yield shared
    names = [cluster["name"] for cluster in shared.client.get("clusters").json()["clusters"]]
    for name in names:
        shared.client.delete(f"clusters/{name}")
    for name in names:
        shared.until_gone(name)


@contextlib.contextmanager
def jupyter(place: Place, **settings: Any) -> Iterator[JupyterServer]:
    server = JupyterServer(place.variables, settings)
    try:
        yield server
    finally:
        server.close()


def launch(server: JupyterServer, name: str, kind: str = "toy", **options: Any) -> dict[str, Any]:
    reply = server.client.post("clusters", json={"kind": kind, "name": name, "options": {"workers": 1, **options}})
    assert reply.status_code == 202, reply.text
    return server.until_phase(name, "ready")


def error(reply: httpx.Response) -> dict[str, Any]:
    """The error of a reply, which has the one shape."""
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json().keys() == {"error"}
    found: dict[str, Any] = reply.json()["error"]
    assert found.keys() == {"code", "message", "cause", "remedy", "retryable"}
    return found


# -- verbs ------------------------------------------------------------------------------------------------------------


def test_the_life_of_a_cluster(server: JupyterServer) -> None:
    reply = server.client.post("clusters", json={"kind": "toy", "options": {"workers": 1}})
    assert reply.status_code == 202
    made = reply.json()
    name = made["name"]
    assert name == "toy-1"
    assert reply.headers["Location"] == f"/dodas/api/v1/clusters/{name}"
    assert reply.headers["ETag"] == f'"{made["tag"]}"' == f'"{made["spec"]["uid"]}.1"'
    assert reply.headers["Cache-Control"] == "no-store"

    ready = server.until_phase(name, "ready")
    assert ready["status"]["targets"] == {"worker": 1}
    assert [cluster["name"] for cluster in server.client.get("clusters").json()["clusters"]] == [name]
    assert server.client.get("quota").json()["used"]["workers"] == 1

    changed = server.client.patch(f"clusters/{name}", json={"workers": 2}, headers={"If-Match": reply.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == f'"{made["spec"]["uid"]}.2"'
    blocking_until(lambda: ready_workers(server, name), within=20, meets=lambda number: number == 2)

    assert server.client.patch(f"clusters/{name}", json={"adapt": [0, 3]}).json()["spec"]["options"]["adapt"]["maximum"] == 3
    assert server.client.patch(f"clusters/{name}", json={"restart": True}).json()["spec"]["restarts"] == 1

    stopped = server.client.delete(f"clusters/{name}")
    assert (stopped.status_code, stopped.json()["spec"]["intent"]) == (202, "stop")
    server.until_gone(name)


def ready_workers(server: JupyterServer, name: str) -> int:
    instances = server.cluster(name)["status"]["instances"].values()
    return sum(instance["group"] is not None and instance["condition"] == "ready" for instance in instances)


def test_kinds_have_schemas(server: JupyterServer) -> None:
    kinds = {kind["kind"]: kind for kind in server.client.get("kinds").json()["kinds"]}
    assert kinds["toy"]["title"] == "Toy"
    assert "workers" in kinds["toy"]["options"]["properties"]
    assert kinds["dask"]["summary"]


def test_a_group_and_keeping(server: JupyterServer) -> None:
    launch(server, "groups", groups={"big": {"workers": 1, "cores": 1}})
    reply = server.client.patch("clusters/groups", json={"groups": {"big": {"workers": 0}}, "keep_until": 0})
    assert reply.json()["spec"]["options"]["groups"]["big"]["workers"] == 0
    assert reply.json()["spec"]["keep_until"] == 0


def test_a_failed_launch_is_told_and_dismissed(server: JupyterServer) -> None:
    server.client.post("clusters", json={"kind": "toy", "name": "broken", "options": {"fail": "hub"}})
    found = server.until_phase("broken", "failed", within=60)
    assert found["status"]["problem"]["remedy"]
    reply = server.client.patch("clusters/broken", json={"workers": 3})
    assert reply.status_code == 409
    assert error(reply)["message"] == found["status"]["problem"]["message"]
    assert "asked to fail" in server.client.get("clusters/broken/logs").json()["logs"]["hub"]
    server.client.delete("clusters/broken")
    server.until_gone("broken")


def test_a_record_that_cannot_be_read(server: JupyterServer, shared_place: Place) -> None:
    folder = shared_place.state / "clusters" / "damaged"
    folder.mkdir(mode=0o700)
    (folder / "spec.json").write_text("{")
    (folder / "status.json").write_text("{}")
    (listed,) = server.client.get("clusters").json()["clusters"]
    assert listed["status"]["problem"]["code"] == "damaged-record"
    assert error(server.client.get("clusters/damaged"))["code"] == "damaged-record"
    assert server.client.delete("clusters/damaged").status_code == 204
    assert server.client.get("clusters/damaged").status_code == 404


def test_clusters_from_elsewhere_are_in_the_list(
    server: JupyterServer, shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in shared_place.variables.items():
        monkeypatch.setenv(name, value)
    cluster = asyncio.run(aio.launch("toy", name="python", workers=1))
    assert server.cluster("python")["status"]["phase"] == "ready"
    server.client.delete("clusters/python")
    server.until_gone("python")
    assert asyncio.run(cluster.phase()) == "stopped"


# -- logs -------------------------------------------------------------------------------------------------------------


def test_logs_that_go_on(server: JupyterServer, shared_place: Place) -> None:
    launch(server, "loud")
    log = shared_place.state / "clusters" / "loud" / "logs" / "hub.log"
    lines: list[dict[str, str]] = []
    with server.client.stream("GET", "clusters/loud/logs", params={"follow": True, "instance": "hub"}) as reply:
        assert reply.headers["Content-Type"] == "application/x-ndjson"

        def read() -> None:
            lines.extend(json.loads(line) for line in reply.iter_lines() if line)

        reader = threading.Thread(target=read)
        reader.start()
        with log.open("a") as file:
            file.write("one\ntwo\n")
        blocking_until(lambda: lines[-2:], within=10, meets=lambda last: [line["line"] for line in last] == ["one", "two"])
        server.client.delete("clusters/loud")
        reader.join(30)
        assert not reader.is_alive(), "it goes on after the cluster is gone"
    assert {line["instance"] for line in lines} == {"hub"}


def test_a_reader_who_leaves_is_not_served_on(server: JupyterServer) -> None:
    launch(server, "left")
    wires = connections(server)
    with httpx.stream("GET", f"{server.api}/clusters/left/logs", params={"follow": True}, headers=server.headers) as reply:
        assert reply.status_code == 200
        assert connections(server) == wires + 1
    blocking_until(lambda: connections(server), within=10, meets=lambda number: number == wires)
    assert "Traceback" not in server.log.read_text()


def connections(server: JupyterServer) -> int:
    """How many clients a server has."""
    lines = Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
    mine, established = f":{server.port:04X}", "01"
    return sum(line.split()[1].endswith(mine) and line.split()[3] == established for line in lines)


@pytest.mark.parametrize(
    ("query", "words"), [("instance=hup", "hub"), ("lines=0", "lines"), ("lines=x", "lines"), ("follow=perhaps", "follow")]
)
def test_logs_that_cannot_be(server: JupyterServer, query: str, words: str) -> None:
    launch(server, "quiet")
    reply = server.client.get(f"clusters/quiet/logs?{query}")
    assert reply.status_code == 400
    assert words in json.dumps(error(reply))


# -- tags -------------------------------------------------------------------------------------------------------------


def test_a_stale_tag_changes_nothing(server: JupyterServer) -> None:
    made = launch(server, "tagged")
    old = f'"{made["tag"]}"'
    assert server.client.patch("clusters/tagged", json={"workers": 2}, headers={"If-Match": old}).status_code == 200
    for reply in (
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": old}),
        server.client.delete("clusters/tagged", headers={"If-Match": old}),
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": '"another.2"'}),
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": f'W/"{made["spec"]["uid"]}.2"'}),
        server.client.patch("clusters/tagged", json={"workers": 3}, headers={"If-Match": "nonsense"}),
    ):
        assert reply.status_code == 412
        assert error(reply)["code"] == "stale-generation"
        assert error(reply)["retryable"]
    assert server.cluster("tagged")["spec"]["options"]["workers"] == 2


def test_without_a_tag_the_last_one_counts(server: JupyterServer) -> None:
    launch(server, "untagged")
    for headers in ({}, {"If-Match": "*"}):
        assert server.client.patch("clusters/untagged", json={"keep_until": 1}, headers=headers).status_code == 200


def test_a_tag_never_hides_a_new_status(server: JupyterServer) -> None:
    launch(server, "fresh")
    tag = server.client.get("clusters/fresh").headers["ETag"]
    assert server.client.get("clusters/fresh", headers={"If-None-Match": tag}).status_code == 200


# -- who --------------------------------------------------------------------------------------------------------------

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


def resident(server: JupyterServer) -> int:
    """Bytes of memory that it holds."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def raw(server: JupyterServer, line: str, *headers: str) -> int:
    """Send a request line that no client would, and return the status."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
        head = [line, f"Host: 127.0.0.1:{server.port}", f"Authorization: token {server.token}", "Connection: close", *headers]
        wire.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")
        return int(wire.makefile("rb").readline().split()[1])


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "%00", "A", "a" * 60, "a--b", "%ff", "a%2fb", "a%0d%0ab", "~root"]
)
def test_names_that_are_tricks(server: JupyterServer, name: str) -> None:
    for path in (f"clusters/{name}", f"clusters/{name}/logs", f"clusters/{name}/ui/dashboard/"):
        assert raw(server, f"GET /dodas/api/v1/{path} HTTP/1.1") in (400, 404)


def test_what_is_not_there(server: JupyterServer) -> None:
    assert error(server.client.get("nothing"))["code"] == "not-found"
    assert error(server.client.get("clusters/higgs"))["code"] == "not-found"
    reply = server.client.put("clusters", json={})
    assert reply.status_code == 405
    assert {"GET", "POST"} <= set(reply.headers["Allow"].split(", "))


def test_a_name_is_taken_once(server: JupyterServer) -> None:
    launch(server, "once")
    reply = server.client.post("clusters", json={"kind": "toy", "name": "once"})
    assert (reply.status_code, error(reply)["code"]) == (409, "already-exists")


# -- hints and metrics ------------------------------------------------------------------------------------------------


def test_hints_tell_of_every_change_and_nothing_else(server: JupyterServer) -> None:
    heard: list[dict[str, Any]] = []
    with server.events() as bus:
        launch(server, "heard")
        server.client.patch("clusters/heard", json={"workers": 2})
        server.client.delete("clusters/heard")
        while not heard or heard[-1]["generation"]:
            hint = json.loads(bus.recv(timeout=20))
            if hint["schema_id"] == SCHEMA and hint["id"] == "heard":
                heard.append(hint)
    assert all(hint.keys() == {"schema_id", "id", "generation"} for hint in heard)
    generations = [hint["generation"] for hint in heard]
    assert generations[:-1] == sorted(generations[:-1])
    assert {1, 3} <= set(generations)


def test_hints_tell_of_clusters_from_elsewhere(server: JupyterServer, shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shared_place.variables.items():
        monkeypatch.setenv(name, value)
    with server.events() as bus:
        asyncio.run(aio.launch("toy", name="elsewhere", wait=False, workers=0))
        assert json.loads(bus.recv(timeout=20))["id"] == "elsewhere"


def test_metrics_count_and_name_nobody(server: JupyterServer) -> None:
    launch(server, "counted")

    def metrics() -> str:
        return httpx.get(f"{server.url}/metrics", headers=server.headers).text

    blocking_until(metrics, within=10, meets=lambda text: 'dodas_clusters{kind="toy",phase="ready"} 1.0' in text)
    assert 'dodas_workers{kind="toy"} 1.0' in metrics()
    assert not [line for line in metrics().splitlines() if line.startswith("dodas") and "counted" in line]


# -- dashboards -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dashboard(shared: JupyterServer) -> Iterator[str]:
    """The address of the dashboard of a Dask cluster."""
    launch(shared, "shown", kind="dask")
    yield f"{shared.api}/{shared.cluster('shown')['dashboards']['dashboard']}"
    shared.client.delete("clusters/shown")
    shared.until_gone("shown")


class TestDashboard:
    """One cluster serves all of these."""

    @pytest.fixture
    def server(self, shared: JupyterServer) -> JupyterServer:
        return shared

    def test_pages_and_files(self, server: JupyterServer, dashboard: str) -> None:
        with httpx.Client(headers=server.headers, follow_redirects=True) as client:
            page = client.get(dashboard)
            assert str(page.url) == f"{dashboard}status"
            assert "Dask" in page.text
            assert page.headers["Cache-Control"] == "no-store"
            files = re.findall(r'(?:src|href)="((?:\.\./)?static[^"]+)"', page.text)
            assert len(files) > 3
            for file in files:
                assert client.get(page.url.join(file)).status_code == 200, file
            assert client.get(dashboard[:-1]).status_code == 200
            assert client.head(page.url.join(files[0])).status_code == 200

    def test_websockets(self, server: JupyterServer, dashboard: str) -> None:
        page = httpx.get(f"{dashboard}status", headers=server.headers).text
        found = re.search(r'"token":"([^"]+)"', page)
        assert found
        address = dashboard.replace("http", "ws", 1) + "status/ws"
        with connect(address, additional_headers=server.headers, subprotocols=["bokeh", found[1]]) as bokeh:  # type: ignore[list-item]
            assert json.loads(bokeh.recv(timeout=10))["msgtype"] == "ACK"
        for headers in ({}, {**server.headers, "Authorization": "token wrong"}):
            with pytest.raises(InvalidStatus, match="403"), connect(address, additional_headers=headers):
                pass

    def test_a_browser_that_has_signed_in_to_jupyter(self, server: JupyterServer, dashboard: str) -> None:
        with httpx.Client() as browser:
            refused = browser.get(f"{dashboard}status")
            assert refused.status_code == 302
            assert refused.headers["Location"].startswith("/login")
            browser.get(f"{server.url}/login", params={"token": server.token}, follow_redirects=True)
            jar = dict(browser.cookies)
            assert "Dask" in browser.get(f"{dashboard}status").text
            assert dict(browser.cookies).keys() == jar.keys(), "the dashboard set a cookie of Jupyter's"

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_it_only_shows(self, server: JupyterServer, dashboard: str, method: str) -> None:
        assert httpx.request(method, f"{dashboard}status", headers=server.headers).status_code == 405

    @pytest.mark.parametrize(
        "path",
        [
            "shown/ui/127.0.0.1:22/",
            "shown/ui/localhost/",
            "shown/ui/169.254.169.254/latest/meta-data",
            "shown/ui/http:%2f%2fevil.example%2f/",
            "shown/ui/..%2fdashboard/",
            "shown/ui/scheduler/",
            "shown/ui/dashboard/../../../kinds",
            "shown/ui/dashboard/%2e%2e/%2e%2e/etc/passwd",
            "shown/ui/dashboard/statics/..%5c..%5c",
            "shown/ui/dashboard/a%0d%0aHost:%20evil.example",
            "shown/ui/dashboard//evil.example/",
            "shown/ui/dashboard/@evil.example/",
            "other/ui/dashboard/status",
        ],
    )
    def test_it_leads_nowhere_else(self, server: JupyterServer, dashboard: str, path: str) -> None:
        assert raw(server, f"GET /dodas/api/v1/clusters/{path} HTTP/1.1") in (400, 403, 404)

    @pytest.mark.parametrize("path", ["22/", "127.0.0.1:22/", "absolute/22/", "169.254.169.254:80/", "localhost:22/x"])
    def test_the_open_routes_are_off(self, server: JupyterServer, path: str) -> None:
        reply = httpx.get(f"{server.url}/proxy/{path}", headers=server.headers)
        assert error(reply)["code"] == "not-supported"

    def test_no_request_names_its_own_host(self, server: JupyterServer, dashboard: str) -> None:
        assert raw(server, "GET http://169.254.169.254/latest/meta-data HTTP/1.1") in (400, 403, 404)
        assert raw(server, "CONNECT 169.254.169.254:80 HTTP/1.1") in (400, 403, 404, 405)

    def test_no_secret_in_any_reply_or_log(self, server: JupyterServer, shared_place: Place, dashboard: str) -> None:
        secrets = [
            file.read_bytes().strip().decode()
            for file in (shared_place.state / "clusters" / "shown" / "secrets").iterdir()
            if file.suffix == ".token" or file.name == "key.pem"
        ]
        assert len(secrets) == 2
        replies = [server.client.get(path).text for path in ("kinds", "clusters", "clusters/shown", "clusters/shown/logs", "quota")]
        replies.append(httpx.get(f"{dashboard}status", headers=server.headers).text)
        replies.append(server.log.read_text())
        for secret in [*secrets, server.token]:
            assert not [reply for reply in replies if secret in reply]


class Upstream(ThreadingHTTPServer):
    """A dashboard that remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.port = self.server_address[1]


class Answer(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(302 if self.path.startswith("/jump") else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Set-Cookie", "_xsrf=stolen")
        self.send_header("Location", f"http://127.0.0.1:{self.server.port}/landed?x=1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def uncontrolled() -> Iterator[tuple[JupyterServer, Place]]:
    place = Place()
    Layout.of(load(place.variables)).make()
    place.keep()
    with jupyter(place) as server:
        yield server, place
    place.close()


class TestForwarding:
    """A record that a test has written, in a place without a controller, leads to a dashboard of the test's own."""

    @pytest.fixture
    def server(self, uncontrolled: tuple[JupyterServer, Place]) -> JupyterServer:
        self.place = uncontrolled[1]
        return uncontrolled[0]

    def write(self, address: str, port: int) -> None:
        """Write a cluster with a dashboard there and an instance on this port."""

        async def write() -> None:
            store = LocalBackend(load(self.place.variables)).store
            await store.remove("led", "")
            made = await store.create(ClusterSpec(name="led", uid="0123", kind="toy", owner="ada", created=1.0))
            status = ClusterStatus(
                uid="0123",
                phase=Phase.READY,
                instances={"hub": InstanceStatus(role="hub", ports={"ui": port}, since=1.0)},
                addresses={"ui": address},
            )
            await store.report(made.name, status)
            await store.keep_secrets(made.name, {"ui.token": b"the-key\n"})

        asyncio.run(write())

    def test_what_goes_through_and_what_stays(self, server: JupyterServer, upstream: Upstream) -> None:
        self.write(f"http://127.0.0.1:{upstream.port}", upstream.port)
        address = "/dodas/api/v1/clusters/led/ui/ui/"
        with httpx.Client(base_url=server.url, headers={"Referer": f"{server.url}/lab?token={server.token}"}) as browser:
            browser.get("/login", params={"token": server.token}, follow_redirects=True)
            xsrf = browser.cookies["_xsrf"]
            page = browser.get(f"{address}a/b%20c", params={"token": server.token, "q": "1"}, headers={"Origin": server.url})
            assert (page.status_code, page.text) == (200, "ok")
            jump = browser.get(f"{address}jump")
            assert jump.headers["Location"] == f"{address}landed?x=1"
            events = browser.get(address, headers={"Accept": "text/event-stream"})
            assert "stolen" not in repr([reply.headers for reply in (page, jump, events)])
            assert browser.cookies["_xsrf"] == xsrf
        path, headers = upstream.asked[0]
        assert path == "/a/b%20c?q=1"
        assert headers["authorization"] == "Bearer the-key"
        assert not {"cookie", "origin", "referer"} & headers.keys()
        assert server.token not in repr(upstream.asked)
        assert "the-key" not in server.log.read_text() + server.client.get("clusters").text

    def test_nobody_answers(self, server: JupyterServer) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            port = taken.getsockname()[1]
            self.write(f"http://127.0.0.1:{port}", port)
            reply = server.client.get("clusters/led/ui/ui/")
            assert (reply.status_code, error(reply)["code"]) == (504, "timed-out")
            address = f"ws://127.0.0.1:{server.port}/dodas/api/v1/clusters/led/ui/ui/ws"
            with connect(address, additional_headers=server.headers) as wire, pytest.raises(ConnectionClosed):
                wire.recv(timeout=10)

    @pytest.mark.parametrize(
        "address",
        [
            "http://169.254.169.254:80",
            "http://evil.example:80",
            "http://127.0.0.1:{other}",
            "http://localhost:{port}",
            "http://127.0.0.1:{port}@evil.example:{port}",
        ],
    )
    def test_a_record_that_was_tampered_with(self, server: JupyterServer, upstream: Upstream, address: str) -> None:
        self.write(address.format(port=upstream.port, other=server.port), upstream.port)
        reply = server.client.get("clusters/led/ui/ui/")
        assert (reply.status_code, error(reply)["code"]) == (403, "not-yours")
        assert upstream.asked == []


# -- faults -----------------------------------------------------------------------------------------------------------


def test_a_new_server_shows_the_same_clusters(place: Place) -> None:
    with jupyter(place) as first, contextlib.ExitStack() as later:
        made = launch(first, "lasting")
        first.kill()
        second = later.enter_context(jupyter(place))
        again = second.cluster("lasting")
        assert again["tag"] == made["tag"]
        assert again["status"]["instances"] == made["status"]["instances"]
        with second.events() as bus:
            assert second.client.patch("clusters/lasting", json={"workers": 2}).status_code == 200
            assert json.loads(bus.recv(timeout=20)) == {"schema_id": SCHEMA, "id": "lasting", "generation": 2}
        second.client.delete("clusters/lasting")
        second.until_gone("lasting")


def test_a_controller_that_is_killed_is_followed_again(place: Place) -> None:
    with jupyter(place) as server:
        launch(server, "followed")
        place.controller().kill()
        with server.events() as bus:
            server.client.patch("clusters/followed", json={"workers": 2})
            assert json.loads(bus.recv(timeout=20))["id"] == "followed"
        blocking_until(lambda: ready_workers(server, "followed"), within=20, meets=lambda number: number == 2)
        server.client.delete("clusters/followed")
        server.until_gone("followed")


def test_a_configuration_that_is_broken_and_mended(place: Place) -> None:
    file = place.root / "config.toml"
    file.write_text("workers = [")
    with jupyter(place) as server:
        reply = server.client.get("clusters")
        assert (reply.status_code, error(reply)["code"]) == (500, "invalid-setting")
        file.unlink()
        assert server.client.get("clusters").json() == {"clusters": []}


# -- the document -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[JupyterServer]:
    """A server with one cluster, beside which no other fits: whatever is launched waits."""
    place = Place()
    server = JupyterServer({**place.variables, "DODAS_LIMITS_CLUSTERS": "1", "DODAS_LIMITS_WORKERS": "1"})
    try:
        launch(server, "there")
        yield server
        for cluster in reversed(server.client.get("clusters").json()["clusters"]):  # those that wait go first
            server.client.delete(f"clusters/{cluster['name']}")
        blocking_until(lambda: server.client.get("clusters").json()["clusters"], within=60, meets=lambda left: not left)
    finally:
        server.close()
        place.close()


schema = schemathesis.openapi.from_dict(json.loads(document("/dodas/api/v1")))


# Jupyter answers 403 where others answer 401; and a request can be well-formed and still ask for what is not there, as a folder.
NOT_OURS = [missing_required_header, positive_data_acceptance]


@schema.parametrize()
@settings(max_examples=30, derandomize=True)
def test_it_does_as_its_document_says(case: schemathesis.Case[Any], fuzzed: JupyterServer) -> None:
    case.call_and_validate(base_url=fuzzed.api, headers=fuzzed.headers, excluded_checks=NOT_OURS)


@schema.include(path_regex="name").exclude(method="DELETE").parametrize()
@settings(max_examples=30, derandomize=True)
def test_it_does_so_with_a_cluster_that_is_there(case: schemathesis.Case[Any], fuzzed: JupyterServer) -> None:
    case.path_parameters["name"] = "there"
    case.query.pop("follow", None)  # does not end
    case.call_and_validate(base_url=fuzzed.api, headers=fuzzed.headers, excluded_checks=[*NOT_OURS, negative_data_rejection])
