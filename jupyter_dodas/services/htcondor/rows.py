"""What HTCondor says of jobs and workers, as a screen has it: rows, reasons with their jobs, and how much is in use. Pure."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from jupyter_dodas.services.htcondor.reasons import Explanation, explain, status

__all__ = ["HOLD", "ROW", "SLOT", "holds", "job_rows", "slots"]

ROW: Final = [
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
"""Attributes that `job_rows` reads."""
HOLD: Final = [*ROW, "HoldReason", "HoldReasonCode", "HoldReasonSubCode"]
"""Attributes that `holds` reads."""
SLOT: Final = ["Name", "TotalSlotCpus", "Cpus", "TotalSlotMemory", "Memory", "TotalSlotGPUs", "GPUs", "NumDynamicSlots"]
"""Attributes that `slots` reads."""

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")

_Ad = Mapping[str, Any]


def slots(ads: Sequence[_Ad]) -> dict[str, int]:
    """Return what workers have and what of it is in use: cores, MiB, GPUs, and the memory of the largest."""
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
    """Return the reasons for which jobs are held, that of most jobs first, each with its words, remedy and jobs.

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


def job_rows(ads: Sequence[_Ad]) -> list[dict[str, Any]]:
    """Return what is listed of jobs, by their numbers."""
    return [_row(ad) for ad in sorted(ads, key=_order)]


def _row(ad: _Ad) -> dict[str, Any]:
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
