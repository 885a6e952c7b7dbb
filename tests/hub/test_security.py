"""Every door of the hub: closed without credentials, with somebody else's, with expired ones; nothing secret in what it says."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import httpx
import pytest
from jupyterhub import apihandlers, handlers  # type: ignore[import-untyped]

from jupyter_dodas.hub import pages, servers
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub

METHODS: Final = ("get", "post", "put", "patch", "delete")

# -- case 24: every route -------------------------------------------------------------------------------------------------------

OPEN: Final = (
    "/login",
    "/logout",
    "/health",
    "/api/health",
    "/api/",
    "/error/404",
    "/static/css/style.min.css",
    "/dodas/static/hub.css",
    "/security/csp-report",
    "/oauth_login",
)
"""For everybody: nothing about anybody stands there."""

OWN: Final = (
    "/",
    "/home",
    "/spawn",
    "/token",
    "/accept-share",
    "/user-redirect/lab",
    "/dodas/start",
    "/api/user",
    "/api/oauth2/authorize",
    "/api/oauth2/token",
    "/oauth_callback",
    "/api/dodas/token",
    "/api/authorizations/token",
    # Numbers for Prometheus, which the hub gives to whoever has the scope for them.
    "/metrics",
    "/api/metrics",
)
"""For whoever has signed in, about themselves."""

HERS: Final = (
    "/user/alice/lab",
    "/spawn/alice",
    "/spawn/alice/x",
    "/spawn-pending/alice",
    "/spawn-pending/alice/x",
    "/dodas/stop/alice/",
    "/api/users/alice",
    "/api/users/alice/server",
    "/api/users/alice/server/progress",
    "/api/users/alice/servers/x",
    "/api/users/alice/servers/x/progress",
    "/api/users/alice/tokens",
    "/api/users/alice/tokens/a1",
    "/api/users/alice/activity",
    "/api/users/alice/admin-access",
    "/api/users/alice/shared",
    "/api/users/alice/shared/alice/x",
    "/api/shares/alice",
    "/api/shares/alice/x",
    "/api/share-codes/alice",
    "/api/share-codes/alice/x",
    "/api/authorizations/token/x",
    "/api/authorizations/cookie/x",
)
"""For alice alone, and for administrators."""

ADMINS: Final = (
    "/admin",
    "/api/shutdown",
    "/api/info",
    "/api/proxy",
    "/api/users",
    "/api/groups",
    "/api/groups/cms",
    "/api/groups/cms/users",
    "/api/groups/cms/properties",
    "/api/groups/cms/shared",
    "/api/groups/cms/shared/alice/x",
    "/api/services",
    "/api/services/x",
)

FILTERED: Final = {("get", "/api/users"), ("get", "/api/groups"), ("get", "/api/services")}
"""Lists, which show to each what they may see."""


NOT_SERVED: Final = {("post", "/api/authorizations/token/x")}
"""What JupyterHub only seems to serve: its POST knows no such path, and ends as an error."""


def table() -> list[tuple[str, Any]]:
    """Every route of JupyterHub and of ours, below the prefix of the hub."""
    ours = [*pages.routes(), *servers.routes()]
    return [(route[0], route[1]) for route in [*ours, *handlers.default_handlers, *apihandlers.default_handlers]]


def route_of(path: str) -> Any:
    return next((handler for pattern, handler in table() if re.fullmatch(pattern.rstrip("$"), path)), None)


def doors(*paths: str) -> Iterator[tuple[str, str]]:
    """Every method that is served at these paths."""
    for path in paths:
        handler = route_of(path)
        for method in METHODS:
            served = handler is None or getattr(handler, method).__qualname__ != f"RequestHandler.{method}"
            if served and (method, path) not in NOT_SERVED:
                yield method, path


def test_the_table_names_every_route() -> None:
    samples = (*OPEN, *OWN, *HERS, *ADMINS)
    without = [pattern for pattern, _ in table() if not any(re.fullmatch(pattern.rstrip("$"), path) for path in samples)]
    assert without in ([], [""])  # the bare prefix only adds its slash


@pytest.fixture(scope="module")
def alice(hub: Hub) -> Browser:
    browser = hub.browser()
    browser.sign_in("alice")
    assert browser.spawn("alice").is_success
    return browser


def is_refused(reply: httpx.Response) -> bool:
    """Whether nothing was shown or done: an error of whoever asks, or the way to sign in."""
    if reply.is_redirect:
        return reply.headers["location"].startswith(("/hub/login", "/hub/oauth_login"))
    return 400 <= reply.status_code < 500


def tried(hub: Hub, asked: Iterator[tuple[str, str]], headers: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """The doors that did not stay shut."""
    found = []
    with httpx.Client(base_url=f"{hub.url}/hub", headers=dict(headers), timeout=30) as client:
        for method, path in asked:
            reply = client.request(method.upper(), path, json=None if method == "get" else {})
            if not is_refused(reply):
                found.append((method, path, reply.status_code))
    return found


def test_case_24_no_door_opens_without_credentials(hub: Hub, alice: Browser) -> None:
    assert tried(hub, doors(*OWN, *HERS, *ADMINS), {}) == []
    open_doors = [door for door in doors(*OPEN) if door[0] == "get"]
    shown = {path: httpx.get(f"{hub.url}/hub{path}") for _, path in open_doors}
    assert all("alice" not in reply.text for reply in shown.values())


def test_case_24_no_door_of_hers_opens_to_somebody_else(hub: Hub, alice: Browser) -> None:
    bob = hub.browser()
    bob.sign_in("bob")
    token = next(cookie.value or "" for cookie in bob.client.cookies.jar if cookie.name == "_xsrf")
    headers = {"Cookie": bob.cookies, "X-XSRFToken": token}
    closed = [door for door in doors(*HERS, *ADMINS) if door not in FILTERED]
    assert tried(hub, iter(closed), headers) == []
    for _, path in FILTERED:
        assert "alice" not in httpx.get(f"{hub.url}/hub{path}", headers=headers).text
    made = bob.api("POST", "/users/bob/tokens", json={}).json()["token"]
    assert tried(hub, iter(closed), {"Authorization": f"token {made}"}) == []
    assert alice.get("/user/alice/x").status_code == 200, "hers goes on"


def test_case_24_no_door_opens_with_what_has_expired(hub: Hub) -> None:
    bob = hub.browser()
    bob.sign_in("bob")
    made = bob.api("POST", "/users/bob/tokens", json={"expires_in": 1}).json()["token"]
    token, cookies = {"Authorization": f"token {made}"}, {"Cookie": bob.cookies}
    assert httpx.get(f"{hub.url}/hub/home", headers=cookies).status_code == 200
    blocking_until(lambda: httpx.get(f"{hub.url}/hub/api/user", headers=token).status_code == 403, within=10)
    bob.get("/hub/logout")
    everything = (*OWN, *HERS, *ADMINS)
    assert tried(hub, doors(*everything), token) == []
    assert tried(hub, doors(*everything), cookies) == []


def test_case_13_every_reply_has_its_headers(hub: Hub, alice: Browser) -> None:
    for method, path in doors(*OPEN, *OWN, *HERS, *ADMINS):
        if method != "get" or path in ("/logout", "/static/css/style.min.css"):
            continue
        reply = alice.get(f"/hub{path}")
        assert reply.headers["x-content-type-options"] == "nosniff", path
        if "text/html" in reply.headers.get("content-type", "") and reply.text:
            assert "frame-ancestors 'none'" in reply.headers["content-security-policy"], path
            assert reply.headers["referrer-policy"] == "same-origin", path


# -- case 22: nothing secret in what is said ------------------------------------------------------------------------------------


def test_case_22_nothing_secret_stands_in_progress_events_addresses_or_logs(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub("c.DodasSpawner.profiles = [{'name': 'small', 'title': 'Small'}]\n")
    browser = hub.browser()
    addresses: list[str] = []
    browser.client.event_hooks["response"].append(lambda reply: addresses.append(str(reply.request.url)))
    back = browser.callback("alice")
    code = httpx.URL(back).params["code"]
    browser.follow(browser.get(back))
    browser.press(browser.get("/hub/spawn"), "Start", profile="small")
    progress = "/hub/api/users/alice/server/progress"
    events = blocking_until(lambda: browser.get(progress).text, within=60, meets=lambda said: "ready" in said)
    variables = browser.variables("alice")
    shown = "".join(browser.get(path).text for path in ("/hub/home", "/hub/token", "/hub/nothing"))
    browser.get("/hub/logout")
    cookies = {cookie.value or "" for cookie in browser.client.cookies.jar if "login" in cookie.name}
    secret = [
        variables["JUPYTERHUB_API_TOKEN"],
        (hub.folder / "client.secret").read_text(),
        *((hub.folder / "state" / name).read_text() for name in ("cookie.secret", "sessions.key", "proxy.token")),
        *cookies,
        "refresh_token",
        "eyJ",  # how every JSON Web Token begins
    ]
    audit = hub.audit.read_text()
    for what, said in {"events": events, "pages": shown, "log": hub.program.said(), "audit": audit}.items():
        assert [one for one in [code, *secret] if one and one in said] == [], what
    # The code is in the one address that the provider makes; nothing else is in any.
    assert [address for address in addresses if any(one in address for one in secret if one)] == []
    assert [address for address in addresses if code in address] == [back]


# -- case 25: what is not offered ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def offering() -> Iterator[Browser]:
    lines = "c.DodasSpawner.profiles = [{'name': 'one', 'title': 'One', 'images': ['good:1'], 'cores': [1, 2]}]\n"
    with Hub(lines) as hub:
        browser = hub.browser()
        browser.sign_in("alice")
        yield browser


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "evil:1"}, "image='evil:1' is not offered"),
        ({"cores": 64}, "cores=64 is not offered"),
        ({"memory": "1 TiB"}, "memory='1 TiB' is not offered"),
        ({"profile": "two"}, "There is no profile 'two'"),
        ({"command": ["sh"]}, "command=['sh'] is not offered"),
        ({"environment": {"image": "evil:1"}}, "environment="),
        ({"cores": [1]}, "cores=[1] is not offered"),
        ({"profile": {"a": 1}}, "There is no profile"),
    ],
)
def test_case_25_options_that_are_not_offered_are_refused_at_once(
    offering: Browser, options: Mapping[str, Any], words: str
) -> None:
    for body in (options, {"user_options": options, "display_name": ""}):
        reply = offering.api("POST", "/users/alice/server", json=body)
        assert reply.status_code == 400
        assert words in reply.json()["message"]
    assert offering.api("GET", "/users/alice").json()["servers"] == {}


# -- case 24: hosts of their own -----------------------------------------------------------------------------------------------

ON_HOSTS: Final = """
from urllib.parse import urlsplit
port = urlsplit(c.JupyterHub.bind_url).port
c.JupyterHub.subdomain_host = f"http://hub.localhost:{port}"
c.IAMAuthenticator.oauth_callback_url = f"http://hub.localhost:{port}/hub/oauth_callback"
"""


class ToLoopback(httpx.HTTPTransport):
    """Finds every name on this machine, as a browser does with those that end in localhost."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        there = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return super().handle_request(there)


