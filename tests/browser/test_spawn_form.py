"""The form on the page where a notebook is started: drawn by a script, or without one; both send the same."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser as Session
from tests.hubs import Hub
from tests.place import ROOT

pytestmark = pytest.mark.timeout(300)

HOSTILE: Final = '<img src=x onerror="window.broken=1"> & \u202eback to front'
LONG: Final = "x" * 10_000

PROFILES: Final = [
    {"name": "small", "title": "Small", "description": "For trying things out."},
    {"name": "large", "title": "Large", "cores": [2, 4], "memory": ["4 GiB", "8 GiB"]},
    {"name": "odd", "title": HOSTILE, "description": LONG, "cores": [1, 2]},
]
SHOWN: Final = f"""
c.DodasSpawner.limits = {{"cms": {{"cores": 32, "memory": "96 GiB"}}, "*": {{"cores": 8}}}}
c.DodasSpawner.profiles = {PROFILES!r}
"""

AXE: Final = ROOT / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
SOON: Final = 30_000
"""Milliseconds."""

Opener = Callable[..., tuple[Page, Session]]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    if not (ROOT / "jupyter_dodas" / "hub" / "static" / "form.js").is_file():
        pytest.skip("the form is not built: script/test lab")
    with Hub(SHOWN) as made:
        yield made


@pytest.fixture
def opened(browser: Browser, hub: Hub) -> Iterator[Opener]:
    """Open the page as somebody who has signed in."""
    windows: list[BrowserContext] = []

    def opened(user: str, **looks: Any) -> tuple[Page, Session]:
        session = hub.browser()
        session.sign_in(user)
        windows.append(browser.new_context(**looks))
        cookies = session.client.cookies.jar
        windows[-1].add_cookies([{"name": one.name, "value": one.value or "", "url": hub.url + one.path} for one in cookies])
        page = windows[-1].new_page()
        page.goto(f"{hub.url}/hub/spawn")
        return page, session

    yield opened
    for window in windows:
        window.close()


def drawn(page: Page) -> None:
    """Wait until the script has drawn the form."""
    expect(page.get_by_role("meter", name="Quota used")).to_be_visible(timeout=SOON)


@pytest.mark.parametrize("scripts", [True, False])
def test_what_is_chosen_is_what_is_started(opened: Opener, scripts: bool) -> None:
    user = "alice" if scripts else "bob"
    page, session = opened(user, java_script_enabled=scripts)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    if scripts:
        page.reload()
        drawn(page)
        expect(page.get_by_role("heading", name=re.compile("^Good .*, Alice"))).to_be_visible()
    expect(page.get_by_text("cms · 32 cores and 96 GiB free")).to_be_visible()
    expect(page.get_by_role("radio", name="Small")).to_be_checked()
    expect(page.get_by_text("For trying things out. 1 core, 2 GiB.")).to_be_visible()

    # By the keyboard alone.
    page.get_by_role("radio", name="Small").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Large")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("combobox", name="Cores")).to_be_focused()
    page.get_by_role("combobox", name="Memory").select_option("8 GiB")
    if scripts:
        expect(page.get_by_text("4 cores, 8 GiB.")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(rf"/user/{user}/|/spawn-pending/"), timeout=SOON)
    server = blocking_until(lambda: session.api("GET", f"/users/{user}").json()["servers"].get(""), within=60, meets=bool)
    assert server["user_options"] == {"profile": "large", "cores": 4, "memory": "8 GiB"}
    assert [line for line in said if "Content Security Policy" in line or "Error" in line] == []


def test_what_is_refused_is_told_at_its_field(opened: Opener) -> None:
    page, _ = opened("carol")
    drawn(page)
    page.get_by_text("Large", exact=True).click()
    page.get_by_role("combobox", name="Memory").select_option("8 GiB")
    # As if the administrator had taken it out of the profile meanwhile.
    page.locator("input[name='large.cores']").evaluate("field => { field.value = '64'; }")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("radio", name="Large")).to_be_checked(timeout=SOON)
    field = page.locator(".dodas-First .dodas-Field", has=page.get_by_role("combobox", name="Cores"))
    expect(field.get_by_role("alert")).to_contain_text("cores=64 is not offered", timeout=SOON)
    expect(page.get_by_role("combobox", name="Memory")).to_have_js_property("selectedOptions.0.text", "8 GiB")
    page.get_by_role("combobox", name="Cores").select_option("4")
    expect(field.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(opened: Opener, scheme: str) -> None:
    page, _ = opened("carol", color_scheme=scheme, viewport={"width": 320, "height": 640})
    drawn(page)
    page.get_by_text("<img src=x").click()
    expect(page.get_by_role("combobox", name="Cores")).to_be_visible()
    expect(page.get_by_text("<img src=x")).to_be_visible()
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 320, "nothing leads to the side"
    found = page.evaluate(
        f"async () => {{ {AXE.read_text()}; return (await axe.run()).violations.map(v => v.id + v.nodes.map(n => n.html)) }}"
    )
    assert found == []
