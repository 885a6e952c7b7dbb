"""HTCondor pools in pods: jobs from outside and inside, pods that go, a queue that stays, and limits that hold."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas import aio
from jupyter_dodas.errors import JobFailed, JobHeld
from jupyter_dodas.services.htcondor.face import HtcondorCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace, install_controller
from tests.place import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

UP = 180.0
"""Seconds in which whatever starts is there, also on a busy machine."""
CLASS = "by-hand"
ALL = "pods,services,configmaps,secrets,persistentvolumeclaims"


@pytest.fixture
async def pool(namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HtcondorCluster]:
    """A pool with two workers, whose queue lies on a volume."""
    tmp_path.chmod(0o777)  # volumes of this sort are not given to whoever uses them
    namespace.volume(tmp_path, "pool-manager", CLASS)
    monkeypatch.setenv("DODAS_KUBERNETES_STORAGE_CLASS", CLASS)
    async with await aio.launch("htcondor", name="pool", workers=2, memory="512 MiB", timeout=UP) as cluster:
        assert isinstance(cluster, HtcondorCluster)
        yield cluster
    await until(lambda: namespace.left(ALL), within=60, meets=lambda left: not left)


def sleeper() -> Callable[[float], int]:
    """Return a function that takes its time, and then says how often its job had been started before."""

    def sleep(seconds: float) -> int:
        import os
        import re
        import time
        from pathlib import Path

        time.sleep(seconds)
        found = re.search(r"^NumJobStarts = (\d+)$", Path(os.environ["_CONDOR_JOB_AD"]).read_text(), re.MULTILINE)
        return int(found[1]) if found else 0

    return sleep


def glutton() -> Callable[[int, float], int]:
    """Return a function that takes memory, and keeps it for some time."""

    def take(mebibytes: int, seconds: float) -> int:
        import time

        taken = bytearray(mebibytes * 2**20)
        taken[:: 2**12] = b"x" * len(taken[:: 2**12])
        time.sleep(seconds)
        return len(taken)

    return take


async def running(*jobs: Any) -> None:
    """Wait until jobs run."""
    await until(lambda: {job.status() for job in jobs}, within=UP, meets=lambda states: states == {"running"})


def uid(namespace: Namespace, instance: str) -> str:
    """Return which pod it is that has an instance run, once it runs."""
    named = [pod for pod in namespace.pods() if pod["metadata"]["name"] == f"pool-{instance}"]
    return "".join(pod["metadata"]["uid"] for pod in named if pod["status"].get("phase") == "Running")


async def replaced(namespace: Namespace, pool: aio.Cluster, instance: str, before: str) -> None:
    """Wait until an instance runs in another pod, and all is well again."""
    await until(lambda: uid(namespace, instance), within=UP, meets=lambda now: now not in ("", before))
    await pool.wait(timeout=UP)


async def test_the_queue_outlives_its_manager_and_no_job_is_lost(namespace: Namespace, pool: HtcondorCluster) -> None:
    sleep = sleeper()
    long = [await pool.submit(sleep, 60) for _ in range(2)]
    short = [await pool.submit(sleep, 0) for _ in range(3)]
    await running(*long)

    before = uid(namespace, "manager")
    namespace.kubectl("delete", "pod", "pool-manager", "--wait=false")
    await replaced(namespace, pool, "manager", before)

    before = uid(namespace, "manager")
    os.kill(namespace.process(before), signal.SIGKILL)
    await replaced(namespace, pool, "manager", before)

    assert await asyncio.gather(*long) == [0, 0], "jobs that ran meanwhile went on"
    assert len(await asyncio.gather(*short)) == 3

    waiting = [await pool.submit(sleep, 600) for _ in range(3)]
    names = {job.job_id for job in waiting}
    await pool.restart(timeout=UP)
    assert set((await pool.queue()).index) == names


async def test_whoever_leaves_finishes_first(namespace: Namespace, pool: HtcondorCluster) -> None:
    sleep = sleeper()
    jobs = [await pool.submit(sleep, 15) for _ in range(2)]
    await running(*jobs)
    await pool.scale(1)
    assert await asyncio.gather(*jobs) == [0, 0]
    await pool.wait(timeout=UP)

    # As when its node is emptied: nobody asked the controller.
    (left,) = (name for name in (await pool.record()).status.instances if name != "manager")
    before = uid(namespace, left)
    job = await pool.submit(sleep, 10)
    await running(job)
    namespace.kubectl("delete", "pod", f"pool-{left}", "--wait=false")
    assert await job == 0
    await replaced(namespace, pool, left, before)
    assert await (await pool.submit(pow, 2, 5)) == 32


async def test_what_takes_too_much_is_told_and_ends_alone(pool: HtcondorCluster) -> None:
    take = glutton()
    slowly = await pool.submit(take, 300, 120, memory="128 MiB")
    with pytest.raises(JobHeld, match="memory"):
        await slowly
    at_once = await pool.submit(take, 4000, 0)
    with pytest.raises((JobFailed, JobHeld)):
        await at_once
    slowly.cancel()
    at_once.cancel()
    assert await (await pool.submit(take, 10, 0)) == 10 * 2**20


def shell(script: str) -> str:
    """Return what a script prints in a shell of the pool."""
    command = [str(Path(sys.executable).with_name("dodas")), "shell", "pool", "--", "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_commands_reach_it_from_outside(pool: HtcondorCluster) -> None:
    job = await pool.submit(sleeper(), 600)
    assert await asyncio.to_thread(lambda: job.job_id)
    said = await asyncio.to_thread(shell, "condor_q -totals; condor_status -compact; condor_rm -all")
    assert "Total for query: 1 jobs" in said
    assert "All jobs have been marked for removal" in said


INSIDE = """
import warnings
import jupyter_dodas as dodas
warnings.simplefilter("ignore")
with dodas.htcondor(name="inner", workers=1, memory="512 MiB") as pool:
    print("address", pool.connection().addresses["schedd"])
    print("power", pool.submit(pow, 2, 10).result())
print("left", list(dodas.list()))
"""


async def test_a_notebook_in_the_namespace_has_jobs_run(namespace: Namespace) -> None:
    namespace.install("user.yaml")
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    namespace.notebook(INSIDE, "alice")
    said = await namespace.said(within=UP)
    assert "address inner-manager:18000\npower 1024\nleft []" in said, said
