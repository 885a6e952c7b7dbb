"""Journeys at the side of Lab: by keys alone, through what goes wrong, and past what wants to do harm."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer
from tests.lab.cards import SOON, Opener, barriers, card, expect_phase
from tests.place import Place

pytestmark = pytest.mark.timeout(600)

SHOW: Final = "Control+Alt+c"
"""The key that leads to the list from everywhere."""

LIST: Final = re.compile(r"/dodas/api/v1/clusters(\?|$)")
"""Where the list comes from."""

HOSTILE: Final = '<img src=x onerror="window.broken=1"> & \u202eback to front\u202c `ticks`'
LONG: Final = "x" * 10_000


def focused(there: Locator) -> bool:
    return bool(there.count()) and bool(there.evaluate("element => element === document.activeElement"))


def tab_to(page: Page, there: Locator) -> None:
    """Go there by the tab key."""
    expect(there).to_be_visible(timeout=SOON)
    for _ in range(40):
        if focused(there):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab key does not lead to {there}")


def command(page: Page, words: str) -> None:
    """Run a command by the palette."""
    page.keyboard.press("Control+Shift+c")
    expect(page.locator(".jp-ModalCommandPalette input")).to_be_focused()
    page.keyboard.type(words)
    expect(page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(words)
    page.keyboard.press("Enter")


def test_all_of_it_without_a_mouse(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
    page.keyboard.press(SHOW)
    expect(page.get_by_role("button", name="+ New")).to_be_focused()
    page.keyboard.press("Enter")
    form = page.get_by_role("form", name=re.compile("^New "))
    kind = form.get_by_role("combobox", name="Kind")
    tab_to(page, kind)
    page.keyboard.press("End")
    expect(kind.locator("option:checked")).to_have_text("Toy", timeout=SOON)
    tab_to(page, form.get_by_role("textbox", name="Name"))
    page.keyboard.type("drones")
    tab_to(page, form.get_by_role("spinbutton", name="Workers"))
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect_phase(page, "drones", "Ready")

    # From card to card, and back from a button to its card.
    server.launch("a-first")
    expect_phase(page, "a-first", "Ready")
    page.keyboard.press(SHOW)
    page.keyboard.press("Home")
    expect(card(page, "a-first")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(card(page, "drones")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("No notebook is open, so the code was copied.")).to_be_visible(timeout=SOON)
    tab_to(page, card(page, "drones").get_by_role("button", name="Logs"))
    page.keyboard.press("Escape")
    expect(card(page, "drones")).to_be_focused()

    # By the key of the card, then by the palette, which asks which one is meant.
    page.keyboard.press("w")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(card(page, "drones")).to_contain_text("3 workers", timeout=SOON)
    command(page, "Scale Cluster")
    choice = page.get_by_role("dialog").get_by_role("combobox")
    expect(choice).to_be_focused()
    page.keyboard.type("drones")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_have_value("3")
    page.keyboard.press("Control+a")
    page.keyboard.type("1-2")
    page.keyboard.press("Enter")
    expect(card(page, "drones")).to_contain_text("adapts 1 to 2", timeout=SOON)
    page.keyboard.press(SHOW)
    page.keyboard.press("k")
    expect(card(page, "drones")).to_contain_text("Kept until", timeout=SOON)
    page.keyboard.press("l")
    expect(page.get_by_role("log")).to_contain_text("is there", timeout=SOON)

    # What loses work asks once more, and Enter is no.
    page.keyboard.press(SHOW)
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog")).to_contain_text("Stop drones?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press(SHOW)
    page.keyboard.press("Delete")
    tab_to(page, page.get_by_role("dialog").get_by_role("button", name="Stop"))
    page.keyboard.press("Enter")
    expect(card(page, "drones")).to_have_count(0, timeout=SOON)
    server.client.delete("clusters/a-first")
    server.until_gone("a-first")


def test_the_list_and_the_tabs_are_back_after_the_server_was_killed(
    open_lab: Opener, server: JupyterServer, tmp_path: Path
) -> None:
    page = open_lab()
    server.launch("higgs", "dask")
    expect_phase(page, "higgs", "Ready")
    card(page, "higgs").get_by_role("button", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("worker-1", timeout=SOON)
    card(page, "higgs").get_by_role("button", name="Dashboard").click()
    frame = page.frame_locator(".dodas-Tab iframe")
    expect(frame.locator("canvas").first).to_be_visible(timeout=SOON)
    page.get_by_role("button", name="+ New").click()
    expect(page.get_by_role("form", name=re.compile("^New "))).to_be_visible(timeout=SOON)
    kept = ("logs-higgs", "dashboard-higgs", "launch-")
    written = tmp_path / "workspaces"
    blocking_until(
        lambda: "".join(file.read_text() for file in written.glob("*")),
        within=60,
        meets=lambda found: all(one in found for one in kept),
    )

    server.kill()
    expect(page.get_by_text("Jupyter Server does not answer.")).to_be_visible(timeout=SOON)
    expect(card(page, "higgs")).to_be_visible()
    server.begin_again()
    expect(page.get_by_text("Jupyter Server does not answer.")).to_have_count(0, timeout=SOON)
    expect_phase(page, "higgs", "Ready")

    page.reload()
    expect_phase(page, "higgs", "Ready")
    for tab in ("higgs: logs", "higgs: dashboard", "New cluster"):
        page.get_by_role("tab", name=tab).click()
    expect(page.get_by_role("form", name=re.compile("^New "))).to_be_visible(timeout=SOON)
    page.get_by_role("tab", name="higgs: dashboard").click()
    expect(frame.locator("canvas").first).to_be_visible(timeout=SOON)
    server.client.delete("clusters/higgs")
    expect(card(page, "higgs")).to_have_count(0, timeout=SOON)


def test_it_heals_adapts_and_keeps_to_the_quota(open_lab: Opener, server: JupyterServer, place: Place) -> None:
    page = open_lab()
    server.launch("drones", workers=2)
    expect_phase(page, "drones", "Ready")
    of = card(page, "drones")

    # The more often one dies, the longer its next start waits: at the latest then it is seen.
    def hurt() -> bool:
        workers = place.processes(lambda command: command.startswith("drones/worker-1 "))
        for process in workers:
            process.kill()
        return "Degraded" in (of.get_by_role("status").first.text_content() or "")

    blocking_until(hurt, within=60, meets=bool)
    expect_phase(page, "drones", "Ready")
    expect(of.get_by_role("img", name="2 of 2 workers are ready")).to_be_visible(timeout=SOON)

    of.get_by_role("checkbox", name="adapt").check()
    expect(of).to_contain_text("adapts 0 to 10", timeout=SOON)
    of.get_by_role("spinbutton", name="Most workers").fill("4")
    expect(of).to_contain_text("adapts 0 to 4", timeout=SOON)
    of.get_by_role("checkbox", name="adapt").uncheck()
    expect(of).not_to_contain_text("adapts", timeout=SOON)
    of.get_by_role("spinbutton", name="Number of workers").fill("100")
    expect(of.get_by_role("alert")).to_contain_text("asked for", timeout=SOON)
    of.get_by_role("button", name="Close").click()
    expect(of.get_by_role("alert")).to_have_count(0)
    server.client.delete("clusters/drones")
    server.until_gone("drones")


def test_who_looks_elsewhere_is_told_and_can_keep_it(open_lab: Opener, server: JupyterServer) -> None:
    page = open_lab()
    expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
    page.get_by_role("tab", name=re.compile("File Browser")).click()
    server.launch("drones", idle_timeout=50)  # half of that is the warning
    expect(page.get_by_text("drones is ready.")).to_be_visible(timeout=SOON)
    warning = page.get_by_role("alert").filter(has_text="unless it is kept")
    warning.get_by_role("button", name="Keep 1 h").click(timeout=SOON)
    blocking_until(lambda: server.cluster("drones")["spec"]["keep_until"], within=30, meets=bool)
    page.get_by_role("tab", name="Clusters").click()
    expect(card(page, "drones")).to_contain_text("Kept until", timeout=SOON)
    expect(card(page, "drones").get_by_role("alert")).to_have_count(0)
    expect(warning).to_have_count(0, timeout=SOON)
    server.client.delete("clusters/drones")
    server.until_gone("drones")


def told(change: Callable[[Any], None]) -> Callable[[Route], None]:
    """Let the server answer, and change what it says."""

    def answer(route: Route) -> None:
        reply = route.fetch()
        found = reply.json()
        change(found)
        route.fulfill(response=reply, body=json.dumps(found))

    return answer


def test_nothing_that_is_said_does_harm(open_lab: Opener, server: JupyterServer) -> None:
    def spoil(found: Any) -> None:
        for cluster in found["clusters"]:
            problem = {"code": "x", "message": HOSTILE, "cause": f"{HOSTILE}\n{LONG}", "remedy": HOSTILE, "retryable": False}
            cluster["status"].update(phase="failed", problem=problem)
            cluster["name"] = {"drones": HOSTILE, "rtl": "\u202e\u0645\u062c"}.get(cluster["name"], LONG)

    def routed(page: Page) -> None:
        page.route(LIST, told(spoil))
        page.route(
            re.compile("/dodas/api/v1/clusters/.*/logs"),
            lambda route: route.fulfill(
                body="".join(
                    json.dumps({"instance": HOSTILE, "line": line}) + "\n" for line in (HOSTILE, LONG, "\u202e\u0645\u0631")
                )
            ),
        )

    for name in ("drones", "long", "rtl"):
        server.launch(name)
    page = open_lab(before=routed)
    expect(page.get_by_role("article")).to_have_count(3, timeout=SOON)
    expect(page.get_by_role("heading", name=re.compile("<img src=x"))).to_be_visible()
    expect(page.locator(".dodas-List img")).to_have_count(0)
    assert page.locator(".dodas-List").evaluate("list => list.scrollWidth <= list.clientWidth"), "nothing leads to the side"
    assert barriers(page, ".dodas-List") == []
    page.get_by_role("article").last.get_by_role("button", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("<img src=x", timeout=SOON)
    expect(page.get_by_role("log")).to_contain_text(LONG)
    assert page.evaluate("window.broken") is None
    for name in ("drones", "long", "rtl"):
        server.client.delete(f"clusters/{name}")


def test_it_is_told_when_there_is_no_list(open_lab: Opener, server: JupyterServer) -> None:
    held: list[Route] = []
    page = open_lab(before=lambda page: page.route(LIST, lambda route: held.append(route)))  # noqa: PLW0108 - it is not weakly held
    expect(page.get_by_role("status", name="Reading the clusters")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("button", name="+ New")).to_be_disabled()
    refusal = {"code": "broken", "message": "The disk is full.", "cause": HOSTILE, "remedy": "Make room.", "retryable": True}
    blocking_until(lambda: (page.title(), len(held))[1], within=60, meets=bool)
    for route in held:
        route.fulfill(status=503, json={"error": refusal})
    problem = page.get_by_role("alert").filter(has_text="The disk is full.")
    expect(problem).to_contain_text("Make room.", timeout=SOON)
    assert page.evaluate("window.broken") is None
    page.unroute(LIST)
    problem.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
