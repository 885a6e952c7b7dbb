"""The tour of the documentation: a newcomer signs in, launches Dask, computes, looks on, grows it and stops it.

All of it by clicks. `UPDATE_PICTURES=1 script/test lab` takes its pictures anew.
"""

import re
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.platform import STARTS_WITHIN, platform, sign_in, start
from tests.browser.screen import picture, window
from tests.place import Place

pytestmark = pytest.mark.timeout(900)

SOON: Final = STARTS_WITHIN


class Tour:
    """Pictures in their order."""

    def __init__(self, page: Page, theme: str) -> None:
        self.page, self._theme, self._taken = page, theme, 0

    def show(self, what: str) -> None:
        """Take the next one."""
        self._taken += 1
        self.page.mouse.move(0, 0)
        picture(self.page, f"tour/{self._theme}-{self._taken}-{what}")


def run_cell(page: Page) -> None:
    """Run the active cell by the button of the notebook."""
    page.get_by_role("button", name=re.compile("^Run this cell")).click()


def card_of(page: Page) -> Locator:
    """The card of the only cluster."""
    return page.locator(".dodas-List").get_by_role("article")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tour(place: Place, browser: Browser, theme: Literal["light", "dark"]) -> None:
    folder = place.root / "notebooks"
    folder.mkdir()
    look = {"@jupyterlab/apputils-extension/themes": {"theme": f"JupyterLab {theme.capitalize()}"}}
    with platform(place, folder, look) as url:
        page = window(browser, theme).new_page()
        tour = Tour(page, theme)
        page.goto(url)
        expect(page.get_by_role("link", name="Sign in with INDIGO IAM")).to_be_visible()
        tour.show("sign-in")
        sign_in(page, url)
        expect(page.get_by_role("radio", name=re.compile("Small"))).to_be_checked()
        tour.show("start")
        start(page)

        page.get_by_role("tab", name="Clusters").click()
        expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
        page.locator(".jp-LauncherCard", has_text="Python 3 (ipykernel)").first.click()
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SOON)
        page.get_by_role("button", name="+ New").click()
        form = page.get_by_role("form", name=re.compile("^New "))
        form.get_by_role("combobox", name="Kind").select_option("dask")
        expect(form.get_by_role("spinbutton", name="Workers")).to_be_visible(timeout=SOON)
        tour.show("form")
        form.get_by_role("button", name="Launch").click()
        card = card_of(page)
        expect(card.get_by_role("status").first).to_contain_text("Ready", timeout=SOON)

        card.get_by_role("button", name="More").click()
        card.get_by_role("button", name="Insert example").click()
        cell = page.locator(".jp-Notebook .jp-Cell").first
        expect(cell).to_contain_text("client.map")
        run_cell(page)
        expect(cell.get_by_role("progressbar").first).to_be_visible(timeout=SOON)
        tour.show("computing")
        card.get_by_role("button", name="Dashboard").click()
        expect(page.frame_locator(".dodas-Tab iframe").locator("canvas").first).to_be_visible(timeout=SOON)
        tour.show("dashboard")

        slider = card.get_by_role("slider")
        slider.click(position={"x": 40, "y": 8})
        more = int(slider.input_value())
        assert more > 2
        expect(card).to_contain_text(f"{more} workers", timeout=SOON)
        expect(cell.locator(".jp-OutputArea-output").get_by_text(re.compile(r"^3\.14"))).to_be_visible(timeout=SOON)
        expect(cell).to_contain_text("100 tasks")
        tour.show("scaled")

        card.get_by_role("button", name="Stop").click()
        card.get_by_role("group", name=re.compile("Stop")).get_by_role("button", name="Stop").click()
        expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
