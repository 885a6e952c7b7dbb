"""What a Spark cluster does for a session, as a notebook shows it: stages, by the means that each kind of session has."""

import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from time import time
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas.services.work import Observer, Work

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql.connect.session import SparkSession as ConnectSession

__all__ = ["ClassicObserver", "ConnectObserver", "named", "observer"]

_SITE: Final = re.compile(r"(?P<call>.+) at (?P<file>.+):(?P<line>\d+)", re.DOTALL)
_CELL: Final = re.compile(r".*ipykernel_\d+.*|<(?:ipython-input|stdin|string).*")


def named(number: int, site: str) -> str:
    """Name a stage as Spark does, without files that no reader knows: ``Stage 3: sum at line 2``.

    Parameters
    ----------
    site
        Where it was asked for: ``sum at /tmp/ipykernel_7/123.py:2``, ``first at NativeMethodAccessorImpl.java:0``.
    """
    if (found := _SITE.fullmatch(site)) is not None:
        if _CELL.fullmatch(found["file"]):
            site = f"{found['call']} at line {found['line']}"
        elif found["file"].endswith((".java", ".scala")):
            site = found["call"]
    return f"Stage {number}: {site}" if site else f"Stage {number}"


def observer(session: Any) -> Observer | None:
    """Return what looks at the work of a session; None if there is one for its driver already."""
    context = getattr(session, "_sc", None)
    if context is None:
        return ConnectObserver(session)
    if getattr(context, _OBSERVED, False):
        return None
    setattr(context, _OBSERVED, True)
    return ClassicObserver(context)


_OBSERVED: Final = "_dodas_observed"


class _Words:
    """What both kinds of session have in common."""

    title: Final = "Spark"
    row: Final = "stage"
    item: Final = "task"


@dataclass
class _Job:
    """The stages of a job, and when it was over, in Unix seconds."""

    stages: list[int]
    ended: float | None = None


class ClassicObserver(_Words):
    """Asks the driver, which is in this process."""

    lag: Final = 1.0

    def __init__(self, context: "SparkContext") -> None:
        self._context = weakref.ref(context)
        self._next = 0
        self._jobs: dict[int, _Job] = {}
        self._stages: dict[int, Work] = {}

    def look(self, since: float) -> Sequence[Work]:
        """Return the stages of the jobs that were not over at a time."""
        context = self._context()
        if context is None or self.over():
            raise RuntimeError("The session has stopped.")
        tracker = context.statusTracker()
        driver: Any = context._jsc.sc()  # noqa: SLF001 - the tracker knows neither how many jobs there were nor when
        self._take_in(driver, tracker, since)
        active, running = set(tracker.getActiveStageIds()), set(tracker.getActiveJobsIds())
        found = {}
        for number, job in list(self._jobs.items()):
            over = number not in running
            if over and job.ended is None:
                job.ended = _ended(driver, number)
            if job.ended is not None and job.ended < since:
                del self._jobs[number]
                continue
            for stage in job.stages:
                known = self._stages.get(stage)
                work = known if known is not None and known.over else _read(tracker, stage, active, over=over)
                if work is not None:
                    found[stage] = work
        self._stages = found
        return list(found.values())

    def _take_in(self, driver: Any, tracker: Any, since: float) -> None:
        """Take in jobs that were submitted since the last look. They are numbered."""
        number = driver.dagScheduler().numTotalJobs()
        for job in range(self._next, number):
            if (info := tracker.getJobInfo(job)) is not None:
                if info.status == "RUNNING" or _ended(driver, job) >= since:
                    self._jobs[job] = _Job([int(stage) for stage in info.stageIds])
            elif job >= number - _SOON_TOLD:
                return
            self._next = job + 1

    def over(self) -> bool:
        """Whether the session has stopped."""
        context = self._context()
        return context is None or context._jsc is None  # noqa: SLF001 - there is no other way to look

    def close(self) -> None:
        """Do nothing: the connection is the session's own."""


_SOON_TOLD: Final = 8
"""A job that the tracker does not know is new if it is one of the last so many; else it is forgotten."""


def _ended(driver: Any, job: int) -> float:
    """Return when a job was over, in Unix seconds: at 0 if the driver has forgotten it."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    try:
        completed = driver.statusStore().job(job).completionTime()
    except Py4JJavaError:
        return 0.0
    return float(completed.get().getTime()) / 1000 if completed.isDefined() else time()


def _read(tracker: Any, stage: int, active: set[int], *, over: bool) -> Work | None:
    """Return the tasks of a stage; None if it waits for others, or is left out since its results are there."""
    info = tracker.getStageInfo(stage)
    if info is None or (stage not in active and not info.numCompletedTasks and not info.numFailedTasks):
        return None
    return Work(
        name=named(stage, info.name),
        total=info.numTasks,
        done=info.numCompletedTasks,
        running=info.numActiveTasks,
        failed=info.numFailedTasks,
        over=over or (stage not in active and info.numCompletedTasks >= info.numTasks),
    )


@dataclass
class _Operation:
    """What a Connect server told of one execution, and when it did so last."""

    told: float
    works: tuple[Work, ...] = ()
    over: bool = False


class ConnectObserver(_Words):
    """Hears what a Connect server tells of each execution while it lasts: the driver is a part of the cluster."""

    lag: Final = 0.0

    def __init__(self, session: Any) -> None:
        self._session: weakref.ref[ConnectSession] = weakref.ref(session)
        self._lock = Lock()
        self._operations: dict[str, _Operation] = {}
        session.registerProgressHandler(self._hear)

    def look(self, since: float) -> Sequence[Work]:
        """Return the stages of executions that were not over at a time."""
        with self._lock:
            self._operations = {name: one for name, one in self._operations.items() if not one.over or one.told >= since}
            return [work for operation in self._operations.values() for work in operation.works]

    def over(self) -> bool:
        """Whether the session is closed."""
        session = self._session()
        return session is None or session.is_stopped

    def close(self) -> None:
        """Do nothing: the session tells what it hears to nobody once it is closed."""

    def _hear(self, stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        """Take in what is told, in the thread that waits for the result."""
        with self._lock:
            operation = self._operations.setdefault(operation_id or "", _Operation(time()))
            operation.told, operation.over = time(), done
            told = max((stage.stage_id for stage in stages if stage.num_completed_tasks), default=-1)
            # Attempts that failed are counted as completed, too.
            works = [
                Work(
                    named(stage.stage_id, ""),
                    stage.num_tasks,
                    min(stage.num_completed_tasks, stage.num_tasks),
                    over=done or stage.done,
                )
                for stage in stages
                # One that is left out, since its results are there, is told of as well.
                if stage.num_completed_tasks or (stage.stage_id > told and not done)
            ]
            if len(open_ones := [at for at, work in enumerate(works) if not work.over]) == 1:
                works[open_ones[0]] = replace(works[open_ones[0]], running=inflight_tasks)
            operation.works = tuple(works)
