"""Tokens for what people run: what a server can have, and what nobody can."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt
import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub

Make = Callable[..., Hub]

STORAGE = "https://storage.example.org"


@pytest.fixture(scope="module")
def alice(hub: Hub) -> Browser:
    """A browser whose user has a server."""
    browser = hub.browser()
    browser.sign_in("alice")
    browser.spawn("alice")
    return browser


def ask(variables: Mapping[str, str], **asked: Any) -> httpx.Response:
    headers = {"Authorization": f"token {variables['JUPYTERHUB_API_TOKEN']}"}
    return httpx.post(f"{variables['JUPYTERHUB_API_URL']}/dodas/token", headers=headers, json=asked)


def test_a_server_gets_a_token_for_an_audience_of_the_policy(hub: Hub, alice: Browser) -> None:
    reply = ask(alice.variables("alice"), audience=STORAGE, scopes=["storage.read:/cms/mc"])
    given = reply.json()
    assert reply.headers["cache-control"] == "no-store"
    assert set(given) == {"access_token", "token_type", "expires_in", "audience", "scope"}
    claims = jwt.decode(given["access_token"], options={"verify_signature": False})
    assert claims["aud"] == STORAGE
    assert given["scope"] == "storage.read:/cms/mc"
    assert given["expires_in"] > 1800
    noted = hub.notes("token")[-1]
    assert (noted["user"], noted["audience"], noted["scopes"]) == ("alice", STORAGE, ["storage.read:/cms/mc"])


def test_who_asks_again_gets_the_token_that_lasts(hub: Hub, alice: Browser) -> None:
    variables = alice.variables("alice")
    first, granted = ask(variables).json(), hub.iam.program.said().count("200 POST /token")
    assert ask(variables).json()["access_token"] == first["access_token"]
    assert hub.iam.program.said().count("200 POST /token") == granted


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"audience": "https://elsewhere.example.org"}, 403),
        ({"scopes": ["storage.modify:/"]}, 403),
        ({"scopes": ["storage.read:/"]}, 403),
        ({"scopes": ["storage.read:/cms-x"]}, 403),
        ({"scopes": ["storage.read:/cms/../atlas"]}, 403),
        ({"scopes": ["storage.read:/cms/%2e%2e/atlas"]}, 403),
        ({"scopes": ["offline_access"]}, 403),
        ({"scopes": ["openid"]}, 403),
        ({"scopes": ["storage.read:/cms offline_access"]}, 400),
        ({"scopes": "storage.read:/cms"}, 400),
        ({"scopes": ["x" * 301]}, 400),
        ({"scopes": ["storage.read:/cms"] * 51}, 400),
        ({"user": "bob"}, 403),
        ({"audience": None}, 400),
    ],
)
def test_more_than_the_policy_lists_is_refused(alice: Browser, asked: dict[str, Any], status: int) -> None:
    reply = ask(alice.variables("alice"), **asked)
    assert reply.status_code == status
    assert "access_token" not in reply.text


def test_only_a_token_of_the_hub_opens_the_desk(hub: Hub, alice: Browser) -> None:
    url = f"{hub.url}/hub/api/dodas/token"
    assert httpx.post(url, json={}).status_code == 403
    assert httpx.post(url, json={}, headers={"Authorization": "token wrong"}).status_code == 403
    # A cookie is what a page of somebody else could make a browser send.
    assert alice.api("POST", "/dodas/token").status_code == 403
    assert alice.get("/hub/api/dodas/token").status_code in {403, 405}


def test_a_token_of_the_hub_without_the_scope_opens_nothing(hub: Hub, alice: Browser) -> None:
    made = alice.api("POST", "/users/alice/tokens", json={"scopes": ["read:users!user"]}).json()
    reply = httpx.post(f"{hub.url}/hub/api/dodas/token", json={}, headers={"Authorization": f"token {made['token']}"})
    assert reply.status_code == 403
    assert "custom:dodas:tokens" in reply.text


def test_a_token_of_the_hub_that_has_expired_opens_nothing(hub: Hub, alice: Browser) -> None:
    made = alice.api("POST", "/users/alice/tokens", json={"expires_in": 1}).json()
    headers = {"Authorization": f"token {made['token']}"}

    def status() -> int:
        return httpx.post(f"{hub.url}/hub/api/dodas/token", json={}, headers=headers).status_code

    assert status() == 200
    blocking_until(status, within=10, meets=lambda found: found == 403)


def test_who_was_here_before_is_refused_once_their_token_is_revoked(hub: Hub, alice: Browser) -> None:
    made = alice.api("POST", "/users/alice/tokens", json={}).json()
    headers = {"Authorization": f"token {made['token']}"}

    def status(**asked: Any) -> int:
        return httpx.post(f"{hub.url}/hub/api/dodas/token", json=asked, headers=headers).status_code

    assert [status(), status(), status(audience="https://elsewhere.example.org"), status()] == [200, 200, 403, 200]
    assert alice.api("DELETE", f"/users/alice/tokens/{made['id']}").status_code == 204
    assert [status(), status()] == [403, 403]


def test_a_server_has_no_way_to_a_refresh_token(hub: Hub, alice: Browser) -> None:
    variables = alice.variables("alice")
    secret = (hub.folder / "client.secret").read_text()
    assert secret not in json.dumps(dict(variables))
    assert "refresh_token" not in json.dumps(dict(variables))
    headers = {"Authorization": f"token {variables['JUPYTERHUB_API_TOKEN']}"}
    for path in ("/user", "/users/alice", "/users/bob"):
        reply = httpx.get(variables["JUPYTERHUB_API_URL"] + path, headers=headers)
        assert reply.status_code in {403, 404} or not reply.json().get("auth_state")


def test_a_program_gets_a_token_in_one_line(alice: Browser) -> None:
    code = (
        "import jupyter_dodas.iam as iam\n"
        "one = iam.token()\n"
        "assert one == iam.token() != iam.token(scopes=['storage.read:/cms/data'])\n"
        "try: iam.token(audience='https://elsewhere.example.org')\n"
        "except Exception as error: print(one.count('.'), error)\n"
    )
    variables = alice.variables("alice")
    ran = subprocess.run([sys.executable, "-c", code], env=dict(variables), capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("2 The identity provider refused: no token for this\n")
    assert "hint: " in ran.stdout


def test_the_server_of_who_has_signed_out_gets_nothing(make_hub: Make) -> None:
    hub = make_hub("c.JupyterHub.shutdown_on_logout = False\n")
    browser = hub.browser()
    browser.sign_in("alice")
    browser.spawn("alice")
    variables = browser.variables("alice")
    given = ask(variables).json()
    assert httpx.get(f"{hub.iam.issuer}userinfo", headers={"Authorization": f"Bearer {given['access_token']}"}).status_code == 401
    browser.get("/hub/logout")
    refused = ask(variables)
    assert refused.status_code == 403
    assert "access_token" not in refused.text


@pytest.mark.parametrize(("profile", "by_exchange"), [("wlcg", True), ("aarc", False)])
def test_other_profiles_and_ways_of_delegation_give_the_same(make_hub: Make, profile: str, by_exchange: bool) -> None:
    lines = f"c.IAMAuthenticator.auth_refresh_age = 1\nc.IAMAuthenticator.by_exchange = {by_exchange}\n"
    lines += "c.IAMAuthenticator.scope = ['openid', 'profile', 'offline_access', 'wlcg.groups', 'storage.read:/cms']\n"
    hub = make_hub(lines, profile=profile)
    browser = hub.browser()
    browser.sign_in("alice")
    assert hub.notes("sign-in")[-1]["groups"] == ["cms", "cms/italy"]
    assert hub.browser().sign_in("dave").status_code == 403
    browser.spawn("alice")
    given = ask(browser.variables("alice")).json()
    claims = jwt.decode(given["access_token"], options={"verify_signature": False})
    assert claims["aud"] == STORAGE
    assert claims.get("scope", "storage.read:/cms") == "storage.read:/cms"
    assert ("act" in claims) == by_exchange
    # Userinfo of wlcg repeats what the access token says: the groups are those of a new one.
    hub.iam.change("alice", groups=["atlas"])
    blocking_until(lambda: browser.get("/hub/home").is_redirect, within=10)


def test_a_server_outlives_many_tokens(make_hub: Make) -> None:
    # The week of 168 lifetimes passes under a moved clock, in the unit tests; this is the same with nothing but real seconds.
    hub = make_hub("c.IAMAuthenticator.auth_refresh_age = 1\n", lifetimes={"access": 2, "id": 2, "refresh": 8})
    browser = hub.browser()
    browser.sign_in("alice")
    browser.spawn("alice")
    variables = browser.variables("alice")
    blocking_until(lambda: hub.iam.program.said().count("200 POST /token"), within=60, meets=lambda granted: granted > 16)
    assert browser.get("/hub/home").status_code == 200
    assert ask(variables).status_code == 200
    assert browser.get("/user/alice/x").status_code == 200
    assert hub.notes("access-lost") == []


MAKER = """
c.JupyterHub.services = [{"name": "maker", "api_token": "maker-" + "0" * 40}, {"name": "other", "api_token": "other-" + "0" * 40}]
c.JupyterHub.load_roles = [*c.JupyterHub.load_roles, {"name": "maker", "scopes": ["custom:dodas:tokens"], "services": ["maker"]}]
"""


def test_a_service_gets_tokens_of_whom_it_names_and_of_nobody_else(make_hub: Make) -> None:
    hub = make_hub(MAKER)
    browser = hub.browser()
    browser.sign_in("alice")

    def asked(who: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"token {who}-{'0' * 40}"}
        return httpx.post(f"{hub.url}/hub/api/dodas/token", headers=headers, json=body, timeout=60)

    given = asked("maker", user="alice", audience=STORAGE)
    assert given.status_code == 200, given.text
    claims = jwt.decode(given.json()["access_token"], options={"verify_signature": False})
    assert claims["aud"] == STORAGE
    noted = hub.notes("token")[-1]
    assert (noted["user"], noted["whom"]) == ("alice", "service maker")
    assert asked("maker", user="bob").status_code == 404
    assert asked("maker").status_code == 403
    assert asked("other", user="alice").status_code == 403
    made = browser.api("POST", "/users/alice/tokens", json={}).json()["token"]
    headers = {"Authorization": f"token {made}"}
    assert httpx.post(f"{hub.url}/hub/api/dodas/token", headers=headers, json={"user": "bob"}).status_code == 403
    assert httpx.post(f"{hub.url}/hub/api/dodas/token", headers=headers, json={"user": "alice"}).status_code == 200
    # Who has signed out gives none, whoever asks.
    browser.get("/hub/logout")
    assert asked("maker", user="alice", audience=STORAGE).status_code == 403
