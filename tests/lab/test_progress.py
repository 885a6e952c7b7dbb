"""What Dask does for a running cell, below it, in JupyterLab."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.screen import picture
from tests.jupyter import JupyterServer
from tests.lab.cards import SOON, Opener, barriers
from tests.place import Place

pytestmark = pytest.mark.timeout(600)


def run(page: Page, number: int, source: str) -> Locator:
    """Run the source in the last cell of the notebook, and return its output."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    cell.locator(".cm-content").click()
    page.keyboard.insert_text(source)
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(number + 2, timeout=SOON)
    return cell


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_bars_while_it_computes_and_one_line_afterwards(open_lab: Opener, server: JupyterServer, place: Place, theme: str) -> None:
    server.launch("higgs", "dask", workers=1)
    page = open_lab(f"JupyterLab {theme}")
    page.locator(".jp-LauncherCard", has_text="Python 3 (ipykernel)").first.click()
    # A cell that is run before there is a kernel is not run at all.
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SOON)
    gates = {name: place.state / name for name in ("skim", "fit")}
    source = (
        "import os, time, distributed, jupyter_dodas as dodas\n"
        "client = dodas.connect('higgs').client()\n"
        "folder = os.environ['DODAS_STATE']\n"
        "def wait_for(name):\n"
        "    while not os.path.exists(f'{folder}/{name}'):\n"
        "        time.sleep(0.02)\n"
        "def skim(number):\n"
        "    wait_for('skim')\n"
        "    return 1 / (number - 3)\n"
        "def fit(number):\n"
        "    wait_for('fit')\n"
        "_ = distributed.wait([*client.map(skim, range(5), priority=1), *client.map(fit, range(3))])"
    )
    cell = run(page, 0, source)
    skim, fit = (cell.get_by_role("progressbar", name=name) for name in ("skim", "fit"))
    expect(skim).to_have_attribute("aria-valuetext", re.compile("^0 of 5, . running$"), timeout=SOON)
    expect(fit).to_have_attribute("aria-valuemax", "3")
    gates["skim"].touch()
    expect(skim).to_have_attribute("aria-valuetext", "4 of 5, 1 failed", timeout=SOON)
    expect(fit).to_have_attribute("aria-valuetext", re.compile("^0 of 3, . running$"), timeout=SOON)
    expect(cell).to_contain_text("4 of 8 tasks")
    assert barriers(page, ".dodas-Output") == []
    picture(page, f"progress-{theme.lower()}")

    gates["fit"].touch()
    expect(cell.get_by_role("status")).to_contain_text("✕ Dask: 7 of 8 tasks in", timeout=SOON)
    expect(cell.get_by_role("progressbar")).to_have_count(0)
    assert barriers(page, ".dodas-Output") == []
    server.client.delete("clusters/higgs")
    server.until_gone("higgs")
