"""Dask on a pool: the scheduler is in the process of the user, the workers are jobs.

Workers and scheduler speak TLS with a certificate of this one use. Its key reaches the jobs as a file of theirs; nothing of it is
in arguments or the environment.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from distributed import Client, Scheduler, SpecCluster
from distributed.deploy.spec import ProcessInterface
from distributed.security import Security

from jupyter_dodas.errors import BadInput, DodasError, NotFound
from jupyter_dodas.services.htcondor.pool import Pool

__all__ = ["DaskPool", "Queue", "Shape", "opening"]

logger = logging.getLogger(__name__)

_CERTIFICATE: Final = "cert.pem"
_KEY: Final = "key.pem"
_PATIENCE: Final = 60
"""Seconds after which a worker whose scheduler does not answer ends."""
_TRIES: Final = 5
_WATCH: Final = 3.0
"""Seconds between looks at jobs of which no worker has come yet."""
_HELD: Final = 5
_SPOOLING: Final = 16
"""HTCondor's code for a job whose files are on their way to the queue."""


class Queue(Protocol):
    """What is needed of a pool. All of it blocks."""

    def submit(
        self, description: Mapping[str, str], *, items: Sequence[Mapping[str, str]], count: int = 1, spool: bool = True
    ) -> Sequence[str]:
        """Put jobs into the queue, with their files; return their names."""
        ...

    def act(self, action: str, jobs: Sequence[str], reason: str) -> int:
        """Do something to jobs."""
        ...

    def jobs(self, constraint: str, projection: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return what the queue knows of jobs."""
        ...


@dataclass(frozen=True)
class Shape:
    """What each worker has: cores, which are its threads, and bytes of memory; and the Python that it runs in."""

    cores: int
    memory: int
    python: str


def opening(pool: Pool, host: str, workers: int, cores: int, memory: str | int | None) -> "Callable[..., DaskPool]":
    """Check what is asked for, and return what opens a Dask cluster, on a loop of its own or on the running one.

    Raises
    ------
    BadInput
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise BadInput(f"workers={workers!r} will not do", cause="It is a number, not below 0.", remedy="For instance workers=2.")
    shape = Shape(*pool.shape(cores, memory), pool.python)
    return partial(DaskPool, pool.session, pool.name, host, shape, workers)


class DaskPool(SpecCluster):
    """A Dask cluster whose workers are jobs. As a context it gives a client, and closes both.

    ``client.cluster.scale(4)`` and ``client.cluster.adapt(minimum=0, maximum=10)`` are those of Dask.

    Parameters
    ----------
    queue
        Of the pool.
    name
        Of the pool.
    host
        The address at which workers reach this process.
    """

    def __init__(self, queue: Queue, name: str, host: str, shape: Shape, workers: int, *, asynchronous: bool = False) -> None:
        security = Security.temporary()  # type: ignore[no-untyped-call]
        self._jobs = _Jobs(queue, name, shape, security)
        self._client: Client | None = None
        spec = {"cls": partial(_Job, self._jobs), "options": {"cores": shape.cores, "memory": shape.memory}}
        self._watching: asyncio.Task[None] | None = None
        super().__init__(  # type: ignore[no-untyped-call]
            workers={f"{name}-{number}": spec for number in range(workers)},
            scheduler={"cls": _Scheduler, "options": {"host": host, "port": 0, "security": security, "dashboard": False}},
            worker=spec,
            security=security,
            name=f"{name}-dask",
            silence_logs=logging.WARNING,
            asynchronous=asynchronous,
        )

    def __enter__(self) -> Client:
        self.sync(super().__aenter__)  # type: ignore[no-untyped-call]
        self._client = Client(self)  # type: ignore[no-untyped-call]
        return self._client

    def __exit__(self, *exception: object) -> None:
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Client:
        self._client = await Client(await super().__aenter__(), asynchronous=True)  # type: ignore[no-untyped-call]
        return self._client

    async def __aexit__(self, *exception: object) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
        await super().__aexit__(*exception)  # type: ignore[no-untyped-call]

    async def _start(self) -> None:
        await super()._start()  # type: ignore[no-untyped-call]
        if self._watching is None:
            self._watching = asyncio.create_task(self._jobs.watch(self._joined), name="jobs of Dask")

    async def _close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        try:
            await super()._close()  # type: ignore[no-untyped-call]
        finally:
            await self._jobs.close()

    def _new_worker_name(self, worker_number: int) -> str:
        return f"{self._jobs.name}-{worker_number}"

    def _joined(self) -> frozenset[str]:
        """Return the names of the workers that have come."""
        return frozenset(str(worker["name"]) for worker in self.scheduler_info["workers"].values())


class _Scheduler(Scheduler):
    """A scheduler that serves no pages: they have no sign-in, and the machine may have other users."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Serve nothing."""


class _Job(ProcessInterface):
    """A worker as the cluster sees it: submitted, removed."""

    def __init__(self, jobs: "_Jobs", scheduler: str, name: str, **_: object) -> None:
        super().__init__(scheduler=scheduler, name=name)  # type: ignore[no-untyped-call]
        self._jobs, self._scheduler, self._name = jobs, scheduler, name

    async def start(self) -> None:
        """Submit it."""
        await self._jobs.add(self._name, self._scheduler)
        await super().start()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Remove it, if it has not ended by itself."""
        await self._jobs.remove(self._name)
        await super().close()  # type: ignore[no-untyped-call]


class _Jobs:
    """The jobs of one cluster. What is asked for at the same moment goes to the queue at once."""

    def __init__(self, queue: Queue, name: str, shape: Shape, security: Security) -> None:
        self.name = name
        self._queue, self._shape, self._security = queue, shape, security
        self._known: dict[str, str] = {}
        self._told: set[str] = set()
        self._coming: dict[str, asyncio.Future[None]] = {}
        self._going: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, name: str, scheduler: str) -> None:
        """Submit a worker."""
        if not self._coming:
            self._begin(self._submit(scheduler))
        self._coming[name] = asyncio.get_running_loop().create_future()
        await self._coming[name]

    async def remove(self, name: str) -> None:
        """Remove a worker."""
        if name not in self._known:
            return
        if not self._going:
            self._begin(self._take_away())
        self._going[name] = asyncio.get_running_loop().create_future()
        await self._going[name]

    async def close(self) -> None:
        """Remove whatever is left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self.remove(name) for name in list(self._known)), return_exceptions=True)

    async def watch(self, joined: Callable[[], frozenset[str]]) -> None:
        """Warn of jobs that are held, or have ended, before a worker came of them."""
        while True:
            await asyncio.sleep(_WATCH)
            if waiting := {name: job for name, job in self._known.items() if name not in joined() and name not in self._told}:
                with suppress(DodasError):  # of a queue that is away for a moment
                    self._warn(waiting, await asyncio.to_thread(self._look, list(waiting.values())))

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, scheduler: str) -> None:
        await asyncio.sleep(0)  # the others of the same moment
        names = list(self._coming)
        waiting, self._coming = self._coming, {}
        try:
            jobs = await asyncio.to_thread(self._submit_all, names, scheduler)
        except Exception as error:  # noqa: BLE001 - each of those who wait raises it
            for future in waiting.values():
                future.set_exception(error)
            return
        for (name, future), job in zip(waiting.items(), jobs, strict=True):
            self._known[name] = job
            self._told.discard(name)
            if not future.done():
                future.set_result(None)

    def _submit_all(self, names: Sequence[str], scheduler: str) -> Sequence[str]:
        folder = Path(tempfile.mkdtemp(prefix="dodas-"))
        try:
            secrets = self._security.get_tls_config_for_role("worker")  # type: ignore[no-untyped-call]
            _private(folder / _CERTIFICATE, secrets["cert"])
            _private(folder / _KEY, secrets["key"])
            description = _description(self._shape, scheduler, folder, f"{self.name}-dask")
            return self._queue.submit(description, items=[{"worker": name} for name in names])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _take_away(self) -> None:
        await asyncio.sleep(0)
        going, self._going = self._going, {}
        jobs = [self._known.pop(name) for name in going if name in self._known]
        remove = partial(self._queue.act, "Remove", jobs, "Dask needs this worker no longer")
        try:
            try:
                await asyncio.to_thread(remove)
            except RuntimeError:  # the process ends, and has no threads for such work any more
                remove()
        except NotFound:
            pass  # the pool has gone, and they with it
        except DodasError as error:
            # They end by themselves, when their scheduler has gone.
            logger.warning("Jobs of Dask's workers could not be removed: %s", error)
        finally:
            for future in going.values():
                if not future.done():
                    future.set_result(None)

    def _look(self, jobs: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        constraint = " || ".join(f"(ClusterId == {c} && ProcId == {p})" for c, _, p in (job.partition(".") for job in jobs))
        ads = self._queue.jobs(constraint, ["ClusterId", "ProcId", "JobStatus", "HoldReason", "HoldReasonCode"])
        return {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads}

    def _warn(self, waiting: Mapping[str, str], found: Mapping[str, Mapping[str, Any]]) -> None:
        for name, job in waiting.items():
            if self._known.get(name) != job:
                continue
            if job not in found:
                why = "It ended before it reached the scheduler; the environment of the workers may have no `distributed`."
            elif found[job]["JobStatus"] == _HELD and found[job].get("HoldReasonCode") != _SPOOLING:
                why = str(found[job].get("HoldReason", ""))
            else:
                continue
            self._told.add(name)
            logger.warning("The job %s of Dask's worker %r does not run: %s", job, name, why)


def _description(shape: Shape, scheduler: str, folder: Path, batch: str) -> Mapping[str, str]:
    """Describe the job of a worker; one that ends in trouble begins anew."""
    arguments = [
        *("-m", "distributed.cli.dask_worker", scheduler),
        *("--tls-ca-file", _CERTIFICATE, "--tls-cert", _CERTIFICATE, "--tls-key", _KEY),
        *("--name", "$(worker)", "--nthreads", str(shape.cores), "--memory-limit", str(shape.memory)),
        *("--no-nanny", "--no-dashboard", "--death-timeout", str(_PATIENCE), "--local-directory", "."),
    ]
    return {
        "executable": shape.python,
        "transfer_executable": "false",
        "arguments": " ".join(arguments),
        "transfer_input_files": f"{folder / _CERTIFICATE}, {folder / _KEY}",
        "transfer_output_files": '""',
        "should_transfer_files": "yes",
        "output": "/dev/null",
        "error": "/dev/null",
        "request_cpus": str(shape.cores),
        "request_memory": f"{-(-shape.memory // 2**20)}",
        "max_retries": str(_TRIES),
        # One that is removed was retired, or has no scheduler any more, whose answer it could wait for with a slot that is wanted.
        "remove_kill_sig": "SIGKILL",
        "leave_in_queue": "false",
        "+JobBatchName": f'"{batch}"',
    }


def _private(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
