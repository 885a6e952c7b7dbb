"""What a user holds of an HTCondor pool: all that any cluster can, and jobs.

Importing this is cheap: what speaks with the pool comes with the first job, or with `HtcondorCluster.warm`.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_dodas import blocking
from jupyter_dodas.errors import BadInput, DodasError, MissingSoftware, NotFound, NotSupported, PoolUnreachable
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.htcondor import tokens
from jupyter_dodas.services.htcondor.face.flocking import FlockingCluster
from jupyter_dodas.services.htcondor.options import HtcondorOptions

if TYPE_CHECKING:
    import htcondor2
    import pandas as pd  # type: ignore[import-untyped]

    from jupyter_dodas.services.htcondor.dask import DaskPool
    from jupyter_dodas.services.htcondor.futures import JobFuture
    from jupyter_dodas.services.htcondor.mapping import Results
    from jupyter_dodas.services.htcondor.matching import Why
    from jupyter_dodas.services.htcondor.pool import Pool
    from jupyter_dodas.services.htcondor.session import Where

__all__ = ["HtcondorCluster"]

Program = Callable[..., Any] | str | os.PathLike[str]
Files = Sequence[str | os.PathLike[str]]
Outputs = Sequence[str] | Mapping[str, str | os.PathLike[str]]
Jobs = "str | JobFuture | Iterable[str | JobFuture]"


class HtcondorCluster(FlockingCluster):
    """An HTCondor pool."""

    _kept: "Pool | None" = None
    _lock = threading.Lock()

    @classmethod
    def warm(cls, asked: Options, here: str | None) -> None:  # noqa: ARG003 - it needs the same for all of them
        """Start and import what the first job needs, while the pool starts."""
        from jupyter_dodas.services.htcondor import pool, session

        session.prepare()
        pool.warm()

    async def submit(
        self,
        what: Program,
        /,
        *args: Any,
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        disk: str | int | None = None,
        inputs: Files = (),
        outputs: Outputs = (),
        deadline: float | None = None,
        name: str | None = None,
        retries: int = 0,
        environment: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> "JobFuture":
        """Have a job call a function, or run a program, and return its future.

        Parameters
        ----------
        what
            A function, which may be written in a notebook; modules beside that come along. Or a program: a script of yours,
            ``"./analysis.sh"``, which goes along, or what workers have, ``"/bin/sh"``.
        *args, **kwargs
            What to call it with. A program takes texts and numbers, and no names.
        cpus, gpus
            Cores and GPUs for it alone.
        memory
            Such as ``"1 GiB"``; by default its share of a worker. A job that uses more is held.
        disk
            The same, for what it writes.
        inputs
            Files and folders that it finds where it works.
        outputs
            Files and folders that it leaves there, and that come back: to a folder of its own, which `JobFuture.outputs` names; or
            as a mapping from each to where it is to be.
        deadline
            Seconds that it may run. Then it is removed.
        name
            What the queue calls it; by default what the function or program is called.
        retries
            How often it is run again if it fails.
        environment
            Variables, never a secret.

        Raises
        ------
        BadInput
            If it can never run: with what no worker has, or with what cannot be sent.
        PoolUnreachable, ClusterFailed, NotFound
        """
        return (await asyncio.to_thread(self._pool)).submit(
            what, args, kwargs, _asked(cpus, memory, gpus, disk, inputs, outputs, deadline, name, retries, environment)
        )

    def blocking_submit(
        self,
        what: Program,
        /,
        *args: Any,
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        disk: str | int | None = None,
        inputs: Files = (),
        outputs: Outputs = (),
        deadline: float | None = None,
        name: str | None = None,
        retries: int = 0,
        environment: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> "JobFuture":
        """See `submit`."""
        return self._pool().submit(
            what, args, kwargs, _asked(cpus, memory, gpus, disk, inputs, outputs, deadline, name, retries, environment)
        )

    async def map(
        self,
        function: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        deadline: float | None = None,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        bundle: int | None = None,
    ) -> "Results":
        """Call a function with each element, in few jobs, and return an iterator over what it gives, in order.

        What a call raises is raised in its place; those after it can still be had. Taking from the iterator waits.

        Parameters
        ----------
        *iterables
            One for each parameter; the shortest ends it.
        cpus, memory, gpus, deadline, environment
            Of each job; see `submit`.
        bundle
            Calls of each job; by default so many that all slots are busy, and end at about the same time.
        """
        return await asyncio.to_thread(
            self.blocking_map,
            function,
            *iterables,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            deadline=deadline,
            name=name,
            environment=environment,
            bundle=bundle,
        )

    def blocking_map(
        self,
        function: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        deadline: float | None = None,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
        bundle: int | None = None,
    ) -> "Results":
        """See `map`."""
        asked = _asked(cpus, memory, gpus, None, (), (), deadline, name, 0, environment)
        return self._pool().map(function, iterables, asked, bundle)

    async def array(
        self,
        what: Program,
        arguments: Iterable[Any],
        /,
        *,
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        disk: str | int | None = None,
        inputs: Files = (),
        outputs: Outputs = (),
        deadline: float | None = None,
        name: str | None = None,
        retries: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> "list[JobFuture]":
        """Submit many jobs as one: a cluster of jobs, as HTCondor calls it. Returns their futures.

        Parameters
        ----------
        what
            See `submit`, as for all other parameters.
        arguments
            Of each job: a tuple of them, or the only one.
        """
        return await asyncio.to_thread(
            self.blocking_array,
            what,
            arguments,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            disk=disk,
            inputs=inputs,
            outputs=outputs,
            deadline=deadline,
            name=name,
            retries=retries,
            environment=environment,
        )

    def blocking_array(
        self,
        what: Program,
        arguments: Iterable[Any],
        /,
        *,
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        disk: str | int | None = None,
        inputs: Files = (),
        outputs: Outputs = (),
        deadline: float | None = None,
        name: str | None = None,
        retries: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> "list[JobFuture]":
        """See `array`."""
        asked = _asked(cpus, memory, gpus, disk, inputs, outputs, deadline, name, retries, environment)
        return self._pool().array(what, arguments, asked)

    async def submit_description(self, description: str | Mapping[str, str], *, count: int = 0) -> "list[JobFuture]":
        """Submit what is described in HTCondor's own words, and return futures of its jobs.

        Parameters
        ----------
        description
            The content of a submit file, or its commands as a mapping.
        count
            How many jobs; by default as many as its ``queue`` says, or one.

        Raises
        ------
        BadInput
            With what HTCondor says of it.
        """
        return await asyncio.to_thread(self.blocking_submit_description, description, count=count)

    def blocking_submit_description(self, description: str | Mapping[str, str], *, count: int = 0) -> "list[JobFuture]":
        """See `submit_description`."""
        return self._pool().submit_description(description, count)

    async def jobs(self, constraint: str | None = None) -> "list[JobFuture]":
        """Return futures of the jobs whose results have not been fetched, by whatever process they were submitted.

        Each gives what its first future would have given; the job of a `map`, a list of what its calls gave. Jobs of this process
        have the futures that they had. The result of a job goes to one process: in others, its future then says so.

        Parameters
        ----------
        constraint
            Of HTCondor: ``'JobBatchName == "fit"'``.
        """
        return await asyncio.to_thread(self.blocking_jobs, constraint)

    def blocking_jobs(self, constraint: str | None = None) -> "list[JobFuture]":
        """See `jobs`."""
        return self._pool().jobs(constraint)

    async def queue(self, constraint: str | None = None) -> "pd.DataFrame":
        """Return the queue: a row for each job, by its name. Memory is in MiB.

        Parameters
        ----------
        constraint
            Of HTCondor: ``"JobStatus == 5"``.
        """
        return await asyncio.to_thread(self.blocking_queue, constraint)

    def blocking_queue(self, constraint: str | None = None) -> "pd.DataFrame":
        """See `queue`."""
        return self._pool().queue(constraint)

    async def history(self, limit: int = 100) -> "pd.DataFrame":
        """Return jobs that have left the queue, the latest first: how they ended, and what they took. Memory is in MiB.

        Parameters
        ----------
        limit
            How many at most.
        """
        return await asyncio.to_thread(self.blocking_history, limit)

    def blocking_history(self, limit: int = 100) -> "pd.DataFrame":
        """See `history`."""
        return self._pool().history(limit)

    async def release(self, jobs: Any = None, *, memory: str | int | None = None) -> int:
        """Let held jobs go on, and return how many.

        Parameters
        ----------
        jobs
            Futures or names; by default all that are held.
        memory
            What to ask for instead, such as ``"4 GiB"``, of jobs that had too little.
        """
        return await asyncio.to_thread(self.blocking_release, jobs, memory=memory)

    def blocking_release(self, jobs: Any = None, *, memory: str | int | None = None) -> int:
        """See `release`."""
        return self._pool().release(jobs, memory)

    async def remove(self, jobs: Any) -> int:
        """Take jobs away, and return how many.

        Parameters
        ----------
        jobs
            Futures or names: ``"12.0"``, or ``"12"`` for all of a cluster of jobs.
        """
        return await asyncio.to_thread(self.blocking_remove, jobs)

    def blocking_remove(self, jobs: Any) -> int:
        """See `remove`."""
        return self._pool().remove(jobs)

    async def why(self, job: "str | JobFuture") -> "Why":
        """Say in words why a job does not run.

        Raises
        ------
        NotFound
            If nothing is known of such a job.
        """
        return await asyncio.to_thread(self.blocking_why, job)

    def blocking_why(self, job: "str | JobFuture") -> "Why":
        """See `why`."""
        return self._pool().why(job)

    async def client(self) -> "htcondor2.Schedd":
        """Return HTCondor's own object for the queue. It blocks, and while it waits so does every thread of this process."""
        return await asyncio.to_thread(self.blocking_client)

    def blocking_client(self) -> "htcondor2.Schedd":
        """See `client`."""
        return self._pool().session.client()

    async def surroundings(self) -> Mapping[str, str]:
        """See `aio.Cluster.surroundings`: HTCondor's own commands work in such a shell.

        Raises
        ------
        MissingSoftware
            If they are not on this machine.
        PoolUnreachable
        """
        from jupyter_dodas.services.htcondor.commands import surroundings

        return {**await super().surroundings(), **await surroundings(await asyncio.to_thread(self._where))}

    async def dask(self, workers: int = 2, *, cores: int = 1, memory: str | int | None = None) -> "DaskPool":
        """Return a Dask cluster whose workers are jobs: ``with pool.dask(workers=2) as client:`` gives a client, and closes both.

        Its scheduler is in this process. ``client.cluster.scale(4)`` and ``client.cluster.adapt(maximum=10)`` are those of Dask.

        Parameters
        ----------
        workers
            How many to begin with.
        cores, memory
            Of each: it has as many threads as cores. By default it has its share of the memory of the pool's workers.

        Raises
        ------
        NotSupported
            If workers cannot reach this process.
        MissingSoftware
            Without `distributed`.
        BadInput
            If no worker of the pool has that much.
        """
        return (await asyncio.to_thread(self._dask, workers, cores, memory))(asynchronous=True)

    def blocking_dask(self, workers: int = 2, *, cores: int = 1, memory: str | int | None = None) -> "DaskPool":
        """See `dask`."""
        return self._dask(workers, cores, memory)(asynchronous=False)

    def _dask(self, workers: int, cores: int, memory: str | int | None) -> "Callable[..., DaskPool]":
        if self._backend.here is None:
            raise NotSupported(
                f"The workers of {self.name!r} cannot reach this process, in which Dask's scheduler would be",
                cause="It is not where the pool is.",
                remedy="Do it in a notebook beside the pool; or launch a Dask cluster, whose scheduler is there: dodas.dask().",
            )
        try:
            from jupyter_dodas.services.htcondor.dask import opening
        except ModuleNotFoundError as error:
            raise MissingSoftware(
                f"Dask on a pool needs {error.name}, which is not installed",
                cause="Pools themselves do without it.",
                remedy='Run: pip install "jupyter-dodas[dask]"',
            ) from error
        return opening(self._pool(), self._backend.here, workers, cores, memory)

    async def page(self) -> str:
        """Return the address of its page."""
        return (await self.connection()).addresses["page"]

    async def stop(self, *, timeout: float = 60) -> Any:
        """See `aio.Cluster.stop`. Futures of its jobs then say so."""
        receipt = await super().stop(timeout=timeout)
        if self._kept is not None:
            await asyncio.to_thread(self._kept.close)
        return receipt

    def _pool(self) -> "Pool":
        from jupyter_dodas.services.htcondor.pool import Pool

        with self._lock:
            if self._kept is None:
                record = blocking.run(self.record)
                options = validate(HtcondorOptions, self.kind, record.spec.options)
                near = self._backend.here == "127.0.0.1"  # its daemons read and write the very files of this process
                python = options.environment.python or (sys.executable if near else "python3")
                self._kept = Pool(self.name, self._uid, options, self._where, self._is_gone, python, spool=not near)
            return self._kept

    def _where(self) -> "Where":
        """Find out how it is reached."""
        from jupyter_dodas.services.htcondor.session import Where

        try:
            record = blocking.run(self.record)
            connection = blocking.run(self._connection_of, record)
            token = Path(connection.secrets, tokens.USER_TOKEN).read_bytes()
        except NotFound:
            raise
        except (DodasError, OSError) as error:
            raise PoolUnreachable(
                f"The pool {self.name!r} cannot be reached now",
                cause=str(error),
                remedy=f"`dodas show {self.name}` tells how it is.",
            ) from error
        return Where(connection.addresses["schedd"], tokens.domain(self.name, self._uid), token)

    def _is_gone(self) -> bool:
        try:
            blocking.run(self.record)
        except NotFound:
            return True
        except DodasError:
            return False
        return False


def _asked(
    cpus: int,
    memory: str | int | None,
    gpus: int,
    disk: str | int | None,
    inputs: Files,
    outputs: Outputs,
    deadline: float | None,
    name: str | None,
    retries: int,
    environment: Mapping[str, str] | None,
) -> Any:
    from jupyter_dodas.services.htcondor.preparing import Asked
    from jupyter_dodas.services.htcondor.submitting import Needs

    if name is not None and not (isinstance(name, str) and name):
        raise BadInput(f"name={name!r} will not do for a job", cause="It is a text.", remedy='For instance "fit".')
    needs = Needs.read(cpus=cpus, memory=memory, gpus=gpus, disk=disk, deadline=deadline, retries=retries, environment=environment)
    return Asked(needs, name, inputs, outputs)
