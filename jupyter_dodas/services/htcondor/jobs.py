"""The queue of a pool as a screen shows it: true counts, the first jobs, what holds the others, and the workers; and its verbs.

Ten thousand jobs cost no more than ten: the queue counts them itself, and of what is only listed no more is read than is shown.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from jupyter_dodas.errors import BadInput, PoolUnreachable
from jupyter_dodas.services.htcondor.reasons import UNDER_WAY
from jupyter_dodas.services.htcondor.rows import HOLD, ROW, SLOT, holds, job_rows, slots

__all__ = ["SHOWN", "Jobs", "here"]

SHOWN: Final = 50
"""Jobs that are listed of those that run, and of those that wait."""

_HOLDS: Final = 2_000
"""Held jobs that are looked at; of more than these, the rest is counted."""

_REASONS: Final = 20
"""Reasons that are told of, and jobs that are named for each."""

_ASKED: Final = 10_000
"""Jobs that one request may name."""

_HELD: Final = f"JobStatus == 5 && HoldReasonCode =!= {UNDER_WAY}"

_COUNTS: Final = {"running": "Running", "waiting": "Idle", "held": "Held", "suspended": "Suspended", "finished": "Completed"}

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
        held = schedd.query(_HELD, HOLD, limit=_HOLDS) if counts["held"] else []
        if len(held) < _HOLDS:
            # The others are held only until their files are there.
            counts["waiting"] += counts["held"] - len(held)
            counts["held"] = len(held)
        workers = slots(self._slots(collector))
        running = schedd.query("JobStatus == 2 || JobStatus > 5", ROW, limit=SHOWN) if counts["running"] else []
        waiting = schedd.query("JobStatus == 1", ROW, limit=SHOWN) if counts["waiting"] else []
        return {
            "counts": counts,
            "slots": workers,
            "held": [
                {**group, "jobs": group["jobs"][:_REASONS], "count": len(group["jobs"])}
                for group in holds(held, workers["largest"] or self._memory)[:_REASONS]
            ],
            "jobs": job_rows(running) + job_rows(waiting),
        }

    def _slots(self, collector: _Collector) -> Sequence[_Ad]:
        from htcondor2 import AdType

        found: Sequence[_Ad] = collector.query(AdType.Startd, "PartitionableSlot", SLOT)
        return found

    def _named(self, schedd: _Schedd, collector: _Collector, request: Mapping[str, Any]) -> Sequence[str]:
        """Return the numbers of the jobs that a request is about."""
        key, asked = request.get("held"), request.get("jobs")
        if isinstance(key, str) and asked is None:
            largest = slots(self._slots(collector))["largest"] or self._memory
            for group in holds(schedd.query(_HELD, HOLD), largest):
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


def _is_number(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"\d{1,9}\.\d{1,9}", text, re.ASCII) is not None


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
