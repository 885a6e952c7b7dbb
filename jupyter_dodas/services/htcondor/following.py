"""Following jobs from this process to their ends: one thread for a pool, which submits, looks, and fetches results.

Jobs that are submitted while the thread is busy go together, as one cluster of many processes; and one question is asked for all
that run. So a thousand jobs take hardly more of the queue's time than one.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from itertools import count, groupby
from logging import getLogger
from typing import Final
from uuid import uuid4

from jupyter_dodas.errors import BadInput, DodasError, JobHeld, NotFound, PoolUnreachable
from jupyter_dodas.services.htcondor import collecting
from jupyter_dodas.services.htcondor.claiming import claim, is_free
from jupyter_dodas.services.htcondor.ends import lost, overdue, removed, stopped
from jupyter_dodas.services.htcondor.futures import JobFuture, Work
from jupyter_dodas.services.htcondor.matching import Why
from jupyter_dodas.services.htcondor.reasons import UNDER_WAY, explain
from jupyter_dodas.services.htcondor.session import Ad, Session
from jupyter_dodas.services.htcondor.states import COMPLETED, HELD, State
from jupyter_dodas.services.htcondor.submitting import FETCHED, OVERDUE, SESSION, TAKEN

__all__ = ["Follower", "constraint_of", "name_of"]

logger = getLogger(__name__)

_TOGETHER: Final = 500
"""Jobs that are submitted at once; the first of many thousands can run while the others are on their way."""
_BATCH: Final = 100
"""Jobs whose results are fetched at once."""
_LEAST: Final = 0.04
_MOST: Final = 1.0
"""Seconds between two looks: few while something has just happened, and more the longer nothing does."""
_CALM: Final = 0.04
_SHARE: Final = 10
"""The part of its time, one in so many, that the queue spends at most on answering."""
_CENSUS: Final = 2.0
"""Seconds after which all are counted, at the least: who removes a job says so to nobody."""
_LINGER: Final = 20.0
_SENT: Final = 30.0
"""Seconds that `Follower.recall` waits for jobs that are on their way into the queue."""
_HOLD: Final = 60.0
_HOLD_SPOOLED: Final = 10.0
"""Seconds for which results are taken that are to be fetched: for all of a batch, and for each job whose files are in the spool."""
_COLUMNS: Final = (
    *("ClusterId", "ProcId", "JobStatus", "ExitCode", "ExitBySignal", "ExitSignal"),
    *("HoldReason", "HoldReasonCode", "HoldReasonSubCode", "RequestMemory", "MemoryUsage", "RemoveReason"),
    *("SUBMIT_Iwd", FETCHED, TAKEN),
)


class Follower:
    """Follows the jobs that this process has in one pool.

    Parameters
    ----------
    session
        The way to the pool.
    name
        What the pool is called.
    spool
        Whether files go through the queue's spool; otherwise its daemons read and write them where they are.
    gone
        Whether there is no such pool any more. Asked when it does not answer.
    why
        Says why a job does not run.
    """

    def __init__(self, session: Session, name: str, *, spool: bool, gone: Callable[[], bool], why: Callable[[str], Why]) -> None:
        self._session, self._name, self._spool, self._gone = session, name, spool, gone
        self.why = why
        self.key = uuid4().hex[:16]
        self._changed = threading.Condition()
        self._waiting: list[JobFuture] = []
        self._sending: list[JobFuture] = []
        self._followed: dict[str, JobFuture] = {}
        self._others: dict[str, str] = {}  # of those, the ones of other processes, and by which key they were followed
        self._ended: set[str] = set()
        self._thread: threading.Thread | None = None
        self._event = 0.0
        self._counted = 0.0

    def follow(self, works: Sequence[Work]) -> list[JobFuture]:
        """Submit jobs, soon, and return their futures."""
        futures = [JobFuture(self, work) for work in works]
        with self._changed:
            self._waiting += futures
            self._wake()
        return futures

    def adopt(self, jobs: Sequence[str], works: Sequence[Work]) -> list[JobFuture]:
        """Return futures of jobs that are in the queue already."""
        futures = [JobFuture(self, work) for work in works]
        for job, future in zip(jobs, futures, strict=True):
            future._named(job)  # noqa: SLF001 - the two are one idea in two files
        with self._changed:
            self._followed.update(zip(jobs, futures, strict=True))
            self._wake()
        return futures

    def recall(self, find: Callable[[], Mapping[str, Ad]], work: Callable[[Ad], Work]) -> list[JobFuture]:
        """Return futures of jobs that may be those of other processes; for jobs of this one, the futures that there are.

        Parameters
        ----------
        find
            Tells which, by their names.
        work
            Says how the results of one are read.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._sending, _SENT)
        futures, found = [], find()
        with self._changed:
            for job, ad in found.items():
                if job not in self._followed and job not in self._ended and ad[SESSION] != self.key:
                    future = JobFuture(self, work(ad))
                    future._named(job)  # noqa: SLF001
                    self._followed[job], self._others[job] = future, ad[SESSION]
                if job in self._followed:
                    futures.append(self._followed[job])
            if futures:
                self._wake()
        return futures

    def state(self, future: JobFuture) -> State:
        """See `Follows`."""
        if not future._job:  # noqa: SLF001
            return State.SENDING
        found = self._session.jobs(constraint_of(future.job_id), ["JobStatus", "HoldReasonCode"])
        return State.of(found[0]["JobStatus"], found[0].get("HoldReasonCode")) if found else State.COMPLETED

    def remove(self, futures: Sequence[JobFuture]) -> None:
        """See `Follows`."""
        with self._changed:
            late = [future for future in futures if future not in self._waiting]
            self._waiting = [future for future in self._waiting if future not in futures]
        for future in late:
            with suppress(NotFound):
                self._session.act("Remove", [future.job_id], "It was cancelled.")
        for future in late:
            self._forget(future)
        for future in futures:
            collecting.discard(future._work)  # noqa: SLF001

    def close(self) -> None:
        """Follow nothing any more: the pool has stopped."""
        self._give_up(stopped(self._name))

    def _wake(self) -> None:
        self._event = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"dodas jobs of {self._name}", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        pause, trouble = _LEAST, 0
        while self._has_work(pause):
            began = time.monotonic()
            try:
                self._submit()
                self._look()
            except (PoolUnreachable, NotFound) as error:
                trouble += 1
                if self._is_gone():
                    self._give_up(stopped(self._name))
                    self._session.close()
                elif trouble == 3:
                    logger.warning("The jobs of %s cannot be looked at now: %s", self._name, error)
                pause = min(2.0, 0.1 * 2 ** min(trouble, 5))
                with self._changed:
                    self._changed.wait(pause)
                continue
            except Exception as error:
                logger.exception("Jobs of %s are no longer followed", self._name)
                self._give_up(error)
            trouble, now = 0, time.monotonic()
            pause = max(min(_MOST, max(_LEAST, (now - self._event) * _CALM)), (now - began) * _SHARE)

    def _is_gone(self) -> bool:
        try:
            return self._gone()
        except Exception:  # noqa: BLE001 - nobody can tell
            return False

    def _has_work(self, pause: float) -> bool:
        """Wait for the next thing to do; false, and the thread ends, if there has been none for a while."""
        with self._changed:
            if self._followed and not self._waiting:
                self._changed.wait(pause)
            if not self._changed.wait_for(lambda: self._waiting or self._followed, _LINGER):
                self._thread = None
                return False
            return True

    def _submit(self) -> None:
        with self._changed:
            batch, self._waiting = self._waiting, []
            self._sending = batch
        try:
            self._send(batch)
        finally:
            with self._changed:
                self._sending = []
                self._changed.notify_all()

    def _send(self, batch: Sequence[JobFuture]) -> None:
        for alike in _alike(batch):
            work = alike[0]._work  # noqa: SLF001
            items = [_item(future._work) for future in alike]  # noqa: SLF001
            try:
                jobs = self._session.submit(work.description, items=items, spool=self._spool)
            except Exception as error:
                if not isinstance(error, DodasError) or isinstance(error, PoolUnreachable):
                    with self._changed:
                        self._waiting = [*(future for future in batch if not future._job), *self._waiting]  # noqa: SLF001
                    raise
                for future in alike:
                    _settle(future, error)
                continue
            with self._changed:
                self._followed.update(zip(jobs, alike, strict=True))
                self._event = time.monotonic()
            for job, future in zip(jobs, alike, strict=True):
                future._named(job)  # noqa: SLF001

    def _look(self) -> None:
        """See what has become of the jobs."""
        with self._changed:
            followed, keys = dict(self._followed), sorted({self.key, *self._others.values()})
        if not followed:
            return
        mine = " || ".join(f'{SESSION} == "{key}"' for key in keys)
        worth = f"({mine}) && JobStatus > 2 && HoldReasonCode =!= {UNDER_WAY} && {FETCHED} =!= true"
        seen = {name_of(ad): ad for ad in self._session.jobs(worth, _COLUMNS)}
        ended = {job: (followed[job], ad) for job, ad in seen.items() if job in followed and ad["JobStatus"] == COMPLETED}
        held = {job: ad for job, ad in seen.items() if job in followed and ad["JobStatus"] == HELD}
        for job, future in followed.items():
            if job not in held and future.held is not None:
                future._hold(None)  # noqa: SLF001
        self._collect({job: one for job, one in ended.items() if is_free(one[1], self.key)})
        for job, ad in held.items():
            self._see_held(followed[job], ad)
        if (now := time.monotonic()) - self._counted > _CENSUS:
            self._counted = now
            there = {name_of(ad) for ad in self._session.jobs(mine, ("ClusterId", "ProcId"))}
            self._counted += (time.monotonic() - now) * _SHARE
            self._see_gone({job: future for job, future in followed.items() if job not in there and not future.done()})

    def _collect(self, ended: Mapping[str, tuple[JobFuture, Ad]]) -> None:
        for start in range(0, len(ended), _BATCH):
            jobs = [*ended][start : start + _BATCH]
            spooled = [job for job in jobs if ended[job][1].get("SUBMIT_Iwd")]
            taken, until = claim(self._session, self.key, jobs, _HOLD + _HOLD_SPOOLED * len(spooled))
            self._retrieve({job: ended[job][0] for job in spooled if job in taken})
            done = []
            for job in filter(taken.__contains__, jobs):
                if time.time() > until:  # somebody else may have it now
                    break
                self._finish(*ended[job])
                done.append(job)
            with suppress(DodasError):  # they go by themselves, later
                self._session.edit(done, FETCHED, "true")

    def _retrieve(self, spooled: Mapping[str, JobFuture]) -> None:
        for job, future in spooled.items():
            work = future._work  # noqa: SLF001
            for attribute, value in work.moved.items():
                work.folder.mkdir(parents=True, exist_ok=True)
                self._session.edit([job], attribute, value)
        if spooled:
            self._session.retrieve([*spooled])

    def _finish(self, future: JobFuture, ad: Ad) -> None:
        try:
            left = collecting.left(future._work, ad)  # noqa: SLF001
            future._left = left  # noqa: SLF001
            value, error = future._work.read(left), None  # noqa: SLF001
        except BaseException as raised:  # noqa: BLE001 - the job's, and nobody's here
            value, error = None, raised
        self._forget(future)
        collecting.discard(future._work)  # noqa: SLF001
        _settle(future, error, value)

    def _see_held(self, future: JobFuture, ad: Ad) -> None:
        job, code = name_of(ad), int(ad.get("HoldReasonCode") or 0)
        if code == OVERDUE and future._work.deadline is not None:  # noqa: SLF001
            with suppress(DodasError):
                self._session.act("Remove", [job], "It ran for too long.")
            self._drop(future, overdue(job, future._work.deadline))  # noqa: SLF001
        elif future.held is None:
            said = explain(code, int(ad.get("HoldReasonSubCode") or 0), str(ad.get("HoldReason") or ""))
            reason = JobHeld(f"Job {job} of {self._name!r} is held: {said.words}", cause=_detail(ad), remedy=said.remedy)
            logger.warning("%s", reason)
            future._hold(reason)  # noqa: SLF001

    def _see_gone(self, gone: dict[str, JobFuture]) -> None:
        for job, future in gone.items():
            known = self._session.history(constraint_of(job), _COLUMNS, limit=1)
            if known and known[0].get(FETCHED) is True:
                # Its folder is for who has fetched it.
                self._forget(future)
                _settle(future, lost(job, "Its result was fetched already, by another process."))
            elif known and known[0]["JobStatus"] == COMPLETED:
                self._finish(future, known[0])
            else:
                self._drop(future, removed(job, known[0] if known else {}, future._work.deadline))  # noqa: SLF001

    def _drop(self, future: JobFuture, error: Exception) -> None:
        self._forget(future)
        collecting.discard(future._work)  # noqa: SLF001
        _settle(future, error)

    def _forget(self, future: JobFuture) -> None:
        with self._changed:
            job = future._job  # noqa: SLF001
            self._followed.pop(job, None)
            self._others.pop(job, None)
            self._ended.add(job)
            self._event = time.monotonic()

    def _give_up(self, error: Exception) -> None:
        with self._changed:
            left = [*self._waiting, *self._followed.values()]
            self._waiting, self._followed, self._others = [], {}, {}
        for future in left:
            _settle(future, error)


