"""The example on the screen, as a user sees it; its picture is the README's.

``UPDATE_PICTURES=1 script/test browser`` takes the pictures of the documentation anew.
"""

import re
import shutil
from typing import Final

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.platform import STARTS_WITHIN, platform, sign_in, start
from tests.browser.screen import picture, window
from tests.place import ROOT, Place

ALL_CELLS_WITHIN: Final = 180_000


def open_example(browser: Browser, url: str) -> Page:
    """Sign in, start a notebook and open the example."""
    page = window(browser).new_page()
    sign_in(page, url)
    start(page)
    page.goto(f"{url}user/alice/lab/tree/z-boson.ipynb")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=STARTS_WITHIN)
    return page


def notebooks(page: Page) -> Locator:
    """The views of the notebook, from left to right."""
    return page.locator(".jp-NotebookPanel")


def show(what: Locator, edge: str) -> None:
    """Scroll so that something stands at an edge of its view: start or end."""
    what.evaluate("(element, block) => element.scrollIntoView({block})", edge)


def test_the_example_on_the_screen(place: Place, browser: Browser) -> None:
    folder = place.root / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "z-boson.ipynb", folder)
    with platform(place, folder) as url:
        page = open_example(browser, url)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        left = notebooks(page).first
        card = left.get_by_role("article", name="z-boson")
        expect(card.get_by_role("status")).to_contain_text("Ready", timeout=STARTS_WITHIN)
        expect(card).to_contain_text("2 workers")
        expect(card.get_by_role("img", name="2 of 2 workers are ready")).to_be_visible()
        expect(left.get_by_text(re.compile(r"Z mass +9[01]\.\d\d \+- 0\.1\d GeV"))).to_be_visible(timeout=ALL_CELLS_WITHIN)
        expect(left.get_by_text("z-boson is ready after")).to_be_visible()

        page.get_by_role("tab", name=re.compile("File Browser")).click()  # it gives its place to the notebook
        page.get_by_role("tab", name=re.compile("z-boson.ipynb")).click(button="right")
        page.get_by_role("menuitem", name="New View for Notebook").click()
        right = notebooks(page).last
        expect(right.get_by_role("heading", name="The picture")).to_be_attached()
        show(left.get_by_role("heading", name="A cluster, in one line"), "start")
        show(right.get_by_text("z-boson has stopped after"), "end")
        page.mouse.move(0, 0)
        picture(page, "notebook")
