"""The dashboards of Dask and Spark in a browser, through the extension of Jupyter Server: they work, and stay where they are.

The server has a base URL, as one below a hub has. A link that begins at the root of the site would leave it.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jupyter_dodas.testing.waiting import blocking_until
from tests.browser.screen import picture, window
from tests.jupyter import JupyterServer
from tests.place import Place

pytestmark = pytest.mark.timeout(600)

UP: Final = 120.0
SOON: Final = 30_000
SMALL: Final = {"workers": 2, "memory": "512 MiB"}
CLUSTERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "higgs": ("dask", SMALL),
    "skim": ("spark", {**SMALL, "driver_memory": "512 MiB"}),
}

ANALYSIS: Final = """
import sys, time
import jupyter_dodas as dodas

def select(part):
    time.sleep(0.04)
    return part

def histogram(part):
    time.sleep(0.02)
    return bytes(200_000 + part)

def merge(parts):
    return sum(map(len, parts))

def dask():
    client = dodas.connect("higgs").client()
    for first in range(0, 180, 60):
        histograms = client.map(histogram, client.map(select, range(first, first + 60)))
        client.submit(merge, histograms).result()
    return client, histograms

def spark():
    session = dodas.connect("skim").session()
    muons = session.range(0, 1_000_000, numPartitions=4).selectExpr("id % 7 as bin")
    for what in ("Count the muons", "One histogram for all runs", "The bins with most muons"):
        session.sparkContext.setJobDescription(what)
        assert muons.groupBy("bin").count().orderBy("count").count() == 7
    return session

held = []
for line in sys.stdin:
    held.append({"dask": dask, "spark": spark}[line.strip()]())
    print("DONE", flush=True)
"""

HUES: Final = """
canvas => {
    if (!canvas.width || !canvas.height) return 0
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)
    return new Set(pixels).size
}
"""
"""How many colours are on a canvas; an empty one has a single one."""


@dataclass(frozen=True)
class Stage:
    """A server with both clusters, and the program of a user who works on them."""

    server: JupyterServer
    program: "subprocess.Popen[bytes]"

    def path(self, cluster: str) -> str:
        """Where the dashboard of a cluster is."""
        return f"{self.server.api}/{self.server.cluster(cluster)['dashboards']['dashboard']}"

    def work(self, engine: str) -> None:
        """Have the user work with Dask or Spark, to the end of it."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(f"{engine}\n".encode())
        self.program.stdin.flush()
        heard = []
        for line in self.program.stdout:
            if line == b"DONE\n":
                return
            heard.append(line.decode())
        raise AssertionError(f"It ended: {''.join(heard[-30:])}")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    place = Place()
    server = JupyterServer(place.variables, {"ServerApp": {"base_url": "/user/ada/"}})
    try:
        for name, (kind, options) in CLUSTERS.items():
            server.client.post("clusters", json={"kind": kind, "name": name, "options": options}).raise_for_status()
        for name in CLUSTERS:
            server.until_phase(name, "ready", within=UP)
        yield Stage(server, place.run(ANALYSIS, SPARK_USER="ada"))
        for name in CLUSTERS:
            server.client.delete(f"clusters/{name}")
        for name in CLUSTERS:
            server.until_gone(name, within=UP)
    finally:
        server.close()
        place.close()


@dataclass
class Visit:
    """A page in a browser that has signed in, and everything that went wrong there."""

    page: Page
    root: str
    wrong: list[str] = field(default_factory=list)

    def assert_stays(self) -> None:
        """See that the page has what it needs, and that nothing on it leads to another place of the site."""
        self.page.wait_for_load_state("load")
        assert self.page.url.startswith(self.root)
        assert self.wrong == []
        links = self.page.locator("a[href], link[href], script[src], img[src], form[action]").evaluate_all(
            "all => all.map(one => one.href?.baseVal ?? one.href ?? one.src ?? one.action)"
        )
        own = [link for link in links if link.startswith("http") and urlsplit(link).hostname in ("127.0.0.1", "localhost")]
        assert own
        assert [link for link in own if not link.startswith(self.root)] == []


@contextmanager
def visit(browser: Browser, stage: Stage, cluster: str) -> Iterator[Visit]:
    """Sign in and open a dashboard."""
    context = window(browser)
    assert context.request.get(f"{stage.server.url}/login", params={"token": stage.server.token}).ok
    page = context.new_page()
    site = stage.server.url.partition("/user/")[0]
    visited = Visit(page, stage.path(cluster))

    def judge(response: Response) -> None:
        # Dask's tables ask for a style sheet from elsewhere, without which they are as good.
        if response.url.startswith(site) and (response.status >= 400 or not response.url.startswith(visited.root)):
            visited.wrong.append(f"{response.status} {response.url}")

    page.on("response", judge)
    page.on("pageerror", lambda error: visited.wrong.append(error.message))
    yield visited
    context.close()


