"""The server that people get, with the real program: whose it is, and what stands in it."""

from collections.abc import Iterator

import httpx
import pytest

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


def test_somebody_else_does_not(lab: Hub, alice: Browser) -> None:
    bob = lab.browser()
    bob.sign_in("bob")
    assert bob.follow(bob.get("/user/alice/lab")).status_code == 403
    assert bob.get("/user/alice/api/contents").status_code in {403, 404}
    assert bob.get("/hub/api/users/alice").status_code in {403, 404}
    assert lab.browser().follow(lab.browser().get("/user/alice/lab")).url.path == "/hub/login"


def test_a_page_of_somebody_else_cannot_open_a_websocket(lab: Hub, alice: Browser) -> None:
    headers = {"Cookie": alice.cookies, "Origin": "https://evil.example", "Connection": "Upgrade", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert httpx.get(f"{lab.url}/user/alice/api/events/subscribe", headers=headers).status_code == 403


def test_a_cookie_of_its_page_is_dead_after_signing_out(lab: Hub, alice: Browser) -> None:
    copied = {"Cookie": alice.cookies}
    assert httpx.get(f"{lab.url}/user/alice/lab", headers=copied).status_code == 200
    alice.get("/hub/logout")
    assert httpx.get(f"{lab.url}/user/alice/lab", headers=copied).status_code != 200
    # The server has ended with the session; its log shows nothing that would open another.
    said = lab.program.said()
    assert "eyJ" not in said
    assert "Shutting down alice's servers" in said
