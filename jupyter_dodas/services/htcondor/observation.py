"""What is seen of a pool, in the controller's words: who is there, who works, and how many workers its jobs could use. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["HELD", "IDLE", "JOB", "RUNNING", "SLOT", "Shape", "Slots", "is_work", "look_at", "wanted"]

SLOT: Final = ("Name", "State", "Activity", "SlotType", "LastHeardFrom")
"""What has to be asked of a slot."""
JOB: Final = ("JobStatus", "RequestCpus", "RequestMemory", "RequestGPUs")
"""What has to be asked of jobs, each value of these for all that have it."""

IDLE, RUNNING, HELD = 1, 2, 5
_SENDING, _SUSPENDED = 6, 7

_FRESH: Final = 20.0
"""Seconds for which a worker that says nothing is still taken to be there; it speaks every five."""


@dataclass(frozen=True)
class Shape:
    """Workers of a group: cores, MiB and GPUs."""

    cores: int
    memory: int
    gpus: int

    @classmethod
    def read(cls, text: str) -> "Shape":
        """Read what `service` writes: cores, bytes and GPUs."""
        cores, memory, gpus = (int(part) for part in text.split(":"))
        return cls(cores, memory // 2**20, gpus)

    def holds(self, cores: float, memory: float, gpus: float) -> int:
        """Return how many jobs that ask for so much find room in it at once."""
        pairs = ((self.cores, max(cores, 1)), (self.memory, max(memory, 1)), (self.gpus, gpus))
        return min(int(there // asked) for there, asked in pairs if asked > 0)


@dataclass(frozen=True)
class Slots:
    """The workers that are there.

    Parameters
    ----------
    ready, busy
        All of them, and those with jobs under way; sorted.
    drained
        Those that were told to take no more jobs and have none left, with the time at which they said so.
    """

    ready: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    drained: Mapping[str, float] = field(default_factory=dict)


def look_at(slots: Iterable[Mapping[str, Any]], now: float) -> Slots:
    """Tell workers by their slots.

    Parameters
    ----------
    now
        Unix seconds.
    """
    ready, busy, drained = set(), set(), dict[str, float]()
    for slot in slots:
        heard = float(slot.get("LastHeardFrom", 0))
        if now - heard > _FRESH:
            continue
        worker, state, activity = _worker(slot["Name"]), slot.get("State"), slot.get("Activity")
        ready.add(worker)
        if slot.get("SlotType") == "Dynamic":
            if state in ("Claimed", "Preempting") and activity != "Idle":
                busy.add(worker)
        elif state == "Drained" and activity == "Idle":
            drained[worker] = heard
    return Slots(tuple(sorted(ready)), tuple(sorted(busy)), drained)


def wanted(jobs: Iterable[Mapping[str, Any]], shapes: Sequence[Shape]) -> int:
    """Return how many workers jobs that run or wait could use, if each kind of them filled workers of the first shape that fits."""
    needed = 0.0
    for job in jobs:
        if is_work(job):
            asked = (_number(job.get("RequestCpus"), 1), _number(job.get("RequestMemory"), 1), _number(job.get("RequestGPUs"), 0))
            room = next((room for shape in shapes if (room := shape.holds(*asked))), 0)
            needed += _number(job.get("JobCount"), 1) / room if room else 0
    return math.ceil(needed - 1e-9)


def is_work(job: Mapping[str, Any]) -> bool:
    """Whether these jobs run or wait for a worker; who is held waits for somebody else."""
    return _number(job.get("JobStatus"), 0) in (IDLE, RUNNING, _SENDING, _SUSPENDED)


def _worker(slot: str) -> str:
    """Tell a worker by the name of a slot: ``slot1_2@worker-1@higgs.0123456789ab``."""
    return slot.split("@")[1]


def _number(value: object, default: float) -> float:
    """Read a number; what a job asks for may be an expression that nobody can tell here."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return default
