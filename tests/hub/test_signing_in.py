"""Signing in and out, with our provider and with another: what a browser sees, and what an attacker does not get."""

from collections.abc import Callable

import httpx
import pytest

from tests.hubs import Hub, query


def test_who_signs_in_comes_to_the_page_that_was_asked_for(any_hub: Hub) -> None:
    page = any_hub.browser().sign_in("alice", "/hub/token")
    assert (page.status_code, page.url.path) == (200, "/hub/token")
    noted = any_hub.notes("sign-in")[-1]
    assert (noted["user"], noted["groups"], noted["admin"]) == ("alice", ["cms", "cms/italy"], False)


def test_who_is_in_an_admin_group_is_an_admin(any_hub: Hub) -> None:
    browser = any_hub.browser()
    browser.sign_in("carol")
    assert browser.get("/hub/admin").status_code == 200


def test_who_is_in_no_group_that_may_come_in_is_refused(any_hub: Hub) -> None:
    # dave is in cms-x, which only begins like a group that may.
    assert any_hub.browser().sign_in("dave").status_code == 403
    assert "dave" not in [note["user"] for note in any_hub.notes("sign-in")]


def test_a_callback_without_the_cookie_of_its_sign_in_is_refused(any_hub: Hub) -> None:
    address = any_hub.browser().callback("alice")
    assert httpx.get(address).status_code == 400


def test_a_callback_of_another_sign_in_is_refused(any_hub: Hub) -> None:
    mine, theirs = any_hub.browser(), any_hub.browser()
    mine.callback("alice")
    assert mine.get(theirs.callback("bob")).status_code == 400


@pytest.mark.parametrize("state", ["", "x", "%25{}", "{}x", "{}="])
def test_a_state_that_is_not_the_one_sent_is_refused(any_hub: Hub, state: str) -> None:
    browser = any_hub.browser()
    address = httpx.URL(browser.callback("alice"))
    changed = address.copy_set_param("state", state.format(query(str(address))["state"]))
    assert browser.get(str(changed)).status_code == 400


def test_a_callback_works_once(any_hub: Hub) -> None:
    browser = any_hub.browser()
    address = browser.callback("alice")
    assert browser.get(address).status_code == 302
    assert browser.get(address).status_code == 400


@pytest.mark.parametrize("code", ["bogus", "\N{SNOWMAN}", "x" * 3000])
def test_a_code_that_the_provider_did_not_give_is_refused(any_hub: Hub, code: str) -> None:
    browser = any_hub.browser()
    address = httpx.URL(browser.callback("alice")).copy_set_param("code", code)
    assert browser.get(str(address)).status_code == 403


def test_a_stolen_code_is_worth_nothing_to_another_sign_in(any_hub: Hub) -> None:
    # The verifier that belongs to it is in the victim's cookie.
    victim, thief = any_hub.browser(), any_hub.browser()
    stolen = query(victim.callback("alice"))["code"]
    address = httpx.URL(thief.callback("bob")).copy_set_param("code", stolen)
    assert thief.get(str(address)).status_code == 403


def test_what_the_provider_says_of_an_error_is_shown_as_text(any_hub: Hub) -> None:
    browser = any_hub.browser()
    state = query(browser.callback("alice"))["state"]
    said = {"state": state, "error": "access_denied", "error_description": "<script>alert(1)</script> 100%s"}
    page = browser.get("/hub/oauth_callback", params=said)
    assert page.status_code == 403
    assert "access_denied" in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert" not in page.text


def test_an_error_without_its_sign_in_is_not_shown(any_hub: Hub) -> None:
    page = any_hub.browser().get("/hub/oauth_callback", params={"error": "x", "error_description": "Call this number"})
    assert page.status_code == 400
    assert "Call this number" not in page.text


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/x",
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "///evil.example",
        "/hub//evil.example",
        "http:evil.example",
        "\\\\evil.example",
    ],
)
def test_no_page_leads_to_another_host_after_signing_in(any_hub: Hub, following: str) -> None:
    browser = any_hub.browser()
    reply = browser.get(browser.callback("alice", following))
    assert reply.status_code == 302
    assert reply.url.join(reply.headers["location"]).netloc == httpx.URL(any_hub.url).netloc


def test_cookies_are_for_the_hub_alone(any_hub: Hub) -> None:
    browser = any_hub.browser()
    begun = browser.get("/hub/oauth_login").headers.get_list("set-cookie")
    begun += browser.get(browser.callback("alice")).headers.get_list("set-cookie")
    named = {one.partition("=")[0]: one for one in reversed(begun)}  # the first is the one that is set, the last one clears it
    for name in ("oauthenticator-state", "jupyterhub-hub-login"):
        assert "HttpOnly" in named[name]
        assert "SameSite=Lax" in named[name]
    assert "Path=/hub/" in named["jupyterhub-hub-login"]


def test_cookies_of_a_hub_on_tls_stay_on_tls(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub("c.JupyterHub.public_url = 'https://hub.example.org/'\n")
    cookies = hub.browser().get("/hub/oauth_login").headers.get_list("set-cookie")
    assert cookies
    assert all("Secure" in cookie for cookie in cookies)


def test_the_cookie_of_who_signed_out_is_dead_in_every_browser(any_hub: Hub) -> None:
    first, second = any_hub.browser(), any_hub.browser()
    first.sign_in("bob")
    second.sign_in("bob")
    copied = {"Cookie": first.cookies}
    assert httpx.get(f"{any_hub.url}/hub/home", headers=copied).status_code == 200
    first.get("/hub/logout")
    assert httpx.get(f"{any_hub.url}/hub/home", headers=copied).headers["location"].startswith("/hub/login")
    assert second.get("/hub/home").headers["location"].startswith("/hub/login")
    assert any_hub.notes("sign-out")[-1]["user"] == "bob"
    assert second.sign_in("bob").status_code == 200


def test_a_change_without_the_page_that_it_comes_from_is_refused(any_hub: Hub) -> None:
    browser = any_hub.browser()
    browser.sign_in("alice")
    url = f"{any_hub.url}/hub/api/users/alice/server"
    assert browser.client.post(url, json={}, headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.client.post(url, json={}).status_code == 403


def test_nothing_secret_stands_in_the_log_or_in_a_page(any_hub: Hub) -> None:
    browser = any_hub.browser()
    address = browser.callback("alice")
    page = browser.follow(browser.get(address))
    refused = browser.get(address)
    code, cookies = query(address)["code"], {cookie.name: cookie.value or "" for cookie in browser.client.cookies.jar}
    said = any_hub.program.said() + page.text + refused.text
    secret = (any_hub.folder / "client.secret").read_text()
    # The id of the session, which the hub does log, opens nothing.
    for it in (code, secret, "refresh_token", "eyJ", cookies["jupyterhub-hub-login"]):
        assert it not in said
