"""The list of clusters at the side of Lab, and what it opens: with a real server, and a real kind beside the small one."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.screen import picture
from tests.jupyter import JupyterServer
from tests.lab.cards import SOON, Opener, barriers, card, expect_phase, launch, stop
from tests.place import ROOT

pytestmark = pytest.mark.timeout(600)


def test_from_the_form_to_the_stop(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
    launch(page, "drones")
    assert server.cluster("drones")["spec"]["options"]["workers"] == 1

    card(page, "drones").get_by_role("spinbutton", name="Number of workers").fill("3")
    expect(card(page, "drones")).to_contain_text("3 workers", timeout=SOON)
    expect(page.get_by_text("3 of 16 cores")).to_be_visible(timeout=SOON)
    stop(page, "drones")
    expect(page.get_by_text("No clusters yet.")).to_be_visible()


def test_all_of_them_are_stopped_with_a_receipt(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    for name in ("drones", "swarm"):
        server.launch(name)
        expect_phase(page, name, "Ready")
    page.get_by_role("button", name="Stop all").click()
    page.get_by_role("group", name=re.compile("Stop all 2")).get_by_role("button", name="Stop all").click()
    expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
    expect(page.get_by_text(re.compile(r"2 clusters have stopped: [\d.e-]+ core-hours"))).to_be_visible(timeout=SOON)


def test_what_was_started_elsewhere_is_seen_in_every_tab_and_after_the_server_was_away(
    open_lab: Opener, server: JupyterServer
) -> None:
    first, second = open_lab(), open_lab()
    server.launch("higgs")
    for page in (first, second):
        expect_phase(page, "higgs", "Ready")
    stop(first, "higgs")
    expect(card(second, "higgs")).to_have_count(0, timeout=SOON)

    # Nobody answers, and meanwhile something is started.
    first.context.set_offline(True)
    first.evaluate("() => window.dispatchEvent(new Event('offline'))")
    server.launch("skim")
    expect(card(first, "skim")).to_have_count(0)
    first.context.set_offline(False)
    expect_phase(first, "skim", "Ready")
    stop(first, "skim")


def test_what_the_server_refuses_is_told_at_its_field(open_lab: Opener) -> None:
    page = open_lab()
    page.get_by_role("button", name="+ New").click()
    form = page.get_by_role("form", name=re.compile("^New "))
    form.get_by_role("combobox", name="Kind").select_option("toy")
    form.get_by_role("spinbutton", name="Workers").fill("100", timeout=SOON)
    expect(form.get_by_text("This is more than you may ever hold: it would be refused.")).to_be_visible()
    form.get_by_role("button", name="Launch").click()
    expect(form.get_by_role("alert").filter(has_text="asked for")).to_be_visible(timeout=SOON)
    form.get_by_role("button", name="Ask for 12 workers").click()
    expect(form.get_by_role("spinbutton", name="Workers")).to_have_value("12")
    expect(form.get_by_role("alert").filter(has_text="asked for")).to_have_count(0)


def test_a_failure_has_its_cause_and_its_remedy(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    reply = server.client.post("clusters", json={"kind": "toy", "name": "broken", "options": {"fail": "hub"}})
    assert reply.status_code == httpx.codes.ACCEPTED
    expect_phase(page, "broken", "Failed")
    expect(card(page, "broken").get_by_role("alert")).to_contain_text("the hub was asked to fail")
    expect(page.get_by_text("broken has failed.")).to_be_visible()
    card(page, "broken").get_by_role("button", name="Dismiss").click()
    expect(card(page, "broken")).to_have_count(0, timeout=SOON)


def test_dask_with_its_dashboard_its_logs_and_its_code(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    page.locator(".jp-LauncherCard", has_text="Python 3 (ipykernel)").first.click()
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(1, timeout=SOON)
    server.launch("z-boson", "dask")
    expect_phase(page, "z-boson", "Ready")
    card(page, "z-boson").get_by_role("button", name="Dashboard").click()
    expect(page.frame_locator(".dodas-Tab iframe").locator("canvas").first).to_be_visible(timeout=SOON)
    card(page, "z-boson").get_by_role("button", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("worker-1", timeout=SOON)

    card(page, "z-boson").focus()
    page.keyboard.press("Enter")
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells.first).to_contain_text('dodas.connect("z-boson")')
    page.get_by_role("feed", name="Cells").get_by_role("button", name=re.compile("^Insert a cell below")).click()
    expect(cells).to_have_count(2)
    card(page, "z-boson").get_by_role("heading").drag_to(cells.last.locator(".cm-content"))
    expect(cells.last).to_contain_text('dodas.connect("z-boson")')
    stop(page, "z-boson")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_nobody_is_kept_out(open_lab: Opener, server: JupyterServer, theme: str) -> None:
    page = open_lab(f"JupyterLab {theme}")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", str(theme == "Light").lower())
    server.launch("drones", adapt=[1, 6])
    server.client.post("clusters", json={"kind": "toy", "name": "broken", "options": {"fail": "hub"}})
    server.launch("higgs", "dask", workers=2)
    expect_phase(page, "broken", "Failed")
    expect_phase(page, "higgs", "Ready")
    page.get_by_role("button", name="+ New").click()
    expect(page.get_by_role("spinbutton", name="Workers", exact=True)).to_be_visible(timeout=SOON)
    picture(page, f"lab-{theme.lower()}")
    assert barriers(page, ".dodas-List") == []
    assert barriers(page, ".dodas-Launch") == []
    for name in ("drones", "broken", "higgs"):
        server.client.delete(f"clusters/{name}")
        server.until_gone(name)


def test_nothing_that_is_built_makes_code_of_text() -> None:
    """Pages whose content security policy forbids that show the same components."""
    built = sorted((ROOT / "jupyter_dodas" / "labextension" / "static").glob("*.js"))
    assert built
    for file in built:
        assert not re.search(r"\bnew Function\b|(?<![\w.])eval\(", Path(file).read_text()), file