def name_of(ad: Ad) -> str:
    """Return the name of a job: ``12.0``."""
    return f"{ad['ClusterId']}.{ad['ProcId']}"


def constraint_of(job: str) -> str:
    """Return the constraint for a job, or for all of a cluster of jobs: ``12.0``, ``12``.

    Raises
    ------
    BadInput
        If it is no name of a job.
    """
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", job):
        raise BadInput(
            f"{job!r} is not the name of a job", cause="The name of a job is two numbers.", remedy='For instance "12.0".'
        )
    cluster, _, process = job.partition(".")
    return f"ClusterId == {cluster}" + (f" && ProcId == {process}" if process else "")


def _alike(futures: Sequence[JobFuture]) -> Iterator[list[JobFuture]]:
    """Put those together that are submitted together, in the order in which they came."""
    open_ones = [future for future in futures if not future.done()]
    number = count()
    for _, alike in groupby(open_ones, key=lambda future: (future._work.description, next(number) // _TOGETHER)):  # noqa: SLF001
        yield [*alike]


def _item(work: Work) -> dict[str, str]:
    return {"folder": str(work.folder), "inputs": ", ".join(work.inputs)}


def _settle(future: JobFuture, error: BaseException | None, value: object = None) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


def _detail(ad: Ad) -> str:
    return f"HTCondor says: {ad['HoldReason']}" if ad.get("HoldReason") else ""
