"""The pages of the hub: for everybody, without scripts, and with nothing in them that could become one."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from jupyter_dodas.hub.spawner import DodasSpawner
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, Hub

SHOWN: Final = """
c.JupyterHub.allow_named_servers = True
c.DodasSpawner.limits = {"cms": {"cores": 32, "memory": "96 GiB"}}
c.DodasSpawner.profiles = [
    {"name": "small", "title": "Small", "description": "For trying things out."},
    {"name": "large", "title": "Large <b>", "cores": [2, 4], "memory": ["4 GiB", "8 GiB"]},
]
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub(SHOWN) as made:
        yield made


@pytest.fixture(scope="module")
def alice(hub: Hub) -> Browser:
    browser = hub.browser()
    browser.sign_in("alice")
    return browser


class Markup(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [about for tag, about in self.elements if tag in tags]


PAGES: Final[dict[str, tuple[str, int]]] = {
    "login": ("/hub/login", 200),
    "home": ("/hub/home", 200),
    "spawn": ("/hub/spawn", 200),
    "not running": ("/hub/user/alice/lab", 424),
    "nothing here": ("/hub/nothing", 404),
    "not mine": ("/hub/user/bob/", 404),
    "starting": ("/hub/spawn-pending/alice/slow", 200),
    "signed out": ("/hub/logout", 200),
}


@pytest.fixture(scope="module")
def pages(hub: Hub) -> dict[str, httpx.Response]:
    """Every page, as a browser gets it."""
    browser, stranger = hub.browser(), hub.browser()
    browser.sign_in("alice")
    wait = hub.folder / "state" / "users" / "alice" / "home" / "wait"
    wait.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    wait.touch()
    browser.api("POST", "/users/alice/servers/slow", json={"profile": "small"})
    blocking_until(lambda: "Server answers" in browser.get("/hub/spawn-pending/alice/slow").text, within=60)
    found = {name: (stranger if name == "login" else browser).get(path) for name, (path, _) in PAGES.items()}
    wait.unlink()
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_there_for_everybody(pages: dict[str, httpx.Response], name: str) -> None:
    page = pages[name]
    assert page.status_code == PAGES[name][1]
    found = Markup(page.text)
    assert found.all("html")[0]["lang"] == "en"
    assert [len(found.all(tag)) for tag in ("title", "main", "h1")] == [1, 1, 1]
    assert {about["href"] for about in found.all("a") if about.get("class") == "skip"} == {"#main"}
    labelled = {about.get("for") for about in found.all("label")}
    named = [about for about in found.all("input", "select") if about.get("type") != "hidden"]
    wrapped = re.findall(r"<label>[^<]*<select name=\"([^\"]+)\"", page.text)
    assert all(about.get("id") in labelled or about.get("name") in wrapped for about in named)
    identifiers = [about["id"] for _, about in found.elements if "id" in about]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("name", PAGES)
def test_nothing_in_a_page_can_become_a_script(hub: Hub, pages: dict[str, httpx.Response], name: str) -> None:
    page = pages[name]
    found = Markup(page.text)
    policy = next(about["content"] for about in found.all("meta") if about.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not found.all("style")
    assert all(about.get("src") for about in found.all("script"))
    for tag, about in found.elements:
        assert not [name for name in about if name == "style" or name.startswith("on")], (tag, about)
        for address in (about.get(name, "") for name in ("src", "href", "action")):
            assert httpx.URL(hub.url).join(address).netloc == httpx.URL(hub.url).netloc, "all comes from the hub, and leads there"
    for about in found.all("script", "link"):
        if "dodas" in (address := about.get("src") or about["href"]):
            reply = httpx.get(httpx.URL(hub.url).join(address))
            assert (reply.status_code, reply.headers["x-content-type-options"]) == (200, "nosniff")


def test_the_first_page_says_what_it_is_where_one_is_sent_and_what_is_not_protected(pages: dict[str, httpx.Response]) -> None:
    page = pages["login"].text
    assert "Sign in with INDIGO IAM" in page
    assert "You will be sent to 127.0.0.1" in page
    assert "What the hub learns about you" in page
    assert "Everybody works as one account of this machine" in page


def test_what_becomes_of_files_is_told(pages: dict[str, httpx.Response], make_hub: Callable[..., Hub]) -> None:
    assert "Your files are kept." in pages["not running"].text
    assert "Files end" not in pages["spawn"].text + pages["home"].text
    other = make_hub(SHOWN + 'c.JupyterHub.template_vars = {"files_end": True}\n').browser()
    other.sign_in("alice")
    assert "Its files have ended with it." in other.get("/hub/user/alice/lab").text
    for page in ("/hub/spawn", "/hub/home"):
        assert "this hub keeps none" in other.get(page).text


@pytest.mark.parametrize(
    ("where", "end"),
    [
        ({"backend": "local"}, False),
        ({"backend": "kubernetes"}, True),
        ({"backend": "kubernetes", "home_size": "10Gi"}, False),
        ({"backend": "kubernetes", "make_namespaces": False}, None),
    ],
)
def test_files_end_with_pods_that_have_no_volume(where: dict[str, Any], end: bool | None) -> None:
    assert DodasSpawner(account="", **where).files_end({}) is end


def test_who_starts_is_greeted_and_told_what_is_free(pages: dict[str, httpx.Response]) -> None:
    page = pages["spawn"].text
    assert '<h1 data-greet="Alice">' in page
    assert "cms · 32 cores and 96 GiB free" in page
    assert "Large &lt;b&gt;" in page


def test_who_waits_sees_steps_and_can_cancel(pages: dict[str, httpx.Response]) -> None:
    page = pages["starting"].text
    assert re.search(r'aria-current="step">.*Server answers', page)
    assert "Opening" in page
    assert re.search(r"<button[^>]*>Cancel", page)


def test_all_goes_by_forms_alone(hub: Hub) -> None:
    bob = hub.browser()
    page = bob.sign_in("bob", "/hub/spawn")
    assert page.status_code == 200
    started = bob.press(page, "Start", profile="large", **{"large.cores": "4"})
    assert "_xsrf" not in str(started.url)
    home = blocking_until(lambda: bob.get("/hub/home"), within=60, meets=lambda found: ">Running<" in found.text)
    bob.press(home, "Stop")
    blocking_until(lambda: ">Not running<" in bob.get("/hub/home").text, within=30)
    page = bob.get("/hub/spawn")
    assert "Large &lt;b&gt;" in page.text
    assert "last used" in page.text
    assert re.search(r"Usually [\d.]+ s\.", page.text)
    assert 'value="4" selected' in page.text
    # Another one, with a name of its own, which can be removed again.
    page = bob.press(bob.get("/hub/home"), "Start", name="second")
    assert page.url.path == "/hub/spawn/bob/second"
    bob.press(page, "Start", profile="small")
    home = blocking_until(lambda: bob.get("/hub/home"), within=60, meets=lambda found: ">Running<" in found.text)
    bob.press(home, "Stop")
    home = blocking_until(lambda: bob.get("/hub/home"), within=30, meets=lambda found: "Delete" in found.text)
    assert "second" not in bob.press(home, "Delete").text


def test_a_button_takes_only_whom_the_page_is_of(hub: Hub, alice: Browser) -> None:
    url = f"{hub.url}/hub/dodas/stop/alice/"
    assert alice.client.post(url).status_code == 403, "not from a page of the hub"
    token = {"_xsrf": next(cookie.value or "" for cookie in alice.client.cookies.jar if cookie.name == "_xsrf")}
    assert alice.client.post(f"{hub.url}/hub/dodas/stop/bob/", data=token).status_code in {403, 404}
    assert httpx.post(url, data=token).status_code == 403


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/hub/nothing", "No page at this address is yours to see."),
        ("/hub/admin", "This is not allowed"),
        ("/hub/spawn/nobody", "There is nothing here"),
    ],
)
def test_an_error_is_told_without_its_insides(hub: Hub, alice: Browser, path: str, words: str) -> None:
    page = alice.follow(alice.get(path))
    assert words in page.text
    assert "Traceback" not in page.text


