"""Taking workers away without losing what they hold or run."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from dask_processes import Processes
from dask_tasks import count_and_wait, touch
from distributed import Client, Scheduler, Worker

from jupyter_dodas.services.dask.retirement import Retirement
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio

Fresh = Callable[..., Processes]


async def test_data_moves_first_and_nothing_is_computed_again(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1", "worker-2")
    async with cluster.link() as watched, cluster.client(asynchronous=True) as client:
        await watched.until(lambda report: len(report.ready) == 3)
        futures = client.map(touch, [str(tmp_path)] * 20, range(20))
        assert await client.gather(futures) == list(range(20))
        assert len(set((await client.has_what()).values())) == 2, "both workers hold something"
        assert await watched.link.drain(["worker-2"]) == ["worker-2"]
        await watched.until(lambda report: report.ready == {"scheduler", "worker-1"})
        assert await cluster.ended("worker-2") == 0
        assert await client.gather(futures) == list(range(20))
        assert begun(tmp_path) == 20, "every task ran once"
        assert await watched.link.drain(["worker-2"]) == ["worker-2"], "asking again is no error"

        assert await watched.link.drain(["worker-1"]) == [], "nobody could take the data of the last one"
        assert await client.submit(abs, -1) == 1, "so it goes on working"
        await client.cancel(futures)
        del futures
        await watched.until(lambda report: report.wanted == 0)
        assert await watched.link.drain(["worker-1"]) == ["worker-1"]
        assert await cluster.ended("worker-1") == 0


async def test_a_busy_worker_finishes_what_it_runs_and_gives_the_rest_away(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1")
    async with cluster.link() as watched, cluster.client(asynchronous=True) as client:
        # Named for worker-1, they are all sent to it at once.
        futures = client.map(count_and_wait, [str(tmp_path)] * 4, range(4), workers="worker-1", allow_other_workers=True)
        await watched.until(lambda report: report.busy == {"worker-1"})
        await until(lambda: begun(tmp_path) == 1, within=10)
        cluster.start("worker-2")
        await watched.until(lambda report: "worker-2" in report.ready)
        draining = asyncio.create_task(watched.link.drain(["worker-1"]))
        await until(lambda: begun(tmp_path) == 2, within=10)
        assert await draining == [], "it still runs one"
        (tmp_path / "gate").touch()
        assert await client.gather(futures) == list(range(4))
        assert await watched.link.drain(["worker-1"]) == ["worker-1"]
        assert begun(tmp_path) == 4, "every task ran once"
        assert await client.gather(futures) == list(range(4)), "and its results went to the other"


async def test_a_worker_that_nobody_asks_about_any_more_goes_back_to_work(tmp_path: Path) -> None:
    (runs := tmp_path / "runs").mkdir()
    async with (
        Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0", local_directory=str(tmp_path)) as scheduler,
        Worker(scheduler.address, name="worker-1", nthreads=1, local_directory=str(tmp_path)),
        Client(scheduler.address, asynchronous=True, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):
        retirement = Retirement(scheduler, lease=3)
        first, second = (client.submit(count_and_wait, str(runs), number) for number in (1, 2))
        await until(lambda: begun(runs) == 1, within=10)
        assert await retirement.retire(["worker-1"]) == []
        assert not scheduler.running
        await until(lambda: bool(scheduler.running), within=10)
        (runs / "gate").touch()
        assert (await first, await second) == (1, 2)
        await retirement.close()


def begun(folder: Path) -> int:
    """How many runs of tasks were noted."""
    return len(list(folder.glob("*-*-*")))
