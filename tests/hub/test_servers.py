"""The server that people get, with the real program: whose it is, and what stands in it."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub


@pytest.fixture(scope="module")
def lab() -> Iterator[Hub]:
    """A hub whose servers are Jupyter's."""
    with Hub("import sys\nc.Spawner.cmd = [sys.executable, '-m', 'jupyterhub.singleuser']\n") as made:
        yield made


@pytest.fixture(scope="module")
def alice(lab: Hub) -> Browser:
    browser = lab.browser()
    browser.sign_in("alice")
    assert browser.spawn("alice").is_success
    return browser


def test_its_user_gets_in(alice: Browser) -> None:
    page = alice.follow(alice.get("/user/alice/lab"))
    assert page.status_code == 200
    assert page.url.path == "/user/alice/lab"


EXTENSION: Final = (
    *(("GET", path) for path in ("kinds", "clusters", "clusters/x", "clusters/x/logs", "clusters/x/ui/dashboard/", "quota")),
    *(("GET", path) for path in ("openapi.json", "nothing")),
    *(("POST", "clusters"), ("PATCH", "clusters/x"), ("DELETE", "clusters/x"), ("POST", "nothing")),
)


def test_case_24_the_extension_is_there_for_nobody_else(lab: Hub, alice: Browser) -> None:
    bob = lab.browser()
    bob.sign_in("bob")
    bob.follow(bob.get("/user/alice/lab"))
    made = alice.api("POST", "/users/alice/tokens", json={"expires_in": 1}).json()["token"]
    expired = {"Authorization": f"token {made}"}
    blocking_until(lambda: httpx.get(f"{lab.url}/hub/api/user", headers=expired).status_code == 403, within=10)
    other = bob.api("POST", "/users/bob/tokens", json={}).json()["token"]
    for headers in ({}, {"Cookie": bob.cookies}, {"Authorization": f"token {other}"}, {"Authorization": "token x"}, expired):
        for method, path in EXTENSION:
            reply = httpx.request(method, f"{lab.url}/user/alice/dodas/api/v1/{path}", headers=headers)
            to_sign_in = reply.is_redirect and reply.headers["location"].startswith("/hub/")
            assert reply.status_code == 403 or to_sign_in, (headers, method, path)
    assert alice.get("/user/alice/dodas/api/v1/quota").json()["enforced"] is False


@pytest.mark.parametrize(
    "path",
    [
        "80/",
        "absolute/80/",
        "169.254.169.254/",
        "169.254.169.254:80/latest/meta-data/",
        "10.0.0.1:443/",
        "[::1]:80/",
        "localhost:22/",
    ],
)
def test_case_25_no_proxy_leads_to_other_ports_or_hosts(alice: Browser, path: str) -> None:
    refused = alice.get(f"/user/alice/proxy/{path}")
    assert refused.status_code == 404
    assert "jupyter-server-proxy are off" in refused.text


def test_case_24_somebody_else_does_not_get_in(lab: Hub, alice: Browser) -> None:
    bob = lab.browser()
    bob.sign_in("bob")
    assert bob.follow(bob.get("/user/alice/lab")).status_code == 403
    assert bob.get("/user/alice/api/contents").status_code in {403, 404}
    assert bob.get("/hub/api/users/alice").status_code in {403, 404}
    assert lab.browser().follow(lab.browser().get("/user/alice/lab")).url.path == "/hub/login"


def test_case_24_a_page_of_somebody_else_cannot_open_a_websocket(lab: Hub, alice: Browser) -> None:
    headers = {"Cookie": alice.cookies, "Origin": "https://evil.example", "Connection": "Upgrade", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert httpx.get(f"{lab.url}/user/alice/api/events/subscribe", headers=headers).status_code == 403


def test_case_14_a_cookie_of_its_page_is_dead_after_signing_out(lab: Hub, alice: Browser) -> None:
    copied = {"Cookie": alice.cookies}
    assert httpx.get(f"{lab.url}/user/alice/lab", headers=copied).status_code == 200
    alice.get("/hub/logout")
    assert httpx.get(f"{lab.url}/user/alice/lab", headers=copied).status_code != 200
    # The server has ended with the session; its log shows nothing that would open another.
    said = lab.program.said()
    assert "eyJ" not in said
    assert "Shutting down alice's servers" in said
