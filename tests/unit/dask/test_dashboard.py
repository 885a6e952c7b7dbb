"""The dashboard opens to a token, or to a browser with a code, and to nobody else."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx
import pytest
from dask_processes import Processes
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from jupyter_dodas.services.dask.signin import DASHBOARD, LIFETIME, Purpose, make, read

pytestmark = pytest.mark.anyio

PAGES = ["/", "/status", "/health", "/metrics", "/info/main/workers.html", "/json/counts.json", "/statics/css/base.css"]
SECRET = b"correct horse battery staple"


@pytest.fixture
def browser(shared: Processes) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.addresses["dashboard"], timeout=30) as browser:
        yield browser


@pytest.fixture
def token(shared: Processes) -> str:
    return (shared.site.secrets / DASHBOARD).read_text().strip()


def sign_in(browser: httpx.Client, token: str) -> httpx.Response:
    return browser.get("/login", params={"code": make(token.encode(), Purpose.CODE, time.time())})


def is_loaded(cluster: Processes) -> bool:
    return "The dashboard is loaded" in cluster.log("scheduler")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "dodas-higgs=1.2.3"}])
@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/eventstream", "/login"])
def test_a_stranger_is_told_how_to_get_in(browser: httpx.Client, path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST", "HEAD"):
        reply = browser.request(method, path, headers=headers)
        assert reply.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.METHOD_NOT_ALLOWED)
    reply = browser.get(path, headers=headers)
    assert reply.status_code == HTTPStatus.UNAUTHORIZED
    assert "cluster.dashboard()" in reply.text
    assert not reply.headers.get("Set-Cookie")


def test_a_program_shows_the_token(browser: httpx.Client, token: str) -> None:
    browser.headers["Authorization"] = f"Bearer {token}"
    for path in PAGES:
        reply = browser.get(path, follow_redirects=True)
        assert reply.status_code == HTTPStatus.OK, path
    assert "bokeh" in browser.get("/status").text.lower()
    assert browser.get("/nowhere").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["/api/v1/retire_workers", "/api/v1/get_workers", "/proxy/1/127.0.0.1/status", "/jupyter/"])
def test_nothing_behind_it_acts_or_leads_elsewhere(browser: httpx.Client, token: str, path: str) -> None:
    for method in ("GET", "POST"):
        reply = browser.request(method, path, headers={"Authorization": f"Bearer {token}"}, json={})
        assert reply.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def test_a_browser_signs_in_once_with_a_code(browser: httpx.Client, token: str) -> None:
    reply = sign_in(browser, token)
    assert (reply.status_code, reply.headers["Location"]) == (HTTPStatus.FOUND, "status")
    cookie = reply.headers["Set-Cookie"]
    assert cookie.startswith("dodas-higgs=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert token not in str(reply.headers) + reply.text
    assert browser.get("/status").status_code == HTTPStatus.OK

    with httpx.Client(base_url=browser.base_url) as another:
        assert another.get(reply.request.url).status_code == HTTPStatus.UNAUTHORIZED, "the same code again"
        assert another.get("/status").status_code == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("age", [-60, LIFETIME[Purpose.CODE] + 1])
def test_a_code_for_another_time_is_refused(browser: httpx.Client, token: str, age: float) -> None:
    code = make(token.encode(), Purpose.CODE, time.time() - age)
    assert browser.get("/login", params={"code": code}).status_code == HTTPStatus.UNAUTHORIZED


def test_a_code_from_before_the_scheduler_started_is_refused(fresh: Callable[..., Processes]) -> None:
    cluster = fresh()
    secret = (cluster.site.secrets / DASHBOARD).read_bytes()
    code = make(secret, Purpose.CODE, time.time() - 5)
    cluster.start("scheduler")
    transport = httpx.HTTPTransport(retries=7)
    with httpx.Client(base_url=cluster.addresses["dashboard"], transport=transport) as browser:
        assert browser.get("/login", params={"code": code}).status_code == HTTPStatus.UNAUTHORIZED
        assert sign_in(browser, secret.decode()).status_code == HTTPStatus.FOUND
        assert browser.get("/health").status_code == HTTPStatus.OK
    assert not is_loaded(cluster), "nobody has looked at a page yet"


async def test_websockets_are_locked_too(shared: Processes, browser: httpx.Client, token: str) -> None:
    address = shared.addresses["dashboard"].replace("http", "ws")
    cookie = {"Cookie": sign_in(browser, token).headers["Set-Cookie"].partition(";")[0]}
    for path in ("/eventstream", "/status/ws"):
        for headers in ({}, cookie | {"Origin": "http://127.0.0.1:1"}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(address + path, additional_headers=headers)
            assert refused.value.response.status_code == HTTPStatus.UNAUTHORIZED
    origin = {"Origin": shared.addresses["dashboard"]}
    async with connect(f"{address}/eventstream", additional_headers=cookie | origin) as events:
        assert json.loads(await events.recv())["name"] == "add_worker"


async def test_a_page_lives_over_its_websocket(shared: Processes, browser: httpx.Client, token: str) -> None:
    sign_in(browser, token)
    session = re.search(r'"token":"([^"]+)"', (await asyncio.to_thread(browser.get, "/status")).text)
    assert session, "the page has a session"
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    async with connect(
        f"{shared.addresses['dashboard'].replace('http', 'ws')}/status/ws",
        additional_headers={"Cookie": cookie},
        subprotocols=[Subprotocol("bokeh"), Subprotocol(session[1])],
    ) as page:
        assert json.loads(await page.recv())["msgtype"] == "ACK"


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_word_is_good_for_its_time_and_purpose_and_secret(purpose: Purpose) -> None:
    text = make(SECRET, purpose, now=1000)
    word = read(SECRET, purpose, text, now=1001)
    assert word is not None
    assert (word.made, word.expires) == (1000, 1000 + LIFETIME[purpose])
    assert read(SECRET, purpose, text, now=1000 + LIFETIME[purpose]) is None
    assert read(SECRET, purpose, text, now=900) is None
    assert read(b"another", purpose, text, now=1001) is None
    assert not [other for other in Purpose if other is not purpose and read(SECRET, other, text, now=1001)]
    assert text != make(SECRET, purpose, now=1000)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "1", "9999999999.nonce", "9999999999.nonce.0", "é.é.é", "9999999999..", "x.y." + "0" * 64]
)
def test_what_was_not_made_with_the_secret_is_no_word(text: str) -> None:
    assert read(SECRET, Purpose.CODE, text, now=1000) is None