def test_who_may_not_come_in_is_told_what_to_do(hub: Hub) -> None:
    assert "none of your groups may use this hub" in hub.browser().sign_in("dave").text


def test_pages_of_jupyterhub_itself_go_on(hub: Hub) -> None:
    carol = hub.browser()
    carol.sign_in("carol")
    for path, sign in (("/hub/token", 'id="request-token-form"'), ("/hub/admin", 'id="react-admin-hook"')):
        page = carol.get(path)
        assert page.status_code == 200
        assert sign in page.text
        assert "object-src 'none'" in page.text
        assert page.headers["x-content-type-options"] == "nosniff"
    assert carol.api("GET", "/users").is_success


# -- colours -----------------------------------------------------------------------------------------------------------------


def themes() -> list[dict[str, str]]:
    import jupyter_dodas.hub

    sheet = (Path(jupyter_dodas.hub.__file__).parent / "static" / "hub.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[:2]
    first = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", light))
    return [first, {**first, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", dark))}]


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_colours_can_be_told_apart(theme: dict[str, str]) -> None:
    texts = [(ink, ground) for ink in ("ink", "soft", "brand") for ground in ("bg", "bg2")]
    texts += [("on-brand", "brand"), *((ink, "bg") for ink in ("ok", "warn", "bad"))]
    for ink, ground in texts:
        assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
    assert contrast(theme["edge"], theme["bg"]) >= 3, "what can be operated has an edge that can be seen"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
