"""Every state of the screens, light and dark: what is said in it, that nobody is kept out, and its picture.

What the server says of a real cluster is changed on its way. `UPDATE_PICTURES=1 script/test lab` takes the pictures anew.
"""

import copy
import datetime as dt
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.screen import PICTURES
from tests.jupyter import JupyterServer
from tests.lab.cards import SOON, Opener, barriers, card, expect_phase

pytestmark = pytest.mark.timeout(600)

Record = dict[str, Any]

NOW: Final = dt.datetime(2026, 10, 5, 14, 12, tzinfo=dt.UTC)
AT: Final = NOW.timestamp()
LIST: Final = re.compile(r"/dodas/api/v1/clusters(\?|$)")
QUOTA: Final = re.compile(r"/dodas/api/v1/quota(\?|$)")
GIB: Final = 2**30

REFUSED: Final = {
    "code": "quota-exceeded",
    "message": "48 cores asked for, 20 free",
    "cause": "Running clusters use the rest of cms-italy's share.",
    "remedy": "Ask for at most 20 workers, or stop a cluster.",
    "retryable": False,
    "option": "workers",
    "retry": {"workers": 20},
}
FULL: Final = {
    "code": "store-full",
    "message": "There is no space left to write /home/alice/.local/state/jupyter-dodas",
    "cause": "No space left on device",
    "remedy": "Free some space there, or set DODAS_STATE to a folder on another disk.",
    "retryable": True,
}


class Stage:
    """What a page is told in place of what is."""

    def __init__(self) -> None:
        self.clusters: list[Record] = []
        self.cores = 0
        self.answer: Callable[[Route], object] | None = None
        self.held: list[Route] = []

    def routed(self, page: Page) -> None:
        """Answer for the server; Lab's clock stands still."""
        page.clock.set_fixed_time(NOW)
        page.route(LIST, self._list)
        page.route(QUOTA, lambda route: route.fulfill(json=self._quota()))
        self.answer = self.held.append

    def show(self, page: Page, *clusters: Record, cores: int = 0) -> None:
        """Let the page read another list."""
        self.clusters, self.cores, self.answer = list(clusters), cores, None
        again(page)

    def _list(self, route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=409, json={"error": REFUSED})
        elif self.answer is None:
            route.fulfill(json={"clusters": self.clusters})
        else:
            self.answer(route)

    def _quota(self) -> Record:
        limits = {"clusters": None, "workers": None, "cores": 32, "memory": 96 * GIB}
        used = {"clusters": len(self.clusters), "workers": self.cores, "cores": self.cores, "memory": 2 * GIB * self.cores}
        return {"limits": limits, "used": used, "enforced": True, "groups": ["cms-italy"]}


def again(page: Page) -> None:
    """Have everything read again, as when the network is back."""
    page.evaluate("window.dispatchEvent(new Event('online'))")


def like(record: Record, name: str, workers: int, conditions: Mapping[str, str] | None = None, **status: Any) -> Record:
    """A cluster as the server shows it, in another state."""
    made = copy.deepcopy(record)
    made["name"] = name
    made["spec"].update(uid=name, options={"workers": workers})
    instances = {"scheduler": {"role": "scheduler", "group": None, "condition": "ready", "cores": 0, "memory": 0}}
    for number in range(1, workers + 1):
        instances[f"worker-{number}"] = {
            "role": "worker",
            "group": "worker",
            "condition": "ready",
            "cores": 2,
            "memory": 4 * GIB,
        }
    for instance, condition in (conditions or {}).items():
        instances[instance]["condition"] = condition
    usual = {"phase": "ready", "steps": [], "ready_at": AT - 600, "problem": None, "idle_since": None, "stops_at": None}
    made["status"].update({**usual, **status}, instances=instances, targets={"worker": workers})
    return made


def portrait(page: Page, what: Locator, name: str, theme: str) -> None:
    """Take a picture of a part of the page."""
    page.mouse.move(0, 0)
    shown = what.screenshot(animations="disabled")
    assert len(shown) > 3_000, "there is next to nothing on it"
    if os.environ.get("UPDATE_PICTURES"):
        folder = PICTURES / "lab"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}-{theme.lower()}.png").write_bytes(shown)


class Gallery:
    """Pictures of one page in one theme, each with a look for what keeps people out."""

    def __init__(self, page: Page, theme: str) -> None:
        self.page, self._theme = page, theme
        self._side = page.locator("#jupyter-dodas-sidebar")

    def add(self, name: str, what: Locator | None = None, within: str = ".dodas-List") -> None:
        """Take the picture of a state, of the list at the side unless something else is said."""
        portrait(self.page, what or self._side, name, self._theme)
        assert barriers(self.page, within) == [], name


def without_a_list(page: Page, stage: Stage, gallery: Gallery) -> None:
    """While it is read, when it cannot be read, and when there is nothing in it."""
    panel = page.locator(".dodas-List")
    expect(panel.get_by_role("status", name="Reading the clusters")).to_be_visible(timeout=SOON)
    gallery.add("loading")
    for route in stage.held:
        route.fulfill(status=507, json={"error": FULL})
    expect(panel.get_by_role("alert")).to_contain_text("There is no space left", timeout=SOON)
    gallery.add("error")
    stage.show(page)
    expect(panel.get_by_text("No clusters yet.")).to_be_visible(timeout=SOON)
    gallery.add("empty")