def test_dask_comes_to_life(browser: Browser, stage: Stage) -> None:
    with visit(browser, stage, "higgs") as visited:
        page = visited.page
        with page.expect_websocket() as opened:
            page.goto(visited.root)
        assert opened.value.url == f"{visited.root.replace('http', 'ws', 1)}status/ws"
        canvases = page.locator("canvas")
        expect(canvases.first).to_be_visible(timeout=SOON)
        visited.assert_stays()

        def hues() -> int:
            return sum(canvases.nth(number).evaluate(HUES) for number in range(canvases.count()))

        calm = blocking_until(hues, within=30, meets=lambda found: found > canvases.count())
        stage.work("dask")
        blocking_until(hues, within=30, meets=lambda found: found > calm)
        picture(page, "dashboard-dask")

        page.get_by_role("link", name="Workers", exact=True).click()
        page.wait_for_url(f"{visited.root}workers")
        expect(page.get_by_text("worker-2").first).to_be_visible(timeout=SOON)
        visited.assert_stays()
        page.get_by_role("link", name="Info", exact=True).click()
        page.wait_for_url(f"{visited.root}info/main/workers.html")
        page.get_by_role("link", name="Logs", exact=True).click()
        page.wait_for_url(f"{visited.root}info/main/logs.html")
        visited.assert_stays()


def test_spark_is_whole_from_the_master_to_a_log(browser: Browser, stage: Stage) -> None:
    stage.work("spark")
    with visit(browser, stage, "skim") as visited:
        page = visited.page
        master = page.goto(visited.root)
        assert master is not None
        rules = master.headers["content-security-policy"]
        assert "nonce-" in rules, "Spark's own rules for its scripts"
        assert rules.endswith("frame-ancestors 'self'")
        workers = page.get_by_role("row").filter(has=page.get_by_role("link", name=re.compile("^worker-")))
        expect(workers).to_have_count(2)
        expect(workers.filter(has_text="ALIVE")).to_have_count(2)
        visited.assert_stays()

        page.get_by_role("link", name="skim", exact=True).click()
        page.wait_for_url(re.compile(re.escape(visited.root) + r"proxy/app-[\d-]+/jobs/"))
        expect(page.get_by_role("cell").filter(has_text="Count the muons").first).to_be_visible()
        visited.assert_stays()
        picture(page, "dashboard-spark")
        for tab in ("Stages", "Storage", "Environment", "SQL / DataFrame", "Executors"):
            page.get_by_role("link", name=tab, exact=True).click()
            page.wait_for_url(re.compile(rf"/{tab.partition(' ')[0].lower()}/$", re.IGNORECASE))
            visited.assert_stays()

        executors = page.locator("#active-executors-table tbody tr")  # a script fills it
        expect(executors).to_have_count(3, timeout=SOON)
        executors.get_by_role("link", name="stderr").first.click()
        page.wait_for_url(re.compile(re.escape(visited.root) + r"proxy/worker-[\w.-]+/logPage/"))
        expect(page.locator(".log-content")).to_contain_text("CoarseGrainedExecutorBackend")
        visited.assert_stays()
        page.get_by_role("link", name="Back to Master").click()
        page.wait_for_url(visited.root)

        workers.first.get_by_role("link").first.click()
        page.wait_for_url(re.compile(re.escape(visited.root) + r"proxy/worker-[\w.-]+/?$"))
        expect(page.get_by_text("Running Executors (1)")).to_be_visible()
        visited.assert_stays()


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_nobody_looks_without_a_login(browser: Browser, stage: Stage, cluster: str) -> None:
    context = window(browser)
    page = context.new_page()
    page.goto(stage.path(cluster))
    assert urlsplit(page.url).path == "/user/ada/login"
    expect(page.get_by_role("button", name="Log in", exact=True)).to_be_visible()
    context.close()
    reply = httpx.get(f"{stage.path(cluster)}json/", headers={"Authorization": "token wrong"})
    assert reply.status_code in (302, 403)
    with pytest.raises(InvalidStatus, match="403"), connect(f"{stage.path(cluster).replace('http', 'ws', 1)}status/ws"):
        pass
    # Nor does the dashboard itself let in whoever goes past the extension.
    assert httpx.get(stage.server.cluster(cluster)["status"]["addresses"]["dashboard"]).status_code in (401, 403)
