"""JupyterLab with the screens of this checkout, in a browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import browser
from tests.browser.screen import window
from tests.jupyter import JupyterServer
from tests.place import ROOT, Place

__all__ = ["browser", "open_lab", "server"]

BUILT: Final = ROOT / "jupyter_dodas" / "labextension"
LIMITS: Final = '[limits]\ncores = 16\nmemory = "32 GiB"\nworkers = 12\n'

WITHIN: Final = 120_000
"""Milliseconds: on a busy machine Lab takes its time."""

# Nothing asks about news.
SETTINGS: Final = {"notification": {"fetchNews": "false", "checkForUpdates": False}}


@pytest.fixture
def server(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[JupyterServer]:
    """Jupyter Server with Lab, at a place with limits; with False as its parameter, without our extension of it."""
    if not (BUILT / "package.json").is_file():
        pytest.skip("the screens are not built: script/test lab")
    (place.root / "config.toml").write_text(LIMITS)
    (tmp_path / "labextensions").mkdir()
    (tmp_path / "labextensions" / "jupyter-dodas").symlink_to(BUILT)
    extensions = {"jupyter_server_proxy": True, "jupyterlab": True, "jupyter_dodas": getattr(request, "param", True)}
    found = JupyterServer(
        {**place.variables, "JUPYTER_PATH": str(tmp_path)},
        {
            "ServerApp": {"jpserver_extensions": extensions},
            "LabApp": {"user_settings_dir": str(tmp_path / "settings"), "workspaces_dir": str(tmp_path / "workspaces")},
        },
    )
    yield found
    found.close()


@pytest.fixture
def open_lab(browser: Browser, server: JupyterServer, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open Lab in a theme, with the clusters at its side; `before` may change what the page is told."""
    contexts: list[BrowserContext] = []

    def opened(theme: str = "JupyterLab Light", before: Callable[[Page], object] = lambda page: None) -> Page:
        folder = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in {**SETTINGS, "themes": {"theme": theme}}.items():
            (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
        contexts.append(window(browser))
        page = contexts[-1].new_page()
        page.set_default_timeout(WITHIN)
        before(page)
        page.goto(f"{server.url}/lab/workspaces/tests-{len(contexts)}?token={server.token}")
        page.get_by_role("tab", name="Clusters").click()
        return page

    yield opened
    for context in contexts:
        context.close()
