"""What the controller learns of a running cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_processes import Processes
from dask_tasks import secede_and_wait, wait_for_file

from jupyter_dodas.services.base import Report, Site
from jupyter_dodas.services.dask.service import DaskService
from jupyter_dodas.services.link import ReportingLink
from jupyter_dodas.testing.waiting import until
from jupyter_dodas.versions import installed

pytestmark = pytest.mark.anyio

EVERYBODY = frozenset({"scheduler", "worker-1", "worker-2"})


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that tasks wait for; whatever becomes of a test, they do not wait for ever."""
    gate = tmp_path / "gate"
    yield gate
    gate.touch()


async def test_everybody_answers_and_nothing_is_wanted(shared: Processes) -> None:
    async with shared.link() as watched:
        assert await watched.link.report() == Report()
        report = await watched.until(lambda report: report.ready >= EVERYBODY)
        assert report.ready == EVERYBODY
        assert report.versions == installed(DaskService.packages)
        await watched.until(lambda report: report.wanted == 0 and not report.busy and not report.active)
        assert watched.changes


async def test_work_makes_workers_busy_and_wanted_until_it_is_done(shared: Processes, gate: Path) -> None:
    async with shared.link() as watched, shared.client(asynchronous=True) as client:
        futures = client.map(wait_for_file, [str(gate)] * 40, range(40))
        report = await watched.until(lambda report: len(report.busy) == 2)
        assert report.busy == {"worker-1", "worker-2"}
        assert (report.active, report.last_active) == (True, 0.0)
        # 40 tasks of an unknown kind in 5 seconds; Dask guesses half a second each, and more the longer they take.
        await watched.until(lambda report: (report.wanted or 0) >= 4)
        gate.touch()
        assert await client.gather(futures) == list(range(40))
        report = await watched.until(lambda report: not report.active)
        assert report.busy == frozenset()
        assert 0 < idle(report) < 5
        await watched.until(lambda later: idle(later) > idle(report) + 0.1)


async def test_results_in_memory_want_a_worker_but_are_no_activity(shared: Processes) -> None:
    async with shared.link() as watched, shared.client(asynchronous=True) as client:
        future = client.submit(bytes, 10_000)
        await future
        report = await watched.until(lambda report: not report.active and report.wanted == 1)
        assert report.busy == frozenset()
        future.release()
        await watched.until(lambda report: report.wanted == 0)


async def test_a_task_that_left_the_thread_pool_keeps_its_worker_busy(shared: Processes, gate: Path) -> None:
    async with shared.link() as watched, shared.client(asynchronous=True) as client:
        future = client.submit(secede_and_wait, str(gate), workers="worker-2")
        report = await watched.until(lambda report: report.busy == {"worker-2"})
        assert report.active
        gate.touch()
        await future
        await watched.until(lambda report: not report.busy)


async def test_a_task_shorter_than_a_report_counts_as_activity(shared: Processes) -> None:
    async with shared.link() as watched, shared.client(asynchronous=True) as client:
        await watched.until(lambda report: report.ready >= EVERYBODY and not report.active)
        for number in range(3):
            await client.submit(abs, -number, pure=False)
        report = await watched.until(lambda report: not report.active and idle(report) < 1)
        assert report.ready == EVERYBODY


async def test_a_link_finds_a_scheduler_that_gets_its_place_later(shared: Processes) -> None:
    site = Site("higgs", {}, shared.site.secrets)
    link = ReportingLink(lambda: site, lambda: None)
    try:
        assert await link.report() == Report()
        assert await link.drain(["worker-1"]) == ()
        site = shared.site
        await until(link.report, within=10, meets=somebody_answers)
    finally:
        await link.close()


def idle(report: Report) -> float:
    """Seconds without work."""
    return float("inf") if report.last_active is None else report.last_active


def somebody_answers(report: Report) -> bool:
    return bool(report.ready)
