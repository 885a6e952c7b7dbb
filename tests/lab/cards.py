"""What people do with the clusters at the side of Lab, and what they wait for."""

import re
from collections.abc import Callable
from typing import Final

from playwright.sync_api import Locator, Page, expect

from tests.place import ROOT

__all__ = ["SOON", "Opener", "barriers", "card", "expect_phase", "launch", "stop"]

Opener = Callable[..., Page]

SOON: Final = 120_000
"""Milliseconds."""

AXE: Final = ROOT / "labextension" / "node_modules" / "axe-core" / "axe.min.js"


def card(page: Page, name: str) -> Locator:
    """The card of a cluster."""
    return page.get_by_role("article", name=name, exact=True)


def expect_phase(page: Page, name: str, phase: str) -> None:
    """Wait until a card says so."""
    expect(card(page, name).get_by_role("status").first).to_contain_text(phase, timeout=SOON)


def launch(page: Page, name: str, kind: str = "toy") -> None:
    """Fill in the form, and wait until the cluster is there."""
    page.get_by_role("button", name="+ New").click()
    form = page.get_by_role("form", name=re.compile("^New "))
    form.get_by_role("combobox", name="Kind").select_option(kind)
    form.get_by_role("spinbutton", name="Workers").fill("1", timeout=SOON)
    form.get_by_role("textbox", name="Name").fill(name)
    form.get_by_role("button", name="Launch").click()
    expect(form).to_have_count(0, timeout=SOON)
    expect_phase(page, name, "Ready")


def stop(page: Page, name: str) -> None:
    """Stop a cluster by clicks, and wait until it is gone."""
    card(page, name).get_by_role("button", name="Stop").click()
    card(page, name).get_by_role("group", name=re.compile("Stop")).get_by_role("button", name="Stop").click()
    expect(card(page, name)).to_have_count(0, timeout=SOON)


def barriers(page: Page, within: str) -> list[str]:
    """What axe finds there, colours included."""
    page.add_script_tag(path=AXE)
    found: list[str] = page.evaluate(
        "async within => (await axe.run(within)).violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`)", within
    )
    return found
