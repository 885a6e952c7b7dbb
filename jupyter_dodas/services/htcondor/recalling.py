"""How the results of jobs are read, also by a process that has not submitted them: what a job's ad says of that."""

import json
import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from jupyter_dodas.errors import BadInput, NotFound
from jupyter_dodas.services.htcondor import collecting, payload, submitting
from jupyter_dodas.services.htcondor.futures import JobResult, Work
from jupyter_dodas.services.htcondor.mapping import Values
from jupyter_dodas.services.htcondor.submitting import FETCHED, RESULT, SESSION

__all__ = ["COLUMNS", "UNFETCHED", "Sort", "is_ours", "noted", "raw", "reader", "recalled"]

_WORK: Final = "DodasWork"
"""Attribute of a job: what it does, in such words that neither a description nor an ad reads more in them."""

UNFETCHED: Final = f"{SESSION} =!= undefined && {FETCHED} =!= true && JobStatus != 3"
"""The constraint for jobs whose results can still be had."""

COLUMNS: Final = (
    *("ClusterId", "ProcId", SESSION, _WORK, "Iwd", "SUBMIT_Iwd"),
    *("Out", "Err", "TransferOutputRemaps", "SUBMIT_TransferOutputRemaps"),
)
"""What must be known of a job to read its results."""


class Sort(StrEnum):
    """What a job does, and so what its result is."""

    PROGRAM = "program"
    CALL = "call"
    CALLS = "calls"


def noted(sort: Sort, outputs: Mapping[str, Path | None], deadline: float | None) -> dict[str, str]:
    """Return what of a description says to other processes how the results are read."""
    targets = {name: None if target is None else str(target) for name, target in outputs.items()}
    said = json.dumps({"sort": sort, "outputs": targets, "deadline": deadline})
    return {f"MY.{_WORK}": f'"{quote(said)}"'}


def reader(sort: Sort, folder: Path, *, outputs: bool) -> Callable[[JobResult], Any]:
    """Return what makes of what a job has left what its future gives, or raises.

    Parameters
    ----------
    folder
        Where its results come.
    outputs
        Whether it is to leave files.
    """
    if sort is Sort.PROGRAM:
        return collecting.succeeded

    def read(left: JobResult) -> Any:
        outcomes = payload.outcomes(folder / RESULT)
        if not outcomes:
            raise collecting.failure(left, "" if left.code else "has left no result")
        # What a function cannot be understood for is the same for all calls of a job.
        alone = sort is Sort.CALL or payload.is_foreign(outcomes[0])
        value = payload.value_of(outcomes[0], left.job) if alone else Values(outcomes, left.job)
        if outputs:
            collecting.succeeded(left)
        return value

    return read


def recalled(ad: Mapping[str, Any], spare: Callable[[], Path]) -> Work:
    """Return how the results of a job are read that somebody else has submitted.

    Parameters
    ----------
    ad
        What the queue says of it.
    spare
        Names a folder for its results, if that in which it was submitted is not here.
    """
    own = raw(ad)
    folder, moved = own.folder, dict[str, str]()
    if not _is_here(folder, spooled=bool(ad.get("SUBMIT_Iwd"))):
        folder = spare()
        moved = {"SUBMIT_Iwd": _text(str(folder))}
    try:
        said = json.loads(unquote(str(ad[_WORK])))
        sort, deadline = Sort(said["sort"]), said["deadline"]
        targets = submitting.given(said["outputs"])
    except (KeyError, TypeError, ValueError, BadInput):
        if not moved:
            return own
        # Its own folders are not here either.
        names = [Path(name).name for name in (own.stdout, own.stderr)]
        remaps = {"_condor_stdout": names[0], "_condor_stderr": names[1]}
        moved["SUBMIT_TransferOutputRemaps"] = _text(";".join(f"{name}={new}" for name, new in remaps.items()))
        return Work({}, folder, (), own.read, lasting=True, stdout=names[0], stderr=names[1], moved=moved)
    return Work(
        {},
        folder,
        (),
        reader(sort, folder, outputs=bool(targets)),
        targets,
        lasting=any(target is None for target in targets.values()),
        deadline=deadline,
        moved=moved,
    )


def is_ours(ad: Mapping[str, Any]) -> bool:
    """Whether a job was submitted by such a process as this one."""
    return re.fullmatch(r"[0-9a-f]{16}", str(ad.get(SESSION))) is not None


def raw(ad: Mapping[str, Any]) -> Work:
    """Return how the results of a job with a description of its user's own are read: from where that says.

    Parameters
    ----------
    ad
        What the queue says of it.
    """
    folder = Path(str(ad.get("SUBMIT_Iwd") or ad["Iwd"]))
    if not folder.is_absolute():
        raise NotFound(str(folder))
    # Through the spool its output goes by another name, and gets its own again when it is fetched.
    said = str(ad.get("SUBMIT_TransferOutputRemaps") or ad.get("TransferOutputRemaps") or "")
    names = dict(pair.split("=", 1) for pair in said.split(";") if "=" in pair)
    out, err = (names.get(name, name) for name in (str(ad.get(key) or "") for key in ("Out", "Err")))
    return Work({}, folder, (), collecting.succeeded, lasting=True, stdout=out, stderr=err)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_here(folder: Path, *, spooled: bool) -> bool:
    return folder.is_dir() and (not spooled or os.access(folder, os.W_OK))
