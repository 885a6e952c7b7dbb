"""The example on the screen, as a user sees it; its picture is the README's.

``UPDATE_PICTURES=1 script/test browser`` takes the pictures of the documentation anew.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.screen import picture, window
from tests.place import ROOT, Place

ALL_CELLS_WITHIN: Final = 180_000
STARTS_WITHIN: Final = 60_000

# Every cell is drawn, so that one can scroll to it; and no question about news stands in the picture.
SETTINGS: Final = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def platform(place: Place) -> Iterator[str]:
    """JupyterLab as `script/up` starts it, with a copy of the example; yields the page that signs a browser in."""
    folder = place.root / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "z-boson.ipynb", folder)
    for name, values in SETTINGS.items():
        file = place.root / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    names = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "configuration",
        "IPYTHONDIR": "ipython",
    }
    variables = {name: str(place.root / folder) for name, folder in names.items()}
    command = [ROOT / "script" / "up"]
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        try:
            found = re.search(r"file://\S+", said)
            assert found, said
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def open_example(browser: Browser, sign_in: str) -> Page:
    """Sign in and open the example."""
    page = window(browser).new_page()
    page.goto(sign_in)
    page.wait_for_url(re.compile(r"/lab"))
    lab = page.url.partition("/lab")[0]
    page.goto(f"{lab}/lab/tree/z-boson.ipynb")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=STARTS_WITHIN)
    return page


def notebooks(page: Page) -> Locator:
    """The views of the notebook, from left to right."""
    return page.locator(".jp-NotebookPanel")


def show(what: Locator, edge: str) -> None:
    """Scroll so that something stands at an edge of its view: start or end."""
    what.evaluate("(element, block) => element.scrollIntoView({block})", edge)


def test_the_example_on_the_screen(place: Place, browser: Browser) -> None:
    with platform(place) as sign_in:
        page = open_example(browser, sign_in)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        left = notebooks(page).first
        card = left.get_by_role("group", name="z-boson")
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
