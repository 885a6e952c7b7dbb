"""Cards below the cells of notebooks: from the list of clusters, through the kernel, and as a notebook keeps them."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from jupyter_dodas.testing.waiting import blocking_until
from tests.browser.screen import picture
from tests.jupyter import JupyterServer
from tests.lab.cards import SOON, barriers

pytestmark = pytest.mark.timeout(600)

IMPORT = "import jupyter_dodas as dodas"
IDLE = ".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status='idle']"


def write(server: JupyterServer, *cells: str) -> None:
    """Put a notebook where the server finds it."""
    made = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],  # type: ignore[no-untyped-call]
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
    )
    put(server, "higgs.ipynb", {"type": "notebook", "format": "json", "content": made})


def put(server: JupyterServer, name: str, content: dict[str, Any]) -> None:
    """Put a file there."""
    httpx.put(f"{server.url}/api/contents/{name}", json=content, headers=server.headers).raise_for_status()


def show(page: Page, server: JupyterServer) -> None:
    """Open the notebook, as its address does, and wait for its kernel."""
    page.goto(f"{server.url}/lab/workspaces/cells/tree/higgs.ipynb")
    blocking_until(lambda: connected(server), within=SOON / 1000)
    expect(page.locator(IDLE)).to_have_count(1, timeout=SOON)


def connected(server: JupyterServer) -> bool:
    """Whether the page talks to the kernel of the notebook: what is run before, Lab forgets."""
    sessions = httpx.get(f"{server.url}/api/sessions", headers=server.headers).raise_for_status().json()
    return any(one["kernel"]["connections"] and one["kernel"]["execution_state"] == "idle" for one in sessions)


def start(page: Page, number: int) -> Locator:
    """Begin to run a cell, and return it."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    cell.locator(".jp-InputPrompt").click()
    expect(cell).to_have_class(re.compile("jp-mod-active"))
    page.get_by_role("button", name="Run this cell and advance").click()
    return cell


def run(page: Page, number: int) -> Locator:
    """Run a cell, wait until it has run, and return it."""
    cell = start(page, number)
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=SOON)
    return cell


def expect_workers(card: Locator, number: int) -> None:
    """Wait until a card says that so many answer, and that these are all."""
    expect(card.get_by_text(f"{number} workers", exact=True)).to_be_visible(timeout=SOON)


def restart(page: Page) -> None:
    """Restart the kernel by clicks."""
    page.get_by_role("button", name="Restart the kernel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
    expect(page.locator(IDLE)).to_have_count(1, timeout=SOON)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save and create checkpoint").click()
    expect(page.locator(".jp-mod-dirty")).to_have_count(0, timeout=SOON)


def test_a_card_below_its_cell_outlives_kernel_and_page(open_lab: Callable[..., Page], server: JupyterServer) -> None:
    page = open_lab()
    write(server, f"{IMPORT}\n\ncluster = dodas.dask(workers=2, name='higgs')\ncluster", "import time")
    show(page, server)
    cell = run(page, 0)
    card = cell.get_by_role("article", name="higgs")
    # As at the side, so it has what only Lab can do.
    expect(card.get_by_role("button", name="Insert code")).to_be_visible(timeout=SOON)
    card.get_by_role("spinbutton", name="Number of workers").fill("3")
    expect_workers(card, 3)
    assert server.cluster("higgs")["spec"]["options"]["workers"] == 3
    assert barriers(page, ".jp-Notebook .dodas-Cell") == []
    picture(page, "lab-cell")

    restart(page)
    save(page)
    page.reload()
    expect_workers(card, 3)
    card.get_by_role("button", name="Stop").click()
    card.get_by_role("group", name=re.compile("Stop")).get_by_role("button", name="Stop").click()
    server.until_gone("higgs")
    expect(card).to_contain_text("As of", timeout=SOON)
    expect(card.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("server", [False], indirect=True)
def test_without_the_server_a_card_works_through_its_kernel(open_lab: Callable[..., Page], server: JupyterServer) -> None:
    page = open_lab()
    write(
        server,
        f"{IMPORT}\n\ncluster = dodas.toy(workers=1, name='higgs')\ncluster",
        "import ipywidgets\n\nipywidgets.HBox([ipywidgets.Label('beside'), cluster.widget])",
        "import pathlib, time\n\ncluster.scale(4)\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)",
    )
    show(page, server)
    card = run(page, 0).get_by_role("article", name="higgs")
    other = run(page, 1).get_by_role("article", name="higgs")
    card.get_by_role("spinbutton", name="Number of workers").fill("3", timeout=SOON)
    for one in (card, other):
        expect_workers(one, 3)

    # While a cell runs, the card shows what happens; what it asks for is done afterwards, and it says so.
    waiting = start(page, 2)
    expect_workers(other, 4)
    other.get_by_role("spinbutton", name="Number of workers").fill("2")
    busy = page.get_by_text("The kernel is busy.")
    expect(busy).to_be_visible(timeout=SOON)
    expect(waiting.locator(".jp-InputPrompt")).to_have_text("[*]:")
    put(server, "go", {"type": "file", "format": "text", "content": ""})
    expect_workers(other, 2)
    expect(busy).to_have_count(0)
    card.get_by_role("button", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("worker-1", timeout=SOON)

    restart(page)
    expect(card).to_contain_text("As of", timeout=SOON)
    expect(card.get_by_role("button")).to_have_count(0)
    save(page)
    page.reload()
    expect_workers(card, 2)
    expect(card).to_contain_text("As of")


def test_the_form_in_a_cell_becomes_the_card(open_lab: Callable[..., Page], server: JupyterServer) -> None:
    page = open_lab()
    write(server, f"{IMPORT}\n\nlauncher = dodas.launcher('dask')\nlauncher", "launcher.cluster.phase()")
    show(page, server)
    cell = run(page, 0)
    form = cell.get_by_role("form", name="New Dask cluster")
    form.get_by_role("spinbutton", name="Workers").fill("3", timeout=SOON)
    form.get_by_role("textbox", name="Name").fill("tagger")
    expect(form.get_by_text("0 + 3 of 16 cores")).to_be_visible()
    expect(form.get_by_label("As Python")).to_contain_text("workers=3")
    assert barriers(page, ".jp-Notebook .dodas-Launch") == []
    picture(page, "lab-launcher")
    form.get_by_role("button", name="Launch").click()
    expect_workers(cell.get_by_role("article", name="tagger"), 3)
    expect(cell.get_by_role("article", name="tagger").get_by_role("status").first).to_contain_text("Ready", timeout=SOON)
    expect(run(page, 1).locator(".jp-OutputArea-output")).to_contain_text("ready", timeout=SOON)
