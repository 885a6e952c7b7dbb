"""The queue of a pool as a screen shows it: true counts, the first jobs, what holds the others, and the workers; and its verbs.

Ten thousand jobs cost no more than ten: the queue counts them itself, and of what is only listed no more is read than is shown.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final, Protocol

from jupyter_dodas.errors import BadInput, PoolUnreachable
from jupyter_dodas.services.htcondor.reasons import UNDER_WAY, Explanation, explain, status

__all__ = ["SHOWN", "Jobs", "here", "holds", "job_row", "slots"]

SHOWN: Final = 50
"""Jobs that are listed of those that run, and of those that wait."""

_HOLDS: Final = 2_000
"""Held jobs that are looked at; of more than these, the rest is counted."""

_REASONS: Final = 20
"""Reasons that are told of, and jobs that are named for each."""

_ASKED: Final = 10_000
"""Jobs that one request may name."""

_ROW: Final = [
    "ClusterId",
    "ProcId",
    "JobStatus",
    "JobBatchName",
    "Cmd",
    "QDate",
    "EnteredCurrentStatus",
    "RequestCpus",
    "RequestMemory",
    "RequestGPUs",
    "RemoteHost",
    "ResidentSetSize",
    "MemoryUsage",
    "NumJobStarts",
]
_HOLD: Final = [*_ROW, "HoldReason", "HoldReasonCode", "HoldReasonSubCode"]
_SLOT: Final = ["Name", "TotalSlotCpus", "Cpus", "TotalSlotMemory", "Memory", "TotalSlotGPUs", "GPUs", "NumDynamicSlots"]

_HELD: Final = f"JobStatus == 5 && HoldReasonCode =!= {UNDER_WAY}"

_COUNTS: Final = {"running": "Running", "waiting": "Idle", "held": "Held", "suspended": "Suspended", "finished": "Completed"}

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")

_Ad = Mapping[str, Any]


class _Schedd(Protocol):
    """What is used of `htcondor2.Schedd`."""

    def query(self, constraint: Any = ..., projection: Any = ..., *, limit: int = ..., opts: Any = ...) -> Any: ...

    def act(self, action: Any, job_spec: Any) -> Any: ...

    def edit(self, job_spec: Any, attr: str, value: Any) -> Any: ...


class _Collector(Protocol):
    """What is used of `htcondor2.Collector`."""

    def query(self, ad_type: Any = ..., constraint: Any = ..., projection: Any = ...) -> Any: ...


class Jobs:
    """A queue and its workers, asked with the rights of whoever owns the pool. Its methods block, and are for one thread at a time.

    Parameters
    ----------
    connect
        Returns the queue and the collector; it is asked again after they did not answer.
    memory
        MiB that a worker has. It counts while there is none to be asked.
    """

    def __init__(self, connect: Callable[[], tuple[_Schedd, _Collector]], memory: int = 0) -> None:
        self._connect, self._memory = connect, memory
        self._connected: tuple[_Schedd, _Collector] | None = None

    def look(self) -> Mapping[str, Any]:
        """Return what there is, to be written as JSON.

        Raises
        ------
        PoolUnreachable
            If the queue does not answer.
        """
        return self._asked(self._look)

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Release held jobs: ``jobs`` by their numbers, or all of one reason by its ``held``; with ``memory`` MiB, if any.

        Raises
        ------
        BadInput
            If that is not what the request says, or none of them is held.
        PoolUnreachable
            If the queue does not answer.
        """
        memory = request.get("memory", 0)
        if not isinstance(memory, int) or isinstance(memory, bool) or not 0 <= memory < 2**31:
            raise BadInput("This memory will not do", cause="A whole number of MiB is needed.", remedy='Write "memory": 4096.')
        return self._asked(lambda schedd, collector: self._release(schedd, self._named(schedd, collector, request), memory))

    def remove(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take jobs out of the queue, named as for `release`."""
        return self._asked(lambda schedd, collector: self._remove(schedd, self._named(schedd, collector, request)))

    def _look(self, schedd: _Schedd, collector: _Collector) -> Mapping[str, Any]:
        from htcondor2 import QueryOpt

        (summary,) = schedd.query(opts=QueryOpt.SummaryOnly)
        counts = {word: int(summary.get(name, 0)) for word, name in _COUNTS.items()}
        held = schedd.query(_HELD, _HOLD, limit=_HOLDS) if counts["held"] else []
        if len(held) < _HOLDS:
            # The others are held only until their files are there.
            counts["waiting"] += counts["held"] - len(held)
            counts["held"] = len(held)
        workers = slots(self._slots(collector))
        running = schedd.query("JobStatus == 2 || JobStatus > 5", _ROW, limit=SHOWN) if counts["running"] else []
        waiting = schedd.query("JobStatus == 1", _ROW, limit=SHOWN) if counts["waiting"] else []
        return {
            "counts": counts,
            "slots": workers,
            "held": [
                {**group, "jobs": group["jobs"][:_REASONS], "count": len(group["jobs"])}
                for group in holds(held, workers["largest"] or self._memory)[:_REASONS]
            ],
            "jobs": [job_row(ad) for part in (running, waiting) for ad in sorted(part, key=_order)],
        }

    def _slots(self, collector: _Collector) -> Sequence[_Ad]:
        from htcondor2 import AdType

        found: Sequence[_Ad] = collector.query(AdType.Startd, "PartitionableSlot", _SLOT)
        return found

    def _named(self, schedd: _Schedd, collector: _Collector, request: Mapping[str, Any]) -> Sequence[str]:
        """Return the numbers of the jobs that a request is about."""
        key, asked = request.get("held"), request.get("jobs")
        if isinstance(key, str) and asked is None:
            largest = slots(self._slots(collector))["largest"] or self._memory
            for group in holds(schedd.query(_HELD, _HOLD, limit=_HOLDS), largest):
                if group["key"] == key:
                    return group["jobs"]  # type: ignore[no-any-return]
            raise _gone()
        if key is None and isinstance(asked, list) and 0 < len(asked) <= _ASKED and all(_is_number(one) for one in asked):
            return asked
        raise BadInput(
            "It is not clear which jobs are meant",
            cause=f'A list of 1 to {_ASKED} numbers such as "12.0" is needed as "jobs", or the key of a reason as "held".',
            remedy='Write {"jobs": ["12.0"]}.',
        )

    def _release(self, schedd: _Schedd, jobs: Sequence[str], memory: int) -> Mapping[str, Any]:
        from htcondor2 import JobAction

        if memory:
            schedd.edit(list(jobs), "RequestMemory", str(memory))
        return {"released": _done(schedd.act(JobAction.Release, list(jobs)))}

    def _remove(self, schedd: _Schedd, jobs: Sequence[str]) -> Mapping[str, Any]:
        from htcondor2 import JobAction

        return {"removed": _done(schedd.act(JobAction.Remove, list(jobs)))}

    def _asked(self, ask: Callable[[_Schedd, _Collector], Mapping[str, Any]]) -> Mapping[str, Any]:
        from htcondor2 import HTCondorException

        try:
            if self._connected is None:
                self._connected = self._connect()
            return ask(*self._connected)
        except (HTCondorException, OSError) as error:
            self._connected = None  # it may come back at another address
            raise PoolUnreachable(
                "The queue does not answer",
                cause=" ".join(str(error).split()),
                remedy="Wait a moment: it comes back by itself. If it does not, look into the log of the manager.",
            ) from error


def here(name: str) -> Callable[[], tuple[_Schedd, _Collector]]:
    """Return how this process, which has its manager's configuration, connects to the queue of a name."""

    def connect() -> tuple[_Schedd, _Collector]:
        import htcondor2

        collector = htcondor2.Collector()
        place = collector.locate(htcondor2.DaemonType.Schedd, name)
        if place is None:
            raise ConnectionError(f"{name} is not known to the pool yet.")
        return htcondor2.Schedd(place), collector

    return connect


def slots(ads: Sequence[_Ad]) -> dict[str, int]:
    """Return what workers have and what of it is in use: cores, MiB, GPUs, and the memory of the largest. Pure."""
    total = {name: sum(_int(ad, f"TotalSlot{name}") for ad in ads) for name in ("Cpus", "Memory", "GPUs")}
    free = {name: sum(_int(ad, name) for ad in ads) for name in total}
    return {
        "workers": len(ads),
        "jobs": sum(_int(ad, "NumDynamicSlots") for ad in ads),
        "cores": total["Cpus"],
        "cores_used": total["Cpus"] - free["Cpus"],
        "memory": total["Memory"],
        "memory_used": total["Memory"] - free["Memory"],
        "gpus": total["GPUs"],
        "gpus_used": total["GPUs"] - free["GPUs"],
        "largest": max((_int(ad, "TotalSlotMemory") for ad in ads), default=0),
    }


def holds(ads: Sequence[_Ad], largest: int = 0) -> list[dict[str, Any]]:
    """Return the reasons for which jobs are held, that of most jobs first, each with its words, remedy and jobs. Pure.

    Parameters
    ----------
    ads
        The held jobs.
    largest
        MiB that the largest worker has: what cannot be had is not proposed. 0 if that is not known.
    """
    found: defaultdict[str, list[tuple[Explanation, _Ad]]] = defaultdict(list)
    for ad in sorted(ads, key=_order):
        asked = _int(ad, "RequestMemory")
        told = explain(
            _int(ad, "HoldReasonCode"),
            _int(ad, "HoldReasonSubCode"),
            str(ad.get("HoldReason") or ""),
            asked=asked,
            used=_int(ad, "MemoryUsage"),
        )
        # Of many jobs each has used some other amount, or misses a file of some other number, for one and the same reason.
        alike = _NUMBERS.sub("#", f"{told.words} {told.remedy} {told.release}")
        found[alike].append((_within(told, asked, largest), ad))
    return [_reason(alike, group) for alike, group in sorted(found.items(), key=lambda pair: -len(pair[1]))]


def _reason(alike: str, group: Sequence[tuple[Explanation, _Ad]]) -> dict[str, Any]:
    """Return one reason: in the words of the job that needs most, with how many jobs it has."""
    told = max((told for told, _ in group), key=lambda told: told.memory)
    words = told.words
    if not told.memory and any(other.words != words for other, _ in group):
        words = f"{words.rstrip('.')}, and others like this."
    return {
        "key": hashlib.sha256(alike.encode()).hexdigest()[:16],
        "words": words,
        "remedy": told.remedy,
        "release": told.release,
        "memory": told.memory,
        "since": min(_int(ad, "EnteredCurrentStatus") for _, ad in group),
        "jobs": [_number(ad) for _, ad in group],
    }


def job_row(ad: _Ad) -> dict[str, Any]:
    """Return what is listed of a job. Pure."""
    return {
        "job": _number(ad),
        "name": str(ad.get("JobBatchName") or PurePosixPath(str(ad.get("Cmd") or "")).name),
        "status": status(_int(ad, "JobStatus")),
        "since": _int(ad, "EnteredCurrentStatus") or _int(ad, "QDate"),
        "cores": _int(ad, "RequestCpus"),
        "memory": _int(ad, "RequestMemory"),
        "gpus": _int(ad, "RequestGPUs"),
        "starts": _int(ad, "NumJobStarts"),
        "worker": _worker(str(ad.get("RemoteHost") or "")),
    }


def _within(told: Explanation, asked: int, largest: int) -> Explanation:
    """Return it with no more memory than a worker has."""
    if not largest or told.memory <= largest:
        return told
    if asked < largest:
        return replace(told, memory=largest, remedy=f"Release with {largest} MiB, which is all that a worker has.")
    remedy = f"No worker has more than {largest} MiB: start a pool with more for each, or use less."
    return replace(told, memory=0, remedy=remedy)


def _worker(host: str) -> str:
    """Return the name of the worker in ``slot1_1@worker-1@domain``."""
    return host.partition("@")[2].partition("@")[0]


def _number(ad: _Ad) -> str:
    return f"{_int(ad, 'ClusterId')}.{_int(ad, 'ProcId')}"


def _order(ad: _Ad) -> tuple[int, int]:
    return _int(ad, "ClusterId"), _int(ad, "ProcId")


def _is_number(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\d{1,9}\.\d{1,9}", text, re.ASCII) is not None


def _int(ad: _Ad, name: str) -> int:
    """Return a number. Users may write an expression for each, and one that cannot be worked out counts as nothing."""
    value = ad.get(name)
    if value is not None and not isinstance(value, int | float):
        evaluate = getattr(ad, "eval", None)
        try:
            value = evaluate(name) if evaluate is not None else None
        except Exception:  # noqa: BLE001 - whatever the bindings make of it
            value = None
    return int(value) if isinstance(value, int | float) else 0


def _done(result: _Ad) -> int:
    done = int(result["TotalSuccess"])
    if not done:
        raise _gone()
    return done


def _gone() -> BadInput:
    return BadInput(
        "None of these jobs is there any longer",
        cause="They have been released or removed meanwhile, or were never held.",
        remedy="Look at the queue again.",
    )