def with_a_cluster(page: Page, stage: Stage, gallery: Gallery, real: Record) -> None:
    """A cluster in each of its phases, and when nobody tells of it."""
    steps = [
        {"name": "Scheduler answers", "started": AT - 3, "ended": AT - 2.1, "usually": 1.0},
        {"name": "Workers 1 of 4", "started": AT - 2.1, "ended": None, "usually": 6.0},
    ]
    early = {"worker-2": "starting", "worker-3": "starting", "worker-4": "starting"}
    stage.show(page, like(real, "skim", 4, phase="starting", ready_at=None, steps=steps, conditions=early), cores=8)
    expect(card(page, "skim")).to_contain_text("usually 6.0 s", timeout=SOON)
    gallery.add("starting")
    stage.show(page, like(real, "higgs", 4), cores=8)
    expect(card(page, "higgs")).to_contain_text("4 workers", timeout=SOON)
    gallery.add("ready")
    wound = {
        "code": "hurt",
        "message": "worker-3 has ended 3 times.",
        "cause": "It was killed: it used more memory than it asked for.",
        "remedy": "Ask for more memory a worker.",
    }
    stage.show(page, like(real, "higgs", 4, phase="degraded", problem=wound, conditions={"worker-3": "waiting"}), cores=8)
    expect(card(page, "higgs")).to_contain_text("3 of 4 workers", timeout=SOON)
    gallery.add("degraded")
    stage.show(page, like(real, "fit", 2, idle_since=AT - 3000, stops_at=AT + 600), cores=4)
    expect(card(page, "fit").get_by_role("button", name="Keep 1 h")).to_be_visible(timeout=SOON)
    gallery.add("idle")
    failure = {
        "code": "failed",
        "message": "The scheduler ended as soon as it was started.",
        "cause": "Traceback (most recent call last):\n  File \"preload.py\", line 3\nModuleNotFoundError: No module named 'coffea'",
        "remedy": "Install `coffea` where the cluster runs, and start it again.",
    }
    over = [{**steps[0], "ended": None}]
    stage.show(page, like(real, "big", 0, phase="failed", ready_at=None, steps=over, problem=failure))
    expect(card(page, "big").get_by_role("button", name="Start again")).to_be_visible(timeout=SOON)
    gallery.add("failed")
    stage.show(page, like(real, "higgs", 2), cores=4)
    expect_phase(page, "higgs", "Ready")
    stage.answer = lambda route: route.abort()
    again(page)
    expect(page.locator(".dodas-List").get_by_text("Jupyter Server does not answer.")).to_be_visible(timeout=SOON)
    gallery.add("offline")


def in_the_form(page: Page, stage: Stage, gallery: Gallery, real: Record) -> None:
    """The form, and a refusal at its field."""
    stage.show(page, like(real, "higgs", 2), cores=12)
    expect(page.locator(".dodas-List").get_by_text("Jupyter Server does not answer.")).to_have_count(0, timeout=SOON)
    page.set_viewport_size({"width": 1200, "height": 640})
    # What was told of clusters that are gone, or seen to, is told no more.
    expect(page.locator(".Toastify__toast")).to_have_count(0, timeout=SOON)
    page.get_by_role("button", name="+ New").click()
    form = page.get_by_role("form", name=re.compile("^New "))
    form.get_by_role("combobox", name="Kind").select_option("dask")
    form.get_by_role("textbox", name="Name").fill("higgs-2")
    form.get_by_role("spinbutton", name="Workers", exact=True).fill("8", timeout=SOON)
    expect(form.get_by_text("12 + 8 of 32 cores")).to_be_visible(timeout=SOON)
    dock = page.locator("#jp-main-dock-panel")
    gallery.add("form", dock, ".dodas-Launch")
    form.get_by_role("spinbutton", name="Workers", exact=True).fill("48")
    form.get_by_role("button", name="Launch").click()
    expect(form.get_by_role("alert").filter(has_text="Ask for at most 20 workers")).to_be_visible(timeout=SOON)
    gallery.add("form-refused", dock, ".dodas-Launch")


def in_tabs(page: Page, gallery: Gallery) -> None:
    """A dashboard and logs, docked."""
    page.get_by_role("tab", name="New cluster").locator(".lm-TabBar-tabCloseIcon").click()

    card(page, "higgs").get_by_role("button", name="Dashboard").click()
    expect(page.frame_locator(".dodas-Tab iframe").get_by_text("Data Transfer")).to_be_visible(timeout=SOON)
    gallery.add("dashboard", page.locator("#main"))
    card(page, "higgs").get_by_role("button", name="Logs").click()
    expect(page.get_by_role("log")).to_contain_text("worker-1", timeout=SOON)
    gallery.add("logs", page.locator("#main"), ".dodas-Logs")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_every_state(open_lab: Opener, server: JupyterServer, theme: str) -> None:
    server.launch("higgs", "dask", workers=2)
    real = server.cluster("higgs")
    stage = Stage()
    page = open_lab(f"JupyterLab {theme}", before=stage.routed)
    page.set_viewport_size({"width": 1000, "height": 450})
    gallery = Gallery(page, theme)
    without_a_list(page, stage, gallery)
    with_a_cluster(page, stage, gallery, real)
    in_the_form(page, stage, gallery, real)
    in_tabs(page, gallery)
    server.client.delete("clusters/higgs")
    server.until_gone("higgs")
