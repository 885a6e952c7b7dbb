"""What this process does with one pool: its jobs, and questions about them. All of it blocks; threads may share it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas import settings
from jupyter_dodas.errors import BadInput, NotFound
from jupyter_dodas.services.htcondor import frames, mapping, matching, payload, recalling, submitting
from jupyter_dodas.services.htcondor.following import Follower, constraint_of, name_of
from jupyter_dodas.services.htcondor.futures import JobFuture
from jupyter_dodas.services.htcondor.matching import Why
from jupyter_dodas.services.htcondor.options import HtcondorOptions
from jupyter_dodas.services.htcondor.preparing import Asked, Workshop
from jupyter_dodas.services.htcondor.recalling import Sort
from jupyter_dodas.services.htcondor.session import Ad, Session, Where
from jupyter_dodas.services.htcondor.states import HELD

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["Pool", "warm"]

_WHOLE: Final = 'SlotType =!= "Dynamic"'
"""Of slots that are divided, the one that the parts come from."""


def warm() -> None:
    """Import what the first job needs."""
    import_module("cloudpickle")


class Pool:
    """One pool.

    Parameters
    ----------
    find
        Tells how it is reached.
    gone
        Whether there is no such pool any more.
    python
        What runs functions in jobs.
    spool
        Whether files go through the queue's spool; otherwise its daemons read and write them where they are.
    """

    def __init__(
        self,
        name: str,
        uid: str,
        options: HtcondorOptions,
        find: Callable[[], Where],
        gone: Callable[[], bool],
        python: str,
        *,
        spool: bool,
    ) -> None:
        self.name = name
        self.session = Session(find)
        self.python = python
        self._groups = options.all_groups()
        self._spool = spool
        self._follower = Follower(self.session, name, spool=spool, gone=gone, why=self.why)
        folder = settings.load().state / "htcondor" / f"{name}.{uid[:12]}"
        self._workshop = Workshop(folder, python, matching.share(self._groups), self._follower.key)

    def submit(self, what: Any, arguments: Sequence[Any], named: Mapping[str, Any], asked: Asked) -> JobFuture:
        """See `HtcondorCluster.submit`."""
        return self._submit(what, [(arguments, named)], asked)[0]

    def array(self, what: Any, arguments: Iterable[Any], asked: Asked) -> list[JobFuture]:
        """See `HtcondorCluster.array`."""
        return self._submit(what, [(one if isinstance(one, tuple) else (one,), {}) for one in arguments], asked)

    def map(
        self, function: Callable[..., Any], iterables: Sequence[Iterable[Any]], asked: Asked, bundle: int | None
    ) -> mapping.Results:
        """See `HtcondorCluster.map`."""
        if not callable(function):
            raise _no_function(function)
        if not iterables or (bundle is not None and (isinstance(bundle, bool) or not isinstance(bundle, int) or bundle < 1)):
            raise BadInput(
                "This cannot be mapped" if not iterables else f"bundle={bundle!r} will not do",
                cause="It takes a function and something to call it with: pool.map(f, range(10)); a bundle has at least one call.",
                remedy="See help(pool.map).",
            )
        matching.check(asked.needs, self._groups)
        calls: list[payload.Call] = [(arguments, {}) for arguments in zip(*iterables, strict=False)]
        sizes = mapping.bundles(len(calls), matching.room(asked.needs, self._groups), bundle)
        packed = payload.pack_function(function)
        works, start = [], 0
        for size in sizes:
            works.append(self._workshop.call(function, calls[start : start + size], asked, packed, sort=Sort.CALLS))
            start += size
        return mapping.Results(self._follower.follow(works), sizes)

    def submit_description(self, description: str | Mapping[str, str], count: int) -> list[JobFuture]:
        """See `HtcondorCluster.submit_description`."""
        also = {"initialdir": str(Path.cwd()), **submitting.followed(self._follower.key)}
        jobs = self.session.submit(
            description if isinstance(description, str) else dict(description), also=also, count=count, spool=self._spool
        )
        if not jobs:
            return []
        cluster = int(jobs[0].partition(".")[0])
        ads = {name_of(ad): ad for ad in self.session.jobs(f"ClusterId == {cluster}", recalling.COLUMNS)}
        return self._follower.adopt(jobs, [recalling.raw(ads[job]) for job in jobs])

    def jobs(self, constraint: str | None) -> list[JobFuture]:
        """See `HtcondorCluster.jobs`."""
        mine = f"({constraint}) && " if constraint else ""

        def find() -> Mapping[str, Ad]:
            ads = [ad for ad in self.session.jobs(f"{mine}{recalling.UNFETCHED}", recalling.COLUMNS) if recalling.is_ours(ad)]
            return {name_of(ad): ad for ad in sorted(ads, key=lambda ad: (ad["ClusterId"], ad["ProcId"]))}

        return self._follower.recall(find, lambda ad: recalling.recalled(ad, self._workshop.spare))

    def queue(self, constraint: str | None) -> "pd.DataFrame":
        """See `HtcondorCluster.queue`."""
        mine = f"({constraint}) && " if constraint else ""
        return frames.queue(self.session.jobs(f"{mine}{submitting.FETCHED} =!= true", frames.QUEUE))

    def history(self, limit: int) -> "pd.DataFrame":
        """See `HtcondorCluster.history`."""
        return frames.history(self.session.history("true", frames.HISTORY, limit=limit))

    def release(self, jobs: Any, memory: str | int | None) -> int:
        """See `HtcondorCluster.release`."""
        which = f"JobStatus == {HELD} && HoldReasonCode != 16" if jobs is None else _constraint(jobs)
        if memory is not None:
            asked = submitting.Needs.read(memory=memory)
            matching.check(asked, self._groups)
            names = [name_of(ad) for ad in self.session.jobs(which, ("ClusterId", "ProcId"))]
            if names:
                self.session.edit(names, "RequestMemory", str(-(-(asked.memory or 0) // 2**20)))
        return self.session.act("Release", which, "It was released.")

    def remove(self, jobs: Any) -> int:
        """See `HtcondorCluster.remove`."""
        return self.session.act("Remove", _constraint(jobs), "It was removed by hand.")

    def shape(self, cpus: int, memory: str | int | None) -> tuple[int, int]:
        """Return the cores, and the bytes of memory, of a job that asks for so much; by default for its share of a worker.

        Raises
        ------
        BadInput
            If no worker has that much.
        """
        needs = submitting.Needs.read(cpus=cpus, memory=memory)
        matching.check(needs, self._groups)
        return needs.cpus, submitting.mebibytes(needs, matching.share(self._groups)) * 2**20

    def why(self, job: str | JobFuture) -> Why:
        """See `HtcondorCluster.why`."""
        name = job.job_id if isinstance(job, JobFuture) else str(job)
        one = _constraint(name)
        ads = self.session.jobs(one, matching.JOB, limit=1) or self.session.history(one, matching.JOB, limit=1)
        if not ads:
            raise NotFound(f"job {name}")
        waits = ads[0]["JobStatus"] == 1
        slots = self.session.slots(_WHOLE, matching.SLOT) if waits else ()
        return matching.why(ads[0], slots, self.session.clauses(one) if slots else ())

    def close(self) -> None:
        """Let go of everything. Futures that have not come to their end say that the pool has stopped."""
        self._follower.close()
        self.session.close()
        self._workshop.close()

    def _submit(self, what: Any, calls: Sequence[payload.Call], asked: Asked) -> list[JobFuture]:
        matching.check(asked.needs, self._groups)
        if isinstance(what, str | os.PathLike):
            program = os.fspath(what)
            if any(named for _, named in calls):
                raise BadInput(
                    f"{program} is a program, and takes no arguments by name",
                    cause="Only functions do.",
                    remedy='Write them out: "--range", 5.',
                )
            works = [self._workshop.run(program, arguments, asked) for arguments, _ in calls]
        elif callable(what):
            packed = payload.pack_function(what)
            works = [self._workshop.call(what, [call], asked, packed) for call in calls]
        else:
            raise _no_function(what)
        return self._follower.follow(works)


def _constraint(jobs: Any) -> str:
    """Return the constraint for jobs: a future, a name, or several."""
    several = [jobs] if isinstance(jobs, str | int | float | JobFuture) else list(jobs)
    if not several:
        return "false"
    return " || ".join(f"({constraint_of(job.job_id if isinstance(job, JobFuture) else str(job))})" for job in several)


def _no_function(what: object) -> BadInput:
    return BadInput(
        f"{type(what).__name__} {str(what)[:40]!r} is nothing that a job can do",
        cause="It is neither a function nor the path of a program.",
        remedy='For instance pool.submit(fit, 5) or pool.submit("./analysis.sh", "5").',
    )
