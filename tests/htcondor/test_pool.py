"""HTCondor pools on this machine: no job is lost whoever comes, goes or is killed, and strangers stay outside."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.htcondor import tokens
from jupyter_dodas.services.htcondor.configuration import MEMORY_EXCEEDED, OVERDUE
from jupyter_dodas.spec import Condition, Record
from jupyter_dodas.testing.waiting import until
from tests.batch import UP, Batch, Refused, asked
from tests.place import Place, Process

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

DAEMONS = ("condor_collector", "condor_negotiator", "condor_schedd", "condor_shared_port")


async def launch(name: str = "higgs", **options: Any) -> aio.Cluster:
    return await aio.launch("htcondor", name=name, timeout=UP, **asked(**options))


def below(place: Place, instance: str, program: str, cluster: str = "higgs") -> Sequence[Process]:
    """The processes of an instance that run this program."""

    def found(process: Process) -> Iterator[Process]:
        for child in place.children(process):
            with suppress(OSError):  # it may have ended
                if Path(f"/proc/{child.pid}/comm").read_text().strip() == program[:15]:
                    yield child
            yield from found(child)

    guard = place.instances(cluster).get(instance)
    return [] if guard is None else list(found(guard))


def workers(record: Record) -> Sequence[str]:
    return [name for name, it in record.status.instances.items() if it.group]


async def marked(batch: Batch, marks: Path, **commands: Any) -> int:
    """Submit a job that notes each of its beginnings, and ends once it may."""
    script = f"echo x >> {marks}/begun.$1; while [ ! -e {marks}/end ]; do sleep 0.1; done; echo done"
    return await batch.submit(script, **commands)


def begun(marks: Path, process: int = 0) -> int:
    return len((marks / f"begun.{process}").read_text().split())


async def test_workers_follow_idle_jobs_by_what_they_ask_for(place: Place, tmp_path: Path) -> None:
    """From none, to as many as their cores and memory need, and back; who is held needs nobody."""
    async with await launch(adapt=[0, 3], cores=2, memory="1 GiB") as pool, Batch.of(pool) as batch:
        assert workers(await pool.record()) == []
        held = await batch.submit("echo", request_memory=5000)
        await until(lambda: batch.jobs(held), within=UP, meets=lambda jobs: jobs[0]["JobStatus"] == 1)
        await batch.command("condor_hold", str(held))
        # Two of the first kind fit into the cores of a worker, and one of the other into its memory.
        small = await marked(batch, tmp_path, count=2)
        await until(pool.record, within=UP, meets=lambda record: len(ready(record)) == 1)
        large = await marked(batch, tmp_path, count=2, request_memory=800)
        await until(pool.record, within=UP, meets=lambda record: len(ready(record)) == 3)
        (tmp_path / "end").touch()
        assert set(await batch.results(small)) | set(await batch.results(large)) == {"done"}
        await until(pool.record, within=UP, meets=lambda record: not workers(record))
        assert (await batch.jobs(held))[0]["JobStatus"] == 5


def ready(record: Record) -> Sequence[str]:
    return [name for name in workers(record) if record.status.instances[name].condition is Condition.READY]


async def test_a_worker_that_retires_finishes_its_job(place: Place, tmp_path: Path) -> None:
    async with await launch(workers=2) as pool, Batch.of(pool) as batch:
        job = await marked(batch, tmp_path, count=2)
        await until(lambda: all((tmp_path / f"begun.{number}").exists() for number in (0, 1)), within=UP)
        await pool.scale(0)
        await asyncio.sleep(3)  # longer than any worker would take that did not wait
        assert len(workers(await pool.record())) == 2
        later = await batch.submit("echo later")
        (tmp_path / "end").touch()
        assert await batch.results(job) == ["done", "done"]
        assert (begun(tmp_path, 0), begun(tmp_path, 1)) == (1, 1)
        await until(pool.record, within=UP, meets=lambda record: not workers(record))
        assert (await batch.jobs(later))[0]["JobStatus"] == 1, "a worker that was to go has taken a job"
        await pool.scale(1)
        assert await batch.results(later) == ["later"]


async def test_a_job_of_a_killed_worker_runs_elsewhere(place: Place, tmp_path: Path) -> None:
    async with await launch(workers=1) as pool, Batch.of(pool) as batch:
        job = await marked(batch, tmp_path, job_lease_duration=10)
        usual = await batch.submit("echo", request_memory=5000)
        assert (await batch.jobs(usual, "JobLeaseDuration"))[0]["JobLeaseDuration"] == 40
        await until((tmp_path / "begun.0").exists, within=UP)
        place.instances("higgs")["worker-1"].kill()
        await until(lambda: begun(tmp_path), within=UP, meets=lambda times: times == 2)
        (tmp_path / "end").touch()
        assert await batch.results(job) == ["done"]


@pytest.mark.parametrize("daemon", [*DAEMONS, "condor_master"])
async def test_a_killed_daemon_of_the_manager_comes_back_and_no_job_notices(place: Place, tmp_path: Path, daemon: str) -> None:
    async with await launch(workers=1) as pool, Batch.of(pool) as batch:
        job = await marked(batch, tmp_path)
        waiting = await batch.submit("echo waited")
        await until((tmp_path / "begun.0").exists, within=UP)
        for process in below(place, "manager", daemon):
            process.kill()
        await until(lambda: below(place, "manager", daemon), within=UP)
        await until(lambda: answers(batch), within=UP)
        # One that ended before would run again: nobody would take its results.
        (tmp_path / "end").touch()
        assert await batch.results(job) == ["done"]
        assert await batch.results(waiting) == ["waited"]
        assert begun(tmp_path) == 1


async def test_a_manager_that_is_told_to_end_comes_back_and_jobs_go_on(place: Place, tmp_path: Path) -> None:
    """As when its pod moves."""
    async with await launch(workers=1) as pool, Batch.of(pool) as batch:
        job = await marked(batch, tmp_path)
        await until((tmp_path / "begun.0").exists, within=UP)
        place.children(place.instances("higgs")["manager"])[0].kill(signal.SIGTERM)
        await until(lambda: below(place, "manager", "condor_schedd"), within=UP, meets=lambda found: not found)
        await until(lambda: answers(batch), within=UP)
        (tmp_path / "end").touch()
        assert await batch.results(job) == ["done"]
        assert begun(tmp_path) == 1


async def answers(batch: Batch) -> bool:
    try:
        await batch.jobs()
    except Refused:
        return False
    return True


async def test_a_killed_startd_costs_no_job(place: Place, tmp_path: Path) -> None:
    async with await launch(workers=1) as pool, Batch.of(pool) as batch:
        job = await marked(batch, tmp_path, job_lease_duration=10)
        await until((tmp_path / "begun.0").exists, within=UP)
        for process in below(place, "worker-1", "condor_startd"):
            process.kill()
        (tmp_path / "end").touch()
        assert await batch.results(job) == ["done"]


async def test_the_queue_outlives_the_manager_and_a_restart(place: Place, tmp_path: Path) -> None:
    async with await launch(workers=0) as pool, Batch.of(pool) as batch:
        job = await batch.submit("echo $1 kept", count=3)
        await until(lambda: batch.jobs(job), within=UP, meets=lambda jobs: all(job["JobStatus"] == 1 for job in jobs))
        place.instances("higgs")["manager"].kill()
        await until(lambda: answers(batch), within=UP)
        assert len(await batch.jobs(job)) == 3
        await pool.restart(timeout=UP)
        async with Batch.of(pool) as again:
            assert len(await again.jobs(job)) == 3
            await pool.scale(1)
            assert await again.results(job, batch) == ["0 kept", "1 kept", "2 kept"]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Put what is in a folder onto a disk of that size, for who looks there from now on."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], check=True)
        try:
            shutil.copytree(aside, folder, dirs_exist_ok=True)
            yield
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_is_told_and_costs_no_job(place: Place) -> None:
    async with await launch(workers=0) as pool, Batch.of(pool) as batch:
        before = await batch.submit("echo before")
        await until(lambda: batch.jobs(before), within=UP, meets=lambda jobs: jobs[0]["JobStatus"] == 1)
        spool = place.state / "clusters" / "higgs" / "kept" / "manager" / "spool"
        with small_disk(spool, "2m"):
            place.instances("higgs")["manager"].kill()
            await until(lambda: answers(batch), within=UP)
            ballast = spool / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            (batch.folder / "large").write_bytes(bytes(500_000))
            with pytest.raises(Refused):
                await batch.submit("echo", transfer_input_files="large")
            ballast.unlink()
            await until(lambda: answers(batch), within=UP)
            assert [job["JobStatus"] for job in await batch.jobs(before)] == [1]
            await pool.scale(1)
            assert await batch.results(before) == ["before"]
            assert await batch.run("echo after") == "after"


async def test_strangers_stay_outside(place: Place, tmp_path: Path) -> None:
    """Without a token, with that of another pool, with one that is over, or signed with a key of one's own."""
    async with await launch(workers=0) as pool, await launch("other", workers=0) as other:
        connection, record = await pool.connection(), await pool.record()
        domain = tokens.domain(record.spec.name, record.spec.uid)
        key = (connection.secrets / tokens.KEY).read_bytes()
        user = f"{tokens.USER}@{domain}"
        bad = {
            "none": "",
            "foreign": ((await other.connection()).secrets / tokens.USER_TOKEN).read_text(),
            "expired": tokens.mint(key, domain, user, ("READ", "WRITE"), lifetime=60, now=1_000_000_000),
            "forged": tokens.mint(tokens.new_key(), domain, user, ("READ", "WRITE")),
        }
        good = tokens.mint(key, domain, user, ("READ", "WRITE"), lifetime=600)
        worker = (connection.secrets / tokens.WORKER_TOKEN).read_text()
        schedd = connection.addresses["schedd"]
        advertisement = tmp_path / "slot"
        slot = {"MyType": "Machine", "Name": f"slot1@evil@{domain}", "MyAddress": "<127.0.0.1:9>", "StartdIpAddr": "<127.0.0.1:9>"}
        advertisement.write_text("".join(f'{name} = "{value}"\n' for name, value in slot.items()))

        async def may(token: str) -> Sequence[str]:
            batch, found = Batch(domain, schedd, token), []
            try:
                tries = {
                    "submit": batch.submit("echo"),
                    "queue": batch.command("condor_q", "-allusers"),
                    "slots": batch.command("condor_status", "-any"),
                    "join": batch.command("condor_advertise", "-tcp", "UPDATE_STARTD_AD", advertisement),
                    "stop": batch.command("condor_off", "-daemon", "schedd", "-name", f"manager@{domain}"),
                }
                for name, attempt in tries.items():
                    try:
                        await attempt
                        found.append(name)
                    except Refused:
                        pass
            finally:
                batch.close()
            return found

        assert {name: await may(token) for name, token in bad.items()} == {name: [] for name in bad}
        assert await may(good) == ["submit", "queue", "slots"]
        assert await may(worker) == ["queue", "slots", "join"]


