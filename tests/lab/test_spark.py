"""Spark, by clicks: from the form to the stages below a cell, and its pages beside it."""

import re

import pytest
from playwright.sync_api import expect

from tests.jupyter import JupyterServer
from tests.lab.cards import SOON, Opener, card, expect_phase, launch, stop

pytestmark = pytest.mark.timeout(600)


def test_spark_from_the_form_to_its_stages(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    page.locator(".jp-LauncherCard", has_text="Python 3 (ipykernel)").first.click()
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=SOON)
    launch(page, "skim", "spark")

    card(page, "skim").get_by_role("button", name="More").click()
    card(page, "skim").get_by_role("button", name="Insert example").click()
    cell = page.locator(".jp-Notebook .jp-Cell").first
    expect(cell).to_contain_text("cluster.session()")
    page.get_by_role("button", name=re.compile("^Run this cell")).click()
    expect(cell.get_by_role("progressbar", name=re.compile("^Stage")).first).to_be_visible(timeout=SOON)
    expect(cell).to_contain_text(re.compile(r"\|3\.14\d*\|"), timeout=SOON)
    expect(cell).to_contain_text(re.compile(r"Spark: \d+ stages?, \d+ tasks in "), timeout=SOON)

    card(page, "skim").get_by_role("button", name="Dashboard").click()
    expect(page.frame_locator(".dodas-Tab iframe").get_by_text("Spark Master at")).to_be_visible(timeout=SOON)
    expect_phase(page, "skim", "Ready")
    stop(page, "skim")
