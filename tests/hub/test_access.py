"""Who may be here is what the provider says now: removed, suspended, renamed people, and a provider that does not answer."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub

Make = Callable[..., Hub]

SOON = "c.IAMAuthenticator.auth_refresh_age = 1\n"


def running(hub: Hub, user: str) -> bool:
    """Whether a server answers; the hub does for one that does not run."""
    reply = httpx.get(f"{hub.url}/user/{user}/x")
    return reply.status_code == 200


def signed_in(hub: Hub, user: str) -> Browser:
    browser = hub.browser()
    assert browser.sign_in(user).url.path == "/hub/home"
    return browser


def is_asked_to_sign_in(browser: Browser, path: str = "/hub/home") -> bool:
    reply = browser.get(path)
    return reply.is_redirect and reply.headers["location"].startswith("/hub/login")


def test_who_leaves_the_group_loses_page_api_and_server(make_hub: Make) -> None:
    hub = make_hub(SOON)
    alice, bob = signed_in(hub, "alice"), signed_in(hub, "bob")
    alice.spawn("alice")
    bob.spawn("bob")
    key = alice.variables("alice")["JUPYTERHUB_API_TOKEN"]
    hub.iam.change("alice", groups=["atlas"])
    # Nobody opens a page: the hub looks by itself.
    blocking_until(lambda: not running(hub, "alice"), within=10)
    assert is_asked_to_sign_in(alice)
    reply = httpx.get(f"{hub.url}/hub/api/users/alice", headers={"Authorization": f"token {key}"})
    assert reply.status_code == 403
    assert alice.sign_in("alice").status_code == 403
    assert hub.notes("access-lost")[0]["user"] == "alice"
    assert running(hub, "bob")


def test_a_suspended_user_can_spawn_with_neither_cookie_nor_token(make_hub: Make) -> None:
    hub = make_hub(SOON)
    alice = signed_in(hub, "alice")
    token = alice.api("POST", "/users/alice/tokens", json={"note": "a script's"}).json()["token"]
    headers = {"Authorization": f"token {token}"}
    assert httpx.get(f"{hub.url}/hub/api/user", headers=headers).status_code == 200
    hub.iam.change("alice", suspended=True)
    for _ in range(2):
        assert httpx.post(f"{hub.url}/hub/api/users/alice/server", headers=headers, json={}).status_code == 403
        assert alice.api("POST", "/users/alice/server").status_code == 403
    assert is_asked_to_sign_in(alice, "/hub/spawn/alice")
    assert not running(hub, "alice")


def test_an_admin_cannot_start_the_server_of_a_suspended_user(make_hub: Make) -> None:
    hub = make_hub()
    signed_in(hub, "alice")
    carol = signed_in(hub, "carol")
    hub.iam.change("alice", suspended=True)
    assert carol.api("POST", "/users/alice/server").status_code == 403


def test_who_leaves_the_admins_is_none_from_then_on(make_hub: Make) -> None:
    hub = make_hub(SOON)
    carol = signed_in(hub, "carol")
    assert carol.get("/hub/admin").status_code == 200
    hub.iam.change("carol", groups=["cms"])
    blocking_until(lambda: carol.get("/hub/admin").status_code, within=5, meets=lambda status: status == 403)
    assert carol.get("/hub/home").status_code == 200


def test_many_requests_at_once_refresh_once_and_lock_nobody_out(make_hub: Make) -> None:
    hub = make_hub(SOON)
    alice = signed_in(hub, "alice")
    cookies = {"Cookie": alice.cookies}
    for _ in range(5):
        time.sleep(1.1)  # the refresh age: what is older than that is refreshed
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: httpx.get(f"{hub.url}/hub/home", headers=cookies).status_code, range(8)))
        assert replies == [200] * 8
    # Each time one grant for all eight, or two where they took longer than the age; and no token was shown twice.
    said = hub.iam.program.said()
    assert 6 <= said.count("200 POST /token") <= 11
    assert "400 POST /token" not in said


@pytest.mark.parametrize("trouble", ["frozen", "gone"])
def test_sessions_and_servers_are_kept_while_the_provider_does_not_answer(make_hub: Make, trouble: str) -> None:
    hub = make_hub(SOON)
    alice = signed_in(hub, "alice")
    alice.spawn("alice")
    if trouble == "frozen":
        hub.iam.signal(signal.SIGSTOP)
    else:
        hub.iam.program.stop()
    began = time.monotonic()
    assert alice.get("/hub/home").status_code == 200
    assert time.monotonic() - began < 7  # one wait of 5 s, for however many who ask
    stranger = hub.browser().get("/hub/oauth_login")
    assert stranger.status_code in {302, 503}
    assert running(hub, "alice")
    if trouble == "frozen":
        hub.iam.signal(signal.SIGCONT)
    else:
        hub.iam.start()
    blocking_until(lambda: alice.get("/hub/home").status_code, within=10, meets=lambda status: status == 200)
    # It remembers what it granted: nobody needs to sign in again.
    done = hub.iam.program.said().count("200 POST /token")
    blocking_until(lambda: hub.iam.program.said().count("200 POST /token") > done, within=10)
    assert running(hub, "alice")


def test_what_was_said_last_holds_no_longer_than_the_grace(make_hub: Make) -> None:
    hub = make_hub(SOON + "c.IAMAuthenticator.grace = 2\n")
    alice = signed_in(hub, "alice")
    alice.spawn("alice")
    hub.iam.program.stop()
    blocking_until(lambda: not running(hub, "alice"), within=20)
    assert is_asked_to_sign_in(alice)
    hub.iam.start()
    blocking_until(lambda: alice.get("/hub/home").status_code == 200, within=10)


def test_a_session_survives_the_restart_of_hub_and_provider(make_hub: Make) -> None:
    hub = make_hub()
    alice = signed_in(hub, "alice")
    hub.program.stop()
    hub.iam.program.stop()
    hub.iam.start()
    hub.start()
    assert alice.get("/hub/home").status_code == 200
    assert alice.spawn("alice").status_code in {201, 202}


def test_a_provider_that_turns_its_keys_keeps_everybody(make_hub: Make) -> None:
    hub = make_hub()
    alice = signed_in(hub, "alice")
    hub.iam.signal(signal.SIGHUP)
    signed_in(hub, "bob")
    alice.spawn("alice")
    assert running(hub, "alice")


def test_a_name_belongs_to_whom_it_was_first(make_hub: Make) -> None:
    hub = make_hub()
    signed_in(hub, "alice")
    hub.iam.change("alice", subject="somebody-else")
    refused = hub.browser().sign_in("alice")
    assert refused.status_code == 403
    assert "belongs to somebody else" in refused.text
    # In other letters it is the same name.
    hub.iam.change("Alice", groups=["cms"], subject="a-third")
    assert hub.browser().sign_in("Alice").status_code == 403


def test_who_is_renamed_at_the_provider_keeps_the_name_here(make_hub: Make) -> None:
    hub = make_hub()
    hub.iam.change("alice", subject="one-and-the-same")
    signed_in(hub, "alice")
    hub.iam.users["alice-curie"] = hub.iam.users.pop("alice")
    hub.iam.write()
    signed_in(hub, "alice-curie")
    assert [note["user"] for note in hub.notes("sign-in")] == ["alice", "alice"]


@pytest.mark.parametrize(
    "name", ["../../etc", "root", "ROOT", "a/b", "a b", "álvaro", "日本", "x" * 64, "a..b", ".a", "<b>", "a%2fb", "daemon"]
)
def test_names_that_could_do_harm_are_refused(hub: Hub, name: str) -> None:
    hub.iam.change(name, groups=["cms"])
    refused = hub.browser().sign_in(name)
    assert refused.status_code == 403
    assert "cannot be used here" in refused.text


def test_a_provider_that_talks_nonsense_loses_nobody(make_hub: Make) -> None:
    hub = make_hub(SOON)
    alice = signed_in(hub, "alice")
    hub.iam.program.stop()
    with nonsense(hub.iam.port):
        for _ in range(3):
            time.sleep(1.1)  # past the refresh age
            assert alice.get("/hub/home").status_code == 200
        assert hub.browser().get("/hub/oauth_login").status_code in {302, 503}
    hub.iam.start()
    assert alice.get("/hub/home").status_code == 200


def nonsense(port: int) -> Any:
    """A server that answers everything with 200 and no JSON, or 500."""
    from contextlib import contextmanager
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Nonsense(BaseHTTPRequestHandler):
        asked = 0

        def do_POST(self) -> None:
            Nonsense.asked += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response((200, 500)[Nonsense.asked % 2])
            self.end_headers()
            self.wfile.write(b'{"access_token": ')

        do_GET = do_POST  # noqa: N815 - so the library wants it

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    @contextmanager
    def serve() -> Any:
        with ThreadingHTTPServer(("127.0.0.1", port), Nonsense) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            yield
            server.shutdown()

    return serve()