async def test_what_a_job_may_use_is_bounded(place: Place) -> None:
    """A job that uses more memory than it asked for, or runs for too long, is held with the reason, and others go on."""
    async with await launch(workers=1, cores=2, memory="512 MiB", job_deadline=6) as pool, Batch.of(pool) as batch:
        greedy = await batch.submit(f"exec {sys.executable} -c 'x = bytearray(300 << 20); import time; time.sleep(100)'")
        found = await batch.held(greedy)
        assert found["HoldReasonSubCode"] == MEMORY_EXCEEDED
        assert "memory" in found["HoldReason"]
        slow = await batch.submit("sleep 1000")
        found = await batch.held(slow)
        assert found["HoldReasonSubCode"] == OVERDUE
        assert "6 seconds" in found["HoldReason"]
        assert await batch.run("echo free") == "free"


async def test_jobs_have_the_variables_of_their_pool(place: Place) -> None:
    odd = """$(HOME) it's "so" $x"""
    async with await launch(workers=1, environment={"variables": {"ODD": odd}}) as pool, Batch.of(pool) as batch:
        assert await batch.run("printenv ODD") == odd
        assert await batch.run("command -v sh") != ""
        assert "DODAS" not in await batch.run("printenv")


async def test_nothing_is_left_of_a_stopped_pool(place: Place) -> None:
    async with await launch(workers=2) as pool, Batch.of(pool) as batch:
        record = await pool.record()
        await batch.running(await batch.submit("sleep 1000"))
        await until(lambda: below(place, "worker-1", "sleep") or below(place, "worker-2", "sleep"), within=UP)
    await until(place.left, within=30, meets=lambda left: not left)
    await until(lambda: list((place.state / "clusters").iterdir()), within=30, meets=lambda names: not names)
    left = Path(tempfile.gettempdir(), f"dodas-{os.getuid()}").glob(f"htcondor-{record.spec.uid}-*")
    assert not list(left)
