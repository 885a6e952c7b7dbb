"""Why a job does not run, in words; and whether it ever can, which is told before it is submitted. Pure."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jupyter_dodas.errors import BadInput
from jupyter_dodas.options import GroupOptions
from jupyter_dodas.services.htcondor import reasons
from jupyter_dodas.services.htcondor.states import State
from jupyter_dodas.services.htcondor.submitting import Needs

__all__ = ["JOB", "SLOT", "Why", "check", "room", "share", "why"]

JOB: Final = (
    *("ClusterId", "ProcId", "JobStatus", "QDate", "RequestCpus", "RequestMemory", "RequestGPUs", "RequestDisk", "RemoteHost"),
    *("HoldReason", "HoldReasonCode", "HoldReasonSubCode", "MemoryUsage", "JobCurrentStartDate", "NumJobStarts"),
    *("RemoveReason", "ExitCode", "CompletionDate"),
)
"""What must be known of a job."""

SLOT: Final = ("Name", "Machine", "State", "Cpus", "Memory", "Disk", "GPUs", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs")
"""What must be known of the workers, of which each offers one slot that is divided."""

_MIB: Final = 2**20
_QUIET: Final = 10.0


@dataclass(frozen=True, repr=False)
class Why:
    """Why a job does not run, or what it does.

    Parameters
    ----------
    job
        Its name.
    state
        A word for it: ``waiting``.
    words
        The reason.
    remedy
        What helps, if something is to be done.
    """

    job: str
    state: str
    words: str
    remedy: str = ""

    def __str__(self) -> str:
        return "\n".join(filter(None, [f"Job {self.job} is {self.state}. {self.words}".strip(), self.remedy]))

    def __repr__(self) -> str:
        return str(self)


def check(needs: Needs, groups: Mapping[str, GroupOptions]) -> None:
    """See that some worker could run a job.

    Raises
    ------
    BadInput
        If none ever can.
    """
    memory = needs.memory or 0
    if any(_fits(needs, group) for group in groups.values()):
        return
    for what, asked, most, shown in (
        ("cores", needs.cpus, max(group.cores for group in groups.values()), str),
        ("memory", memory, max(int(group.memory) for group in groups.values()), _size),
        ("GPUs", needs.gpus, max(group.gpus for group in groups.values()), str),
    ):
        if asked > most:
            raise BadInput(
                f"No worker of this pool can ever run a job that needs {_asks(what, shown(asked))}",
                cause=f"Its workers have {_asks(what, shown(most))}{'' if len(groups) == 1 else ' at most'}.",
                remedy=f"Ask for no more, or launch a pool whose workers have more {what}.",
            )
    raise BadInput(
        "No worker of this pool can ever run a job that needs all of this at once",
        cause=f"It asks for {_words(needs)}; " + "; ".join(f"{name} has {_words_of(group)}" for name, group in groups.items()),
        remedy="Ask for less of one of them, or launch a pool with larger workers.",
    )


def room(needs: Needs, groups: Mapping[str, GroupOptions]) -> int:
    """Return how many such jobs can run at once when all workers are there."""
    memory = needs.memory if needs.memory is not None else share(groups) * needs.cpus
    return sum(
        group.bounds()[1] * min(group.cores // needs.cpus, int(group.memory) // max(1, memory), *_by_gpus(needs, group))
        for group in groups.values()
    )


def share(groups: Mapping[str, GroupOptions]) -> int:
    """Return the bytes of memory that each core of a worker has for itself."""
    return min(int(group.memory) // group.cores for group in groups.values())


def why(
    job: Mapping[str, Any], slots: Sequence[Mapping[str, Any]], clauses: Iterable[tuple[str, int]], now: float | None = None
) -> Why:
    """Say why a job does not run.

    Parameters
    ----------
    job
        What is known of it: `JOB`.
    slots
        What is known of the workers: `SLOT`.
    clauses
        The clauses of what it requires, and how many workers meet each.
    now
        Unix seconds.
    """
    name, code = f"{job['ClusterId']}.{job['ProcId']}", int(job["JobStatus"])
    state = reasons.status(code)
    if code == 1:
        return Why(name, state, *_waiting(job, slots, clauses, time.time() if now is None else now))
    if code == 5 and int(job.get("HoldReasonCode") or 0) != reasons.UNDER_WAY:
        said = reasons.explain(
            int(job.get("HoldReasonCode") or 0), int(job.get("HoldReasonSubCode") or 0), str(job.get("HoldReason") or "")
        )
        return Why(name, state, said.words, said.remedy)
    if code == 5:
        return Why(name, State.SENDING, "Its files are being sent to the queue.")
    if code == 2:
        return Why(name, state, f"It runs on {_worker(str(job.get('RemoteHost') or 'a worker'))}.")
    if code == 4:
        return Why(name, state, f"It has ended with exit code {job.get('ExitCode', 'unknown')}.")
    if code == 3:
        return Why(name, state, str(job.get("RemoveReason") or ""))
    return Why(name, state, "")


def _waiting(
    job: Mapping[str, Any], slots: Sequence[Mapping[str, Any]], clauses: Iterable[tuple[str, int]], now: float
) -> tuple[str, str]:
    if not slots:
        return (
            "There are no workers yet.",
            "They may be starting: cluster.record() tells; cluster.scale() and cluster.adapt() say how many there are to be.",
        )
    asked = {
        "cores": (_number(job.get("RequestCpus"), 1), "Cpus", "TotalSlotCpus"),
        "MiB of memory": (_number(job.get("RequestMemory"), 0), "Memory", "TotalSlotMemory"),
        "GPUs": (_number(job.get("RequestGPUs"), 0), "GPUs", "TotalSlotGPUs"),
    }
    for what, (number, _, total) in asked.items():
        most = max(_number(slot.get(total), 0) for slot in slots)
        if number > most:
            return (
                f"It asks for {number:g} {what}, and the largest worker has {most:g}.",
                "Remove it, and submit it again with less, or launch a pool with larger workers.",
            )
    for clause, met in clauses:
        if met == 0 and not _is_ours(clause):
            return (f"It requires {clause}, and no worker meets that.", "Remove it, and submit it again with other requirements.")
    fitting = [slot for slot in slots if all(_number(slot.get(total), 0) >= number for number, _, total in asked.values())]
    free = [slot for slot in fitting if all(_number(slot.get(left), 0) >= number for number, left, _ in asked.values())]
    if not fitting:
        return (
            "No worker has all that it asks for at once.",
            "Remove it, and submit it again with less, or launch a pool with larger workers.",
        )
    if not free:
        busy = sum(_number(slot.get("TotalSlotCpus"), 0) - _number(slot.get("Cpus"), 0) for slot in fitting)
        cores = sum(_number(slot.get("TotalSlotCpus"), 0) for slot in fitting)
        short = [
            what
            for what, (number, left, _) in asked.items()
            if number and all(_number(slot.get(left), 0) < number for slot in fitting)
        ]
        return (
            f"Every worker that could run it is busy: {busy:g} of {cores:g} cores are taken"
            + (f", and none has enough {short[0]} left." if short and short[0] != "cores" else "."),
            "It runs when others have ended; cluster.scale() brings more workers.",
        )
    if now - _number(job.get("QDate"), now) > _QUIET * 3:
        return ("A worker could run it, and others may be before it.", "Look again in some seconds.")
    return ("A worker could run it; it starts within seconds.", "")


def _fits(needs: Needs, group: GroupOptions) -> bool:
    return group.cores >= needs.cpus and int(group.memory) >= (needs.memory or 0) and group.gpus >= needs.gpus


def _by_gpus(needs: Needs, group: GroupOptions) -> list[int]:
    return [group.gpus // needs.gpus] if needs.gpus else []


def _is_ours(clause: str) -> bool:
    """Whether a clause speaks of what has been looked at already: how much there is of something."""
    return "Request" in clause


def _number(value: object, otherwise: float) -> float:
    # What is worked out anew for each slot comes as a text.
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _worker(slot: str) -> str:
    """Return the name of a worker: ``worker-1`` of ``slot1_1@worker-1@pool.0123456789ab``."""
    parts = slot.split("@")
    return parts[1] if len(parts) > 2 else slot


def _asks(what: str, amount: str) -> str:
    return f"{amount} of memory" if what == "memory" else f"{amount} {what.removesuffix('s') if amount == '1' else what}"


def _words(needs: Needs) -> str:
    parts = [_asks("cores", str(needs.cpus)), _asks("memory", _size(needs.memory)) if needs.memory else ""]
    return ", ".join(filter(None, [*parts, _asks("GPUs", str(needs.gpus)) if needs.gpus else ""]))


def _words_of(group: GroupOptions) -> str:
    return _words(Needs(cpus=group.cores, memory=int(group.memory), gpus=group.gpus))


def _size(number: int) -> str:
    gibibytes = number / 2**30
    return f"{gibibytes:g} GiB" if gibibytes >= 1 and gibibytes == round(gibibytes, 1) else f"{number / _MIB:g} MiB"
