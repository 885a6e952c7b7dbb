"""What the screens in JupyterLab cost: their size, Lab's start, the way of a change to the screen, and 200 clusters.

    script/bench lab [--rounds N] [--updates N]

Lab, its server and the browser are real. The records are written as the controller writes them, by a store in this process that
serves the place's bus; nothing runs for them. No peer has such a list, so there is nothing to compare with.
"""

import argparse
import asyncio
import fcntl
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "toy")]

from benchmarks._records import spec, status  # noqa: E402 - found from here on
from jupyter_dodas.backends.local.bus import BusServer  # noqa: E402
from jupyter_dodas.backends.local.layout import Layout  # noqa: E402
from jupyter_dodas.backends.local.store import LocalStore  # noqa: E402
from jupyter_dodas.settings import load  # noqa: E402
from jupyter_dodas.spec import Problem  # noqa: E402
from tests.jupyter import JupyterServer  # noqa: E402
from tests.place import Place  # noqa: E402

BUILT: Final = ROOT / "jupyter_dodas" / "labextension"
FEW, MANY = 5, 200
WIDTH, HEIGHT = 1440, 860

# Notes how long our modules take to be evaluated and our plugins to be activated, without a line in them for that.
WATCH: Final = """
window._JUPYTERLAB = new Proxy({}, { set(all, name, container) {
  all[name] = name !== 'jupyter-dodas' ? container : { ...container, init: container.init, get: async module => {
    const make = await container.get(module);
    return () => {
      const timed = (what, work) => {
        const began = performance.now();
        try { return work(); } finally { performance.measure(`dodas ${what}`, { start: began, end: performance.now() }); }
      };
      const made = timed('evaluate', make);
      for (const plugin of [made.default].flat()) {
        const { activate } = plugin ?? {};
        if (activate) plugin.activate = (...args) => timed('activate', () => activate(...args));
      }
      return made;
    };
  } };
  return true;
} });
"""

# When something is on the screen: in the frame after the change, once that frame has been drawn.
PAINTED: Final = """
performance.setResourceTimingBufferSize(5000);
window.painted = look => new Promise(resolve => {
  const drawn = () => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve(performance.timeOrigin + performance.now());
    port2.postMessage(0);
  });
  if (look()) return drawn();
  const observer = new MutationObserver(() => { if (look()) { observer.disconnect(); drawn(); } });
  observer.observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
});
"""

CARDS: Final = "document.querySelectorAll('.dodas-Card').length"
FIRST: Final = f"window.listed = painted(() => {CARDS} > 0);"


@dataclass
class Found:
    """What was measured, in milliseconds."""

    start: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)


# -- what is measured ---------------------------------------------------------------------------------------------------


def sizes() -> tuple[float, Mapping[str, float]]:
    """KiB of all chunks, and of each, as gzip makes them."""
    found = {file.name: len(gzip.compress(file.read_bytes(), 9)) / 1024 for file in sorted((BUILT / "static").glob("*.js"))}
    return sum(found.values()), found


async def loaded(page: Page) -> Sequence[str]:
    """Name the chunks of ours that the browser has fetched."""
    names: list[str] = await page.evaluate(
        "performance.getEntriesByType('resource').map(e => e.name).filter(n => n.includes('/extensions/jupyter-dodas/'))"
    )
    return sorted({name.partition("?")[0].rpartition("/")[2] for name in names})


async def started(page: Page) -> float:
    """Add up what our modules and plugins took while Lab started."""
    took: list[float] = await page.evaluate(
        "performance.getEntriesByType('measure').filter(e => e.name.startsWith('dodas ')).map(e => e.duration)"
    )
    assert took, "nothing of ours was evaluated"
    return sum(took)


async def listed(page: Page) -> float:
    """From the request for the list until it is on the screen, while Lab starts."""
    painted: float = await page.evaluate("listed")
    asked: float = await page.evaluate(
        """performance.timeOrigin + performance.getEntriesByType('resource')
           .find(e => new URL(e.name).pathname.endsWith('/dodas/api/v1/clusters')).startTime"""
    )
    return painted - asked


async def reopened(page: Page) -> float:
    """From a click on the tab until the list is on the screen, after another panel was there."""
    await page.get_by_role("tab", name="File Browser").click()
    visible = "document.querySelector('.dodas-List')?.checkVisibility()"
    await page.wait_for_function(f"!{visible}")
    took: float = await page.evaluate(
        f"""async () => {{
          const tab = document.querySelector('li[data-id="jupyter-dodas-sidebar"]');
          const began = performance.timeOrigin + performance.now();
          for (const type of ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click']) {{
            const at = tab.getBoundingClientRect();
            const where = {{ bubbles: true, clientX: at.x + at.width / 2, clientY: at.y + at.height / 2 }};
            tab.dispatchEvent(type.startsWith('pointer') ? new PointerEvent(type, where) : new MouseEvent(type, where));
          }}
          return (await painted(() => {visible})) - began;
        }}"""
    )
    return took


async def change(page: Page, store: LocalStore, number: int, words: str) -> float:
    """From the write of a status until it is on the screen."""
    name, uid = f"dask-{number}", f"{number:012x}"
    waiting = asyncio.create_task(
        page.evaluate(
            f"""words => painted(() => document.querySelector('[data-cluster="{name}"]')?.textContent.includes(words))""", words
        )
    )
    await page.evaluate("1")  # by then the look above is there
    record = status(uid, time.time()).model_copy(update={"problem": Problem(code="limited", message=words)})
    wrote = time.time()
    await store.report(name, record)
    painted: float = await waiting
    return painted - wrote * 1000


