"""What clusters use, in their cards: there while one looks, and measured only then."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.jupyter import JupyterServer

pytestmark = pytest.mark.timeout(600)

SOON = 120_000
"""Milliseconds."""


def test_what_a_cluster_uses_is_measured_while_one_looks(open_lab: Callable[..., Page], server: JupyterServer) -> None:
    server.launch("drones", workers=2)
    page = open_lab()
    card = page.get_by_role("article", name="drones", exact=True)
    expect(card).to_contain_text(re.compile(r"\d\.\d of 2 cores"), timeout=SOON)
    expect(card).to_contain_text(re.compile(r"[\d.]+ MiB of 4 GiB"))
    expect(card.get_by_role("img", name=re.compile("^Cores in use lately: at most"))).to_be_visible(timeout=SOON)
    # It is another panel's turn: the measuring ends, and begins again with the next look.
    with page.expect_event("requestfailed", lambda request: "/usage?follow=true" in request.url, timeout=SOON):
        page.get_by_role("tab", name="File Browser").click()
    with page.expect_request(lambda request: "/usage?follow=true" in request.url, timeout=SOON):
        page.get_by_role("tab", name="Clusters").click()
    expect(card).to_contain_text("of 2 cores", timeout=SOON)
    server.client.delete("clusters/drones")
    server.until_gone("drones")
