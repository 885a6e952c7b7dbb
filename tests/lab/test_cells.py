"""Cards below the cells of notebooks: from the list of clusters, through the kernel, and as a notebook keeps them."""

import re
from collections.abc import Callable

import httpx
import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.jupyter import JupyterServer
from tests.lab.test_sidebar import SOON

pytestmark = pytest.mark.timeout(600)

IMPORT = "import jupyter_dodas as dodas"


def write(server: JupyterServer, *cells: str) -> None:
    """Put a notebook where the server finds it."""
    made = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],  # type: ignore[no-untyped-call]
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
    )
    body = {"type": "notebook", "format": "json", "content": made}
    httpx.put(f"{server.url}/api/contents/higgs.ipynb", json=body, headers=server.headers).raise_for_status()


def show(page: Page, server: JupyterServer) -> None:
    """Open the notebook, as its address does, and wait for its kernel."""
    page.goto(f"{server.url}/lab/workspaces/cells/tree/higgs.ipynb")
    expect(page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status='idle']")).to_have_count(1, timeout=SOON)


def run(page: Page, number: int) -> Locator:
    """Run a cell, wait until it has run, and return it."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=SOON)
    return cell


def test_a_cluster_below_its_cell(open_lab: Callable[..., Page], server: JupyterServer) -> None:
    page = open_lab()
    write(server, f"{IMPORT}\ncluster = dodas.toy(workers=1, name='higgs')", "cluster")
    show(page, server)
    run(page, 0)
    cell = run(page, 1)
    expect(cell.get_by_role("article", name="higgs")).to_contain_text("1 worker", timeout=SOON)
