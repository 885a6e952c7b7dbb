"""What a scheduler counts for one client."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dask_processes import Processes
from dask_tasks import count_and_wait

from jupyter_dodas.services.dask.work import begin
from jupyter_dodas.services.work import Work
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio

Fresh = Callable[..., Processes]


async def test_tasks_are_counted_for_whoever_asked_for_them(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1")
    async with cluster.client(asynchronous=True) as client, cluster.client(asynchronous=True) as other:
        observer, others = await begin(client), await begin(other)
        assert observer.title == "Dask"
        since = time.time()

        async def look(after: float = since) -> list[Work]:
            return list(await asyncio.to_thread(observer.look, after))

        assert await look() == []
        held = client.map(count_and_wait, [str(tmp_path)] * 4, range(4))
        found = await until(look, within=30, meets=lambda works: bool(works and works[0].running))
        assert (found[0].name, found[0].total, found[0].done, found[0].over) == ("count_and_wait", 4, 0, False)

        broken = client.map(int, ["1", "2", "three", "4", "5"])
        (tmp_path / "gate").touch()
        await client.gather([*held, *broken], errors="skip")
        found = await until(look, within=30, meets=lambda works: len(works) == 2 and all(work.over for work in works))
        assert found == [Work("count_and_wait", 4, 4, over=True), Work("int", 5, 4, failed=1, over=True)]
        assert await asyncio.to_thread(others.look, since) == [], "another client's tasks are not its own"

        now = time.time()
        assert await look(now) == [], "all of it was over before"
        assert await client.gather(client.map(count_and_wait, [str(tmp_path)] * 4, range(4))) == list(range(4))
        assert await look(now) == [], "results that are there are no work"

        assert not observer.over()
        assert not others.over()
        await client.close()
        assert observer.over()
        for one in (observer, others):
            await asyncio.to_thread(one.close)


async def test_what_nobody_wants_any_longer_is_not_counted(fresh: Fresh, tmp_path: Path) -> None:
    cluster = fresh("scheduler", "worker-1")
    async with cluster.client(asynchronous=True) as client:
        observer = await begin(client)
        since = time.time()
        held = client.map(count_and_wait, [str(tmp_path)] * 4, range(4))
        await until(lambda: asyncio.to_thread(observer.look, since), within=30, meets=bool)
        await client.cancel(held)
        await until(lambda: asyncio.to_thread(observer.look, since), within=30, meets=lambda works: works == [])
        (tmp_path / "gate").touch()
        await asyncio.to_thread(observer.close)
