"""The queue of a pool, in its card: looked at as it changes, and held jobs released and removed by clicks; its page beside it."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

import jupyter_dodas as dodas
from tests.browser.screen import picture
from tests.lab.cards import AXE, SOON, Opener, barriers, card, expect_phase

pytestmark = pytest.mark.timeout(600)

GREEDY = f"""#!{sys.executable}
import time
taken = b"x" * (300 << 20)
time.sleep(600)
"""

SLEEP = """
executable = /bin/sleep
transfer_executable = false
output = out
request_disk = 1MB
"""


def test_the_queue_of_a_pool_in_its_card(open_lab: Opener, tmp_path: Path) -> None:
    page = open_lab()
    with dodas.htcondor(name="toys", workers=2) as cluster:
        pool: Any = cluster
        expect_phase(page, "toys", "Ready")
        expect(jobs(page)).to_contain_text("no jobs", timeout=SOON)

        greedy = tmp_path / "skim"
        greedy.write_text(GREEDY)
        greedy.chmod(0o755)
        pool.submit_description(f"executable = {greedy}\nbatch_name = skim\nrequest_memory = 128\nrequest_disk = 1MB\nqueue 2\n")
        skims = hold(page, "2 jobs are held").filter(has_text="of memory were used, and 128 MiB asked for.")
        expect(skims).to_be_visible(timeout=SOON)

        pool.submit_description(f"{SLEEP}batch_name = zfit systematics\narguments = 600\nqueue 40\n")
        pool.submit_description(f"{SLEEP}batch_name = toys\narguments = 1\nhold = true\nqueue\n")
        held = hold(page, re.compile("^Job .* is held$"))
        expect(held).to_contain_text("Submitted on hold.", timeout=SOON)
        expect(jobs(page)).to_contain_text("2 of 2 cores in use", timeout=SOON)
        expect(jobs(page)).to_contain_text("38 waiting", timeout=SOON)
        jobs(page).get_by_role("button", name="Jobs").click()
        expect(jobs(page).get_by_role("listitem").first).to_contain_text("running")
        assert barriers(page, ".dodas-Jobs") == []
        picture(page, "lab/jobs-light")

        dark = open_lab("JupyterLab Dark")
        expect(hold(dark, "2 jobs are held")).to_be_visible(timeout=SOON)
        jobs(dark).get_by_role("button", name="Jobs").click()
        assert barriers(dark, ".dodas-Jobs") == []
        picture(dark, "lab/jobs-dark")

        skims.get_by_role("button", name=re.compile("^Release with 6.. MiB$")).click()
        expect(jobs(page)).to_contain_text("40 waiting", timeout=SOON)
        expect(skims).to_have_count(0)
        held.get_by_role("button", name="Remove").press("Enter")
        held.get_by_role("group", name="Remove this job for good?").get_by_role("button", name="Remove").press("Enter")
        expect(jobs(page).get_by_role("article")).to_have_count(0, timeout=SOON)
        assert pool.queue("JobStatus == 5").empty
        assert (pool.queue('JobBatchName == "skim"')["memory"] > 600).all()

        jobs(page).get_by_role("button", name="All jobs").click()
        expect(shown(page).get_by_role("table", name="Running and waiting")).to_be_visible(timeout=SOON)
        assert barriers_of_the_page(page) == []
        shown(page).get_by_role("button", name="Remove 2.0", exact=True).click()
        shown(page).get_by_role("group", name="For good?").get_by_role("button", name="Remove").click()
        expect(shown(page).get_by_role("rowheader", name="2.0", exact=True)).to_have_count(0, timeout=SOON)


def barriers_of_the_page(page: Page) -> list[str]:
    """What axe finds on the page of the pool, which lets no script in but the browser's own."""
    frame = next(frame for frame in page.frames if "/ui/page/" in frame.url)
    frame.evaluate(AXE.read_text("utf-8"))
    found: list[str] = frame.evaluate(
        "async () => (await axe.run()).violations.map(v => `${v.id}: ${v.nodes.map(n => n.html).join(' ')}`)"
    )
    return found


def jobs(page: Page) -> Locator:
    """The queue in the card."""
    return card(page, "toys").get_by_role("region", name="Jobs")


def hold(page: Page, name: str | re.Pattern[str]) -> Locator:
    """What is told of some held jobs."""
    return jobs(page).get_by_role("article", name=name)


def shown(page: Page) -> Any:
    """The page of the pool, in its tab."""
    return page.frame_locator(".dodas-Tab iframe")
