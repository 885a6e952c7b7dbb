"""Windows of a browser, and the pictures of them that the documentation shows."""

import os
from typing import Final, Literal

from playwright.sync_api import Browser, BrowserContext, Page

from tests.place import ROOT

__all__ = ["picture", "window"]

PICTURES: Final = ROOT / "docs" / "images"


def window(browser: Browser, scheme: Literal["light", "dark"] = "light") -> BrowserContext:
    """Open a window that knows nobody: no cookie is in it."""
    return browser.new_context(viewport={"width": 1440, "height": 860}, device_scale_factor=1.5, color_scheme=scheme)


def picture(page: Page, name: str) -> None:
    """Take a picture of what is on the screen; with ``UPDATE_PICTURES=1`` it becomes the one in the documentation."""
    shown = page.screenshot(animations="disabled")
    assert len(shown) > 30_000, "there is next to nothing on the screen"
    if os.environ.get("UPDATE_PICTURES"):
        file = PICTURES / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(shown)
