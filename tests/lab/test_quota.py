"""Limits in the screens: what waits for room is told, with what would fit as a button; groups have a control each."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.jupyter import JupyterServer

pytestmark = pytest.mark.timeout(600)

SOON = 120_000
"""Milliseconds."""


def test_what_waits_for_room_starts_with_what_fits(open_lab: Callable[..., Page], server: JupyterServer) -> None:
    server.launch("higgs", workers=9, groups={"spare": {"workers": 1}})
    page = open_lab()
    higgs, top = (page.get_by_role("article", name=name, exact=True) for name in ("higgs", "top"))
    expect(higgs.get_by_role("group", name="Size of higgs, spare")).to_be_visible(timeout=SOON)

    # Twelve workers is the limit: two more fit.
    made = server.client.post("clusters", json={"kind": "toy", "name": "top", "options": {"workers": 5}})
    assert made.status_code == 202
    expect(top.get_by_role("alert")).to_contain_text("waits for room", timeout=SOON)
    notice = page.locator(".Toastify__toast", has_text="waits for room")
    expect(notice.get_by_role("button", name="Ask for 2 workers")).to_be_visible(timeout=SOON)
    top.get_by_role("button", name="Ask for 2 workers").click()
    expect(top.get_by_role("status").first).to_contain_text("Ready", timeout=SOON)
    expect(top).to_contain_text("2 workers")

    # A group of its own is scaled by itself, and what can never be is refused with what can.
    higgs.get_by_role("spinbutton", name="Number of workers of spare").fill("20")
    refused = higgs.get_by_role("alert").filter(has_text="asked for")
    expect(refused).to_be_visible(timeout=SOON)
    refused.get_by_role("button", name="Ask for 3 workers of spare").click()
    expect(higgs.get_by_role("alert").filter(has_text=re.compile("wait for room|waits for room"))).to_be_visible(timeout=SOON)
    assert server.cluster("higgs")["spec"]["options"]["groups"]["spare"]["workers"] == 3
    for name in ("higgs", "top"):
        server.client.delete(f"clusters/{name}")
        server.until_gone(name)