def longest_task(trace: bytes) -> float:
    """Return the longest task of the page in a trace."""
    events: Sequence[Mapping[str, Any]] = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e["dur"] for e in events if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) in mains and "dur" in e]
    assert tasks, "the trace has no task"
    return float(max(tasks)) / 1000


# -- rounds -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def lab(browser: Browser, server: JupyterServer, name: str) -> AsyncIterator[Page]:
    """Open Lab in a window of its own, with the clusters at its side."""
    context = await browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        await context.add_init_script(WATCH + PAINTED + FIRST)
        page = await context.new_page()
        page.set_default_timeout(120_000)
        await page.goto(f"{server.url}/lab/workspaces/{name}?token={server.token}")
        yield page
    finally:
        await context.close()


async def measure(place: Place, rounds: int, updates: int) -> tuple[Found, Sequence[str]]:
    found, chunks = Found(), list[str]()
    layout = Layout.of(load(place.variables))
    layout.make()
    bus = BusServer(layout.controller_socket)
    store = LocalStore(layout, bus)
    with tempfile.TemporaryDirectory() as folder, (layout.runtime / "keeper.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # without a keeper all of them would have failed
        async with bus.serve(), chromium() as browser:
            server = await asyncio.to_thread(jupyter, place, Path(folder))
            try:
                await fill(store, range(FEW))
                for turn in range(rounds + 1):  # the first one fills the caches of the server
                    async with lab(browser, server, "few") as page:
                        await open_list(page, FEW)
                        chunks = list(await loaded(page))
                        start = await started(page)
                        took = [await change(page, store, n % FEW, f"{turn}-{n};") for n in range(updates)]
                        if turn:
                            found.start.append(start)
                            found.changes += took
                await fill(store, range(FEW, MANY))
                for turn in range(rounds + 1):
                    async with lab(browser, server, "few") as page:
                        first = await listed(page)
                        await page.wait_for_function(f"{CARDS} === {MANY}")
                        await change(page, store, 0, f"{turn}-first;")
                        shown = await reopened(page)
                        tasks = []
                        for n in range(updates):
                            await browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
                            took = [await change(page, store, (n * 37) % MANY, f"{turn}-{n};")]
                            tasks.append(longest_task(await browser.stop_tracing()))
                        if turn:
                            found.first.append(first)
                            found.shown.append(shown)
                            found.tasks += tasks
            finally:
                await asyncio.to_thread(server.close)
    return found, chunks


async def open_list(page: Page, clusters: int) -> None:
    tab = page.get_by_role("tab", name="Clusters")
    await tab.wait_for()
    if not await page.evaluate("!!document.querySelector('.dodas-List')?.checkVisibility()"):
        await tab.click()
    await page.wait_for_function(f"{CARDS} === {clusters}")


async def fill(store: LocalStore, numbers: range) -> None:
    for number in numbers:
        record = await store.create(spec(number))
        await store.report(record.name, status(record.spec.uid, time.time()))


def jupyter(place: Place, folder: Path) -> JupyterServer:
    """Start Jupyter Server with Lab and the screens of this checkout."""
    (folder / "labextensions").mkdir()
    (folder / "labextensions" / "jupyter-dodas").symlink_to(BUILT)
    (folder / "settings" / "@jupyterlab" / "apputils-extension").mkdir(parents=True)
    news = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    return JupyterServer(
        {**place.variables, "JUPYTER_PATH": str(folder)},
        {
            "ServerApp": {"jpserver_extensions": {"jupyter_server_proxy": True, "jupyterlab": True}},
            "LabApp": {"user_settings_dir": str(folder / "settings"), "workspaces_dir": str(folder / "workspaces")},
        },
    )


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    options = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=[*options, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        )
        try:
            yield browser
        finally:
            await browser.close()


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=20, help="changes in each round")
    arguments = parser.parse_args()
    if not (BUILT / "package.json").is_file():
        raise SystemExit(
            "error: The screens are not built.\nhint: script/test lab builds them; or `npm run build` in labextension."
        )
    place = Place()
    try:
        found, chunks = asyncio.run(measure(place, arguments.rounds, arguments.updates))
    finally:
        place.close()
    whole, each = sizes()
    begin = sum(size for name, size in each.items() if name in chunks)
    median = statistics.median
    print("| measure | must reach | aim | measured |")
    print("|---|---|---|---|")
    print(
        f"| prebuilt bundle, gzip: all chunks / those loaded at start | 250 / 60 KB | 120 / 25 KB | {whole:.0f} / {begin:.1f} KB |"
    )
    print(f"| evaluate and activate the plugins at Lab's start | 100 ms | 30 ms | {median(found.start):.1f} ms |")
    last, half = quantile(found.changes, 0.95), median(found.changes)
    print(f"| status change to painted in the sidebar, p95 | 300 ms | 100 ms | {last:.0f} ms (median {half:.0f} ms) |")
    shown, first = median(found.shown), median(found.first)
    print(f"| {MANY} clusters: tab clicked to painted | 500 ms | 150 ms | {shown:.0f} ms |")
    print(f"| {MANY} clusters: asked for, while Lab starts, to painted | 500 ms | 150 ms | {first:.0f} ms |")
    most, usual = quantile(found.tasks, 0.95), median(found.tasks)
    print(f"| {MANY} clusters: longest task on one update | 50 ms | 16 ms | {usual:.1f} ms (p95 {most:.1f} ms) |")
    Path("benchmarks/results").mkdir(exist_ok=True)
    Path("benchmarks/results/lab.json").write_text(json.dumps({**vars(found), "sizes": each, "loaded": chunks}, indent=1))


if __name__ == "__main__":
    main()
