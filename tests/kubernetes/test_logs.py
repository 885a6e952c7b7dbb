"""Logs that go on while the API server does not."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import aclosing

import pytest
from distributed import fire_and_forget

from jupyter_dodas import aio
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace, fail

pytestmark = pytest.mark.anyio

LINES = 300


def counting(number: int) -> Callable[[], None]:
    """Make what counts; inside, so that it is sent as it is: a worker cannot import this module."""

    def count() -> None:
        for line in range(number):
            sys.stdout.write(f"line {line}\n")
            sys.stdout.flush()
            time.sleep(0.02)

    return count


async def test_every_line_comes_once_though_the_api_server_was_away(namespace: Namespace) -> None:
    said: list[str] = []
    async with await aio.launch("dask", name="higgs", workers=1, timeout=60) as cluster:
        assert isinstance(cluster, DaskCluster)

        async def read() -> None:
            async with aclosing(cluster.tail("worker-1")) as logs:
                async for lines in logs:
                    said.extend(line for _, line in lines if line.startswith("line "))

        reading = asyncio.create_task(read())
        async with await cluster.client() as client:
            running = client.submit(counting(LINES), pure=False)
            await until(lambda: len(said) > 20, within=20)
            fire_and_forget(running)  # type: ignore[no-untyped-call]
        await asyncio.to_thread(fail("kube-apiserver", 2).wait)
        await until(lambda: said[-1:], within=60, meets=lambda last: last == [f"line {LINES - 1}"])
        assert said == [f"line {number}" for number in range(LINES)]
        await cluster.stop()
    async with asyncio.timeout(20):
        await reading
