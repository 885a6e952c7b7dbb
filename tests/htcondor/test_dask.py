"""Dask on a pool: its workers are jobs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas import aio
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import BadInput, NotSupported
from jupyter_dodas.services.htcondor.face import HtcondorCluster
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore::ResourceWarning")]

UP: Final = 120.0
SMALL: Final[Mapping[str, Any]] = {"cores": 1, "memory": "512 MiB", "workers": 2}


def launch(**options: Any) -> Cluster:
    return dodas.launch("htcondor", name="higgs", warm=False, timeout=UP, **{**SMALL, **options})


def active(pool: Cluster) -> int:
    """Jobs that wait or run."""
    return len(pool.queue("JobStatus < 3"))


def secret() -> tuple[int, str, str]:
    """What a worker can be seen with: the mode of the file of its key, its arguments, its environment."""
    return (
        os.stat("key.pem").st_mode & 0o777,  # noqa: PTH116 - in the job
        Path("/proc/self/cmdline").read_text(),
        Path("/proc/self/environ").read_text(),
    )


def test_workers_are_jobs_of_the_pool(place: Place) -> None:
    with launch() as pool:
        with pool.dask(workers=2) as client:
            client.wait_for_workers(2, timeout=UP)
            assert active(pool) == 2
            assert client.submit(sum, range(5)).result(timeout=UP) == 10
            assert client.gather(client.map(lambda number: number**2, range(20))) == [number**2 for number in range(20)]
            assert all(address.startswith("tls://") for address in client.scheduler_info()["workers"])
            for mode, arguments, environment in client.run(secret).values():
                assert mode == 0o600
                assert "PRIVATE KEY" not in arguments + environment
            client.cluster.scale(1)
            blocking_until(lambda: active(pool), within=UP, meets=lambda jobs: jobs == 1)
            client.cluster.adapt(minimum=0, maximum=2, interval="200ms", wait_count=1)
            blocking_until(lambda: active(pool), within=UP, meets=lambda jobs: jobs == 0)
            assert client.submit(sum, range(6)).result(timeout=UP) == 15
        blocking_until(lambda: active(pool), within=UP, meets=lambda jobs: jobs == 0)
        # Its own results are as they were.
        assert pool.submit(sum, [1, 2]).result(timeout=UP) == 3


def test_a_killed_worker_comes_back_and_its_tasks_are_done(place: Place) -> None:
    with launch() as pool, pool.dask(workers=2) as client:
        client.wait_for_workers(2, timeout=UP)
        victim = next(iter(client.run(os.getpid).values()))
        futures = client.map(slow_square, range(12), pure=False)
        os.kill(victim, 9)
        assert client.gather(futures) == [number**2 for number in range(12)]
        client.wait_for_workers(2, timeout=UP)


def slow_square(number: int) -> int:
    import time

    time.sleep(0.2)
    return number**2


@pytest.mark.anyio
async def test_the_asynchronous_face_has_it_too(place: Place) -> None:
    async with await aio.launch("htcondor", name="higgs", warm=False, timeout=UP, **SMALL) as pool:
        assert isinstance(pool, HtcondorCluster)
        async with await pool.dask(workers=1) as client:
            assert await client.submit(sum, range(5)) == 10


KERNEL = """
import sys
import jupyter_dodas as dodas
client = dodas.connect("higgs").dask(workers=1).get_client()
client.wait_for_workers(1, timeout=100)
print("up", flush=True)
sys.stdin.read()
"""


def test_jobs_end_with_the_process_of_their_user(place: Place) -> None:
    with launch(workers=1) as pool:
        kernel = place.run(KERNEL)
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == b"up\n", kernel.stdout.read().decode()
        kernel.kill()
        blocking_until(lambda: active(pool), within=UP, meets=lambda jobs: jobs == 0)


def test_what_cannot_be_is_told_before_anything_starts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with launch(workers=0) as pool:
        for asked in ({"workers": -1}, {"workers": "2"}, {"cores": 2}, {"memory": "1 TiB"}, {"memory": "much"}, {"cores": 0}):
            with pytest.raises(BadInput):
                pool.dask(**asked)
        monkeypatch.setattr("jupyter_dodas.backends.local.backend.LocalBackend.here", None)
        with pytest.raises(NotSupported, match="cannot reach"):
            dodas.connect("higgs").dask()
        assert active(pool) == 0