def test_case_24_with_a_host_for_each_user_a_notebook_shares_no_cookie_with_the_hub(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(ON_HOSTS)
    hub.url = f"http://hub.localhost:{hub.port}"
    hub.iam.client["redirects"] = [f"{hub.url}/hub/oauth_callback"]
    hub.iam.write()
    alice = hub.browser()
    alice.client = httpx.Client(transport=ToLoopback(), timeout=60)
    assert alice.sign_in("alice").url.path == "/hub/home"
    assert alice.spawn("alice").is_success
    hers = f"http://alice.hub.localhost:{hub.port}"
    home = alice.get("/hub/home").text
    assert f'href="{hers}/user/alice/' in home
    assert alice.get(f"{hers}/user/alice/x").json()["user"] == "alice"
    # A page of her notebook, which could be anything, is nobody at the hub: all that goes to both hosts opens nothing.
    shared = [cookie for cookie in alice.client.cookies.jar if cookie.domain_specified]
    assert {cookie.name for cookie in shared} == {"jupyterhub-session-id"}
    with httpx.Client(transport=ToLoopback()) as page:
        sent = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in shared)}
        assert is_refused(page.get(f"{hers}/hub/home", headers=sent))
        assert is_refused(page.get(f"{hub.url}/hub/home", headers=sent))
    # Nor does its origin open the hub's API.
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in alice.client.cookies.jar if cookie.domain == "hub.localhost")
    headers = {"Cookie": cookies, "Origin": hers, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    assert alice.client.get(f"{hub.url}/hub/api/user", headers=headers).status_code == 403


def test_what_the_hub_refuses_says_so_in_json_to_programs(hub: Hub) -> None:
    reply = httpx.get(f"{hub.url}/hub/api/users/alice")
    assert json.loads(reply.text).keys() >= {"status", "message"}
