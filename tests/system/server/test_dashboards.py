"""Dashboards below the path of their cluster, for whoever is signed in."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.settings import load
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, InstanceStatus, Phase
from tests.jupyter import JupyterServer, error
from tests.place import Place


@pytest.fixture(scope="module")
def dashboard(shared: JupyterServer) -> Iterator[str]:
    """The address of the dashboard of a Dask cluster."""
    shared.launch("shown", kind="dask")
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
        assert server.raw(f"GET /dodas/api/v1/clusters/{path} HTTP/1.1") in (400, 403, 404)

    @pytest.mark.parametrize("path", ["22/", "127.0.0.1:22/", "absolute/22/", "169.254.169.254:80/", "localhost:22/x"])
    def test_the_open_routes_are_off(self, server: JupyterServer, path: str) -> None:
        reply = httpx.get(f"{server.url}/proxy/{path}", headers=server.headers)
        assert error(reply)["code"] == "not-supported"

    def test_no_request_names_its_own_host(self, server: JupyterServer, dashboard: str) -> None:
        assert server.raw("GET http://169.254.169.254/latest/meta-data HTTP/1.1") in (400, 403, 404)
        assert server.raw("CONNECT 169.254.169.254:80 HTTP/1.1") in (400, 403, 404, 405)

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

    def do_POST(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        said = f"{self.command} {self.rfile.read(int(self.headers.get('Content-Length', 0))).decode()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_PUT = do_DELETE = do_POST  # noqa: N815 - as `http.server` looks for them

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
    with closing(JupyterServer(place.variables)) as server:
        yield server, place
    place.close()


class TestForwarding:
    """A record that a test has written, in a place without a controller, leads to a dashboard of the test's own."""

    @pytest.fixture
    def server(self, uncontrolled: tuple[JupyterServer, Place]) -> JupyterServer:
        self.place = uncontrolled[1]
        return uncontrolled[0]

    def write(self, address: str, port: int, kind: str = "toy", dashboard: str = "ui") -> None:
        """Write a cluster with a dashboard there and an instance on this port."""

        async def write() -> None:
            store = LocalBackend(load(self.place.variables)).store
            await store.remove("led", "")
            made = await store.create(ClusterSpec(name="led", uid="0123", kind=kind, owner="ada", created=1.0))
            status = ClusterStatus(
                uid="0123",
                phase=Phase.READY,
                instances={"hub": InstanceStatus(role="hub", ports={"ui": port}, since=1.0)},
                addresses={dashboard: address},
            )
            await store.report(made.name, status)
            await store.keep_secrets(made.name, {f"{dashboard}.token": b"the-key\n"})

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

    def test_verbs_go_where_the_kind_takes_them_and_from_pages_of_jupyter_alone(
        self, server: JupyterServer, upstream: Upstream
    ) -> None:
        self.write(f"http://127.0.0.1:{upstream.port}", upstream.port, kind="tfaas", dashboard="page")
        address = "/dodas/api/v1/clusters/led/ui/page/dodas/v1/models/k0s/publish"
        with httpx.Client(base_url=server.url) as browser:
            assert browser.post(address, json={}).status_code == 403  # nobody has signed in
            browser.get("/login", params={"token": server.token}, follow_redirects=True)
            assert browser.post(address, json={}).status_code == 403  # as a page of somebody else's would have it sent
            assert upstream.asked == []
            xsrf = {"X-XSRFToken": browser.cookies["_xsrf"]}
            for method, body in (("POST", b"{}"), ("PUT", b"[]"), ("DELETE", b"")):
                assert browser.request(method, address, content=body, headers=xsrf).text == f"{method} {body.decode()}"
            assert browser.request("PATCH", address, headers=xsrf).status_code == 405
        for path, headers in upstream.asked:
            assert path == "/dodas/v1/models/k0s/publish"
            assert headers["authorization"] == "Bearer the-key"
            assert not {"cookie", "x-xsrftoken"} & headers.keys()
        self.write(f"http://127.0.0.1:{upstream.port}", upstream.port)
        assert server.client.post("clusters/led/ui/ui/", json={}).status_code == 405

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
