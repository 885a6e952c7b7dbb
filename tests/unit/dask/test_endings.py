"""How the processes end, and who notices."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from dask_processes import Processes
from dask_tasks import hold, wait_for_file, where_after
from distributed import fire_and_forget

from jupyter_dodas.services.base import Report
from jupyter_dodas.testing.waiting import blocking_until, until

pytestmark = pytest.mark.anyio

Fresh = Callable[..., Processes]


async def test_told_to_end_all_end_well_and_soon(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1", "worker-2")
    async with cluster.link() as watched:
        await watched.until(lambda report: len(report.ready) == 3)
        async with cluster.client(asynchronous=True) as client:
            task = client.submit(wait_for_file, str(tmp_path / "never"), 1, workers="worker-2")
            fire_and_forget(task)  # type: ignore[no-untyped-call]
            await watched.until(lambda report: report.busy == {"worker-2"})
        began = time.monotonic()
        assert cluster.end("worker-1", SIGTERM) == 0
        await watched.until(lambda report: "worker-1" not in report.ready)
        assert cluster.end("worker-2", SIGTERM) == 0, "with a task that never ends"
        await watched.until(lambda report: report.ready == {"scheduler"} and report.active)
        assert cluster.end("scheduler", SIGTERM) == 0
        assert time.monotonic() - began < 10
        assert await watched.until(lambda report: not report.ready) == Report()
    assert "Traceback" not in cluster.log("worker-1")


async def test_with_time_left_a_worker_finishes_what_it_runs_and_gives_its_data_away(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DODAS_GRACE", "12")
    cluster = fresh("scheduler", "worker-1", "worker-2")
    async with cluster.link() as watched, cluster.client(asynchronous=True) as client:
        await watched.until(lambda report: len(report.ready) == 3)
        there = {"workers": "worker-1", "allow_other_workers": True, "pure": False}
        kept = client.submit(Path.touch, tmp_path / "kept", exist_ok=False, **there)
        await kept
        running = client.submit(where_after, str(tmp_path / "go-on"), **there)
        await watched.until(lambda report: report.busy == {"worker-1"})
        cluster.running["worker-1"].send_signal(SIGTERM)
        await until(lambda: "told to end" in cluster.log("worker-1"), within=5)
        (tmp_path / "go-on").touch()
        assert await running == "worker-1"
        assert await cluster.ended("worker-1") == 0
        assert await client.gather([kept, running]) == [None, "worker-1"], "neither was computed again"


async def test_all_at_once_as_when_a_cluster_is_stopped(fresh: Fresh) -> None:
    cluster = fresh("scheduler", "worker-1", "worker-2")
    async with cluster.link() as watched:
        await watched.until(lambda report: len(report.ready) == 3)
    processes = list(cluster.running.values())
    began = time.monotonic()
    for process in processes:
        process.send_signal(SIGTERM)
    assert [process.wait(5) for process in processes] == [0, 0, 0]
    assert time.monotonic() - began < 10


async def test_a_killed_scheduler_takes_its_workers_along_and_the_link_finds_the_next(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1", "worker-2")
    async with cluster.link() as watched:
        await watched.until(lambda report: len(report.ready) == 3)
        async with cluster.client(asynchronous=True) as client:
            task = client.submit(wait_for_file, str(tmp_path / "never"), 1, workers="worker-2")
            fire_and_forget(task)  # type: ignore[no-untyped-call]
            await watched.until(lambda report: report.busy == {"worker-2"})
        cluster.end("scheduler", SIGKILL)
        killed = time.monotonic()
        assert await watched.until(lambda report: not report.ready) == Report()
        assert await cluster.ended("worker-1") == 0
        assert await cluster.ended("worker-2") == 0, "with a task that never ends"
        assert time.monotonic() - killed < 15
        cluster.start("scheduler", "worker-1")
        await watched.until(lambda report: report.ready == {"scheduler", "worker-1"})


async def test_a_killed_worker_is_missed_at_once(fresh: Fresh) -> None:
    cluster = fresh("scheduler", "worker-1", "worker-2")
    async with cluster.link() as watched, cluster.client(asynchronous=True) as client:
        await watched.until(lambda report: len(report.ready) == 3)
        future = client.submit(sum, range(1000), workers="worker-1", allow_other_workers=True)
        assert await future == 499500
        cluster.end("worker-1", SIGKILL)
        await watched.until(lambda report: report.ready == {"scheduler", "worker-2"}, within=2)
        assert await future == 499500, "computed again by the other"


def test_a_worker_told_to_end_while_it_waits_for_its_scheduler(fresh: Fresh) -> None:
    cluster = fresh("worker-1")
    blocking_until(lambda: cluster.log("worker-1"), within=10, meets=lambda log: "Waiting to connect" in log)
    assert cluster.end("worker-1") == 0


@pytest.mark.parametrize("port", ["comm", "dashboard", "control"])
def test_a_port_that_is_taken_ends_the_scheduler_with_a_reason(fresh: Fresh, port: str) -> None:
    cluster = fresh()
    with socket.create_server(("127.0.0.1", cluster.endpoint.ports[port])):
        cluster.start("scheduler")
        assert cluster.running.pop("scheduler").wait(20) == 1
    log = cluster.log("scheduler")
    assert "taken" in log or "in use" in log


async def test_a_worker_that_outgrows_its_memory_ends(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1", memory="256 MiB")
    async with cluster.link() as watched, cluster.client(asynchronous=True) as client:
        await watched.until(lambda report: len(report.ready) == 2)
        future = client.submit(hold, 400_000_000, str(tmp_path / "never"))
        assert await cluster.ended("worker-1") == 3
        await client.cancel([future])
    assert "over 95 % of its memory" in cluster.log("worker-1")
