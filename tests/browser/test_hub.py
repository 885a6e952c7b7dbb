"""The journey of a physicist: she signs in, starts a notebook, sees her quota, launches a cluster and signs out.

Pictures of it stand in the documentation; `UPDATE_PICTURES=1 script/test browser` takes them anew.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.platform import STARTS_WITHIN, platform, sign_in, start
from tests.browser.screen import picture, window
from tests.place import Place

pytestmark = pytest.mark.timeout(600)

CELLS: Final = (
    "import jupyter_dodas as dodas\n\ndodas.quota()",
    'cluster = dodas.dask(workers=2, name="higgs")\ncluster',
    "with cluster.client() as client:\n    print(sum(client.gather(client.map(lambda x: x**2, range(10)))))",
)


def write_notebook(path: Path) -> None:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": s, "outputs": [], "execution_count": None}
        for n, s in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def run_all(page: Page, url: str) -> None:
    """Open the notebook and run every cell."""
    page.goto(f"{url}user/alice/lab/tree/higgs.ipynb")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=STARTS_WITHIN)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def small_picture(page: Page, name: str, height: int = 480) -> None:
    """Take a picture of a page on which there is little, in a small window."""
    whole = page.viewport_size
    assert whole is not None
    page.mouse.move(0, 0)
    page.set_viewport_size({"width": 900, "height": height})
    picture(page, name)
    page.set_viewport_size(whole)


def assert_dead(stolen: BrowserContext, url: str) -> None:
    """See that what was signed in a moment ago opens no page, no API and no Lab."""
    page = stolen.new_page()
    for address in ("hub/home", "hub/spawn", "user/alice/lab", "user/alice/lab/tree/higgs.ipynb"):
        page.goto(url + address)
        expect(page.get_by_role("link", name="Sign in with INDIGO IAM")).to_be_visible()
    for address in ("hub/api/user", "hub/api/users/alice", "user/alice/api/contents", "user/alice/dodas/api/v1/quota"):
        reply = stolen.request.get(url + address, max_redirects=0)
        assert not reply.ok, f"{address}: {reply.status}"
        assert "cms" not in reply.text()


def test_from_the_sign_in_to_the_sign_out(place: Place, browser: Browser) -> None:
    folder = place.root / "notebooks"
    folder.mkdir()
    write_notebook(folder / "higgs.ipynb")
    with platform(place, folder) as url:
        alice = window(browser)
        page = alice.new_page()
        page.goto(url)
        expect(page.get_by_role("link", name="Sign in with INDIGO IAM")).to_be_visible()
        small_picture(page, "hub-sign-in")
        sign_in(page, url)
        expect(page.get_by_role("radio", name=re.compile("Small"))).to_be_checked()
        expect(page.get_by_role("meter", name="Quota used")).to_be_visible()
        small_picture(page, "hub-start", 620)
        start(page)

        run_all(page, url)
        panel = page.locator(".jp-NotebookPanel")
        card = panel.get_by_role("article", name="higgs")
        expect(card.get_by_role("status")).to_contain_text("Ready", timeout=STARTS_WITHIN)
        expect(card).to_contain_text("2 workers")
        expect(panel.get_by_text("285", exact=True)).to_be_visible(timeout=STARTS_WITHIN)
        expect(panel.get_by_text(re.compile("Group cms: 0 of 16 cores"))).to_be_visible()
        told = alice.request.get(f"{url}user/alice/dodas/api/v1/quota")
        assert told.ok
        assert (told.json()["groups"], told.json()["limits"]["cores"], told.json()["used"]["cores"]) == (["cms"], 16, 2)
        page.mouse.move(0, 0)
        picture(page, "hub-lab")

        stolen = browser.new_context(storage_state=alice.storage_state())
        page.goto(f"{url}hub/home")
        expect(page.get_by_text("Running")).to_be_visible()
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        assert_dead(stolen, url)
