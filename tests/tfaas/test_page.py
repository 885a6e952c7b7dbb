"""The page of the server in a browser: what is said in each of its states, the whole way of a model, and that nobody is kept out.

`UPDATE_PICTURES=1 script/test tfaas` takes the pictures of the documentation anew.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, expect

from tests.browser.conftest import browser
from tests.browser.screen import PICTURES, window
from tests.lab.cards import AXE
from tests.tfaas.endpoint import KEYS, Endpoint

__all__ = ["browser"]

pytestmark = pytest.mark.timeout(300)

SOON: Final = 60_000
THEMES: Final = ("light", "dark")


@pytest.fixture(scope="module")
def endpoint(models: Path) -> Iterator[Endpoint]:
    """A server with a model for rows, of which a version is published and another is staged, and one for pictures."""
    with Endpoint() as made:
        note = "Nine topology inputs, split by event."
        first = made.deploy(
            "k0s", models / "net.tflite", keys=KEYS, note=note, metrics={"auc": 0.974}, packages={"keras": "3.15.0"}
        )
        made.publish("k0s", first)
        rows = [
            {"batch": n, "clients": c, "p50_ms": 0.2 * c, "p99_ms": 0.4 * c, "rows_per_second": 4600 * n}
            for n, c in ((1, 1), (1, 16), (256, 4))
        ]
        made.client.put(f"/dodas/v1/models/k0s/versions/{first}/benchmark", json=rows)
        made.deploy("k0s", models / "net.tflite", keys=KEYS, note="The same, with the decay angle again.", labels=["K0S"])
        digits = made.deploy("digits", models / "cnn.tflite", channels=1, labels=[str(number) for number in range(10)])
        made.publish("digits", digits)
        made.deploy("pairs", models / "two.tflite")
        yield made


def barriers(page: Page, within: str) -> list[str]:
    """What axe finds there, colours included. It is run by the browser itself, since the page lets no script in."""
    page.evaluate(AXE.read_text("utf-8"))
    found: list[str] = page.evaluate(
        "async within => (await axe.run(within)).violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`)", within
    )
    return found


class Reader:
    """Somebody who looks at the page."""

    def __init__(self, page: Page, endpoint: Endpoint) -> None:
        self.page, self.endpoint = page, endpoint
        self.wrong: list[str] = []
        page.set_default_timeout(SOON)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "status of 40" not in message.text:
            self.wrong.append(message.text)

    def open(self, at: str = "", *, model: str = "") -> None:
        """Open it, and sign in if it asks."""
        self.page.goto(f"{at or self.endpoint.url}/#{model}")
        self.page.get_by_label("Token").fill(self.endpoint.token)
        self.page.get_by_role("button", name="Come in").click()

    def section(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def version(self, name: str) -> Locator:
        return self.page.get_by_role("listitem", name=f"Version {name}")

    def look(self, name: str, theme: str, what: Locator | None = None) -> None:
        """See that nobody is kept out of what is shown, and take its picture."""
        assert barriers(self.page, "body") == [], name
        self.page.mouse.move(0, 0)
        shown = (
            self.page.screenshot(animations="disabled", full_page=True) if what is None else what.screenshot(animations="disabled")
        )
        assert len(shown) > 5_000, "there is next to nothing on it"
        if os.environ.get("UPDATE_PICTURES"):
            (PICTURES / "tfaas").mkdir(exist_ok=True)
            (PICTURES / "tfaas" / f"{name}-{theme}.png").write_bytes(shown)


@pytest.fixture(params=THEMES)
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reader(browser: Browser, endpoint: Endpoint, request: pytest.FixtureRequest) -> Iterator[Reader]:
    theme: Any = request.getfixturevalue("theme") if "theme" in request.fixturenames else "light"
    context = window(browser, theme)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_viewport_size({"width": 1240, "height": 860})
    found = Reader(page, endpoint)
    yield found
    context.close()
    assert found.wrong == []


def test_every_state_of_the_page(reader: Reader, theme: str) -> None:
    page = reader.page
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/dodas/v1/**", hold)
    page.goto(f"{reader.endpoint.url}/")
    expect(page.get_by_role("status").filter(has_text="Reading the models")).to_be_visible()
    reader.look("loading", theme)
    for route in held:
        route.abort()
    expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
    page.unroute("**/dodas/v1/**")
    page.get_by_label("Token").fill("not-the-token-of-this-server")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_role("alert").filter(has_text="This is not the token of the endpoint")).to_be_visible()
    reader.look("door", theme)
    reader.open(model="k0s")
    expect(page.get_by_role("heading", name="k0s")).to_be_visible()
    page.get_by_label("pt_1").fill("1.5")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_text("there and back")).to_be_visible()
    page.get_by_text("Details").last.click()
    reader.look("page", theme)
    page.get_by_role("link", name=re.compile("^digits")).click()
    expect(page.get_by_role("heading", name="digits")).to_be_visible()
    reader.look("picture", theme)
    page.get_by_role("link", name=re.compile("^pairs")).click()
    page.get_by_role("textbox", name="a", exact=True).fill("[1, 2]")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert").filter(has_text="takes the shape [any, 3], and this is [2].")).to_be_visible()
    reader.look("slip", theme)
    page.route("**/dodas/v1/**", lambda route: route.abort())
    expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_be_visible()
    assert barriers(page, "#trouble") == []
    page.unroute("**/dodas/v1/**")
    expect(page.get_by_role("alert").filter(has_text="The server does not answer")).to_have_count(0)
    page.route("**/dodas/v1/models", lambda route: route.fulfill(json={"models": []}))
    expect(page.get_by_role("heading", name="No models yet")).to_be_visible()
    reader.look("empty", theme)
    page.unroute("**/dodas/v1/models")
    reader.wrong[:] = [one for one in reader.wrong if "ERR_FAILED" not in one]  # those that were aborted here


def test_what_is_asked_here_can_be_asked_elsewhere(reader: Reader) -> None:
    import subprocess
    import sys

    page, endpoint = reader.page, reader.endpoint
    reader.open(model="k0s")
    for name in KEYS:
        page.get_by_label(name, exact=True).fill("0.25")
    page.get_by_role("button", name="Predict").click()
    shown = page.get_by_role("region", name="Prediction").get_by_role("cell").last.inner_text()
    variables = {**os.environ, "TOKEN": endpoint.token}
    for language in ("curl", "Python"):
        page.get_by_role("button", name=language, exact=True).click()
        page.get_by_role("button", name="Copy the request").click()
        expect(page.get_by_role("button", name="Copy the request")).to_have_text("Copied")
        request = page.evaluate("navigator.clipboard.readText()")
        assert endpoint.token not in request
        assert "$TOKEN" in request or "'TOKEN'" in request
        command = ["bash", "-c", request] if language == "curl" else [sys.executable, "-c", request]
        said = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
        assert said.strip() == f"[{shown}]"
    assert endpoint.token not in page.content()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()  # it was forgotten with the page


def test_a_picture_is_tried(reader: Reader, tmp_path: Path) -> None:
    Image.new("L", (28, 28), 128).save(tmp_path / "grey.png")
    Image.new("L", (10, 10), 128).save(tmp_path / "small.png")
    page = reader.page
    reader.open(model="digits")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert").filter(has_text="Choose a picture first")).to_be_visible()
    page.get_by_label("Picture").set_input_files(tmp_path / "grey.png")
    expect(page.get_by_role("img", name="The picture grey.png")).to_be_visible()
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("region", name="Prediction").get_by_role("row")).to_have_count(6)
    expect(reader.section("The request")).to_contain_text("image=@grey.png")
    page.get_by_label("Picture").set_input_files(tmp_path / "small.png")
    page.get_by_role("button", name="Predict").click()
    expect(reader.section("What came back")).to_contain_text("The model takes 28 x 28")


def test_numbers_are_pasted_and_slips_are_told(reader: Reader) -> None:
    page = reader.page
    reader.open(model="k0s")
    page.get_by_label("pt_1").focus()
    page.evaluate("navigator.clipboard.writeText('[1, 2.5, -3e-2]')")
    page.keyboard.press("Control+V")
    expect(page.get_by_label("eta_1")).to_have_value("-3e-2")
    expect(reader.section("The request")).to_contain_text('"values": [1, 2.5, -0.03')
    page.get_by_label("chi2").fill("many")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert").filter(has_text="chi2 takes a number, not “many”.")).to_be_visible()
    expect(page.get_by_label("chi2")).to_be_focused()


def test_a_model_goes_its_way_by_keys_alone(reader: Reader, models: Path) -> None:
    """Published, rolled back, deleted; the focus is never lost."""
    endpoint, page = reader.endpoint, reader.page
    first = endpoint.deploy("way", models / "net.tflite", note="one")
    second = endpoint.deploy("way", models / "net.tflite", note="two", keys=KEYS)
    reader.open(model="way")
    expect(reader.page.get_by_text("Nothing is published")).to_be_visible()
    for version in (first, second):
        reader.version(version).get_by_role("button", name="Publish").focus()
        page.keyboard.press("Enter")
        expect(reader.version(version).get_by_role("button", name="Leave it")).to_be_focused()
        page.keyboard.press("Escape")
        expect(reader.version(version).get_by_role("button", name="Publish")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"Version {version} answers.")).to_be_visible()
    expect(reader.version(first)).to_contain_text("Earlier")
    page.get_by_role("button", name="Roll back").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"Version {first} answers.")).to_be_visible()
    assert endpoint.client.get("/dodas/v1/models/way").json()["published"] == first
    page.locator("#delete").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name=re.compile("^way"))).to_have_count(0)
    assert endpoint.client.get("/dodas/v1/models/way").status_code == 404


def test_it_works_below_a_path_where_something_else_adds_the_token(reader: Reader) -> None:
    """As through the proxy of Jupyter: the page knows neither the token nor the address of the server."""
    page, endpoint = reader.page, reader.endpoint
    mount = "http://jupyter.test/user/ada/dodas/api/v1/clusters/tagger/ui/page"

    def forward(route: Route) -> None:
        request = route.request
        sent = endpoint.client.request(
            request.method,
            request.url.removeprefix(mount).partition("#")[0],
            content=request.post_data_buffer,
            headers={"content-type": request.headers.get("content-type", "")},
        )
        kept = {name: value for name, value in sent.headers.items() if name not in {"content-length", "content-encoding"}}
        route.fulfill(status=sent.status_code, headers=kept, body=sent.content)

    page.route(f"{mount}/**", forward)
    page.goto(f"{mount}/#k0s")
    expect(page.get_by_role("heading", name="k0s")).to_be_visible()
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_text("there and back")).to_be_visible()
    expect(reader.section("The request")).to_contain_text('curl -sS "$ENDPOINT/json"')
    expect(page.get_by_role("button", name="Forget the token")).to_have_count(0)


def test_an_anonymous_endpoint_asks_for_nothing(browser: Browser, models: Path, endpoint: Endpoint) -> None:
    context = window(browser)
    page = context.new_page()
    page.set_default_timeout(SOON)
    page.route("**/dodas/v1/status", lambda route: route.fulfill(json=_anonymous(endpoint)))
    page.route("**/dodas/v1/models", lambda route: route.fulfill(json=endpoint.client.get("/dodas/v1/models").json()))
    page.goto(f"{endpoint.url}/#k0s")
    expect(page.get_by_text("Nobody has signed in")).to_be_visible()
    expect(page.get_by_role("button", name="Publish")).to_have_count(0)
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)
    expect(page.get_by_role("region", name="The request")).not_to_contain_text("TOKEN")
    context.close()


def _anonymous(endpoint: Endpoint) -> dict[str, Any]:
    status: dict[str, Any] = endpoint.client.get("/dodas/v1/status").json()
    return {**status, "caller": {"name": "anonymous", "rights": ["predict"], "administrator": False}}
