"""What a job has left in its folder."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.errors import JobFailed
from jupyter_dodas.services.htcondor.ends import lost
from jupyter_dodas.services.htcondor.futures import JobResult, Work
from jupyter_dodas.services.htcondor.submitting import LEFT, PAYLOAD, RESULT, SCRIPT

__all__ = ["discard", "failure", "left", "succeeded"]

_MOST: Final = 10 * 2**20
"""Bytes of what a job wrote that are kept in memory."""
_TAIL: Final = 2000
_OWN: Final = (SCRIPT, PAYLOAD, RESULT)


def left(work: Work, ad: Mapping[str, Any]) -> JobResult:
    """Return what a job has left, each output where its user wants it.

    Parameters
    ----------
    ad
        What the queue says of it.

    Raises
    ------
    JobRemoved
        If it is not there.
    """
    if not work.folder.is_dir():
        raise lost(f"{ad['ClusterId']}.{ad['ProcId']}", f"There is no folder {work.folder} here any more.")
    by_signal = ad.get("ExitBySignal") is True
    return JobResult(
        job=f"{ad['ClusterId']}.{ad['ProcId']}",
        code=None if by_signal else ad.get("ExitCode"),
        signal=ad.get("ExitSignal") if by_signal else None,
        stdout=_end_of(work.folder / work.stdout),
        stderr=_end_of(work.folder / work.stderr),
        folder=work.folder if work.lasting else None,
        outputs={name: _placed(work.folder, name, target) for name, target in work.outputs.items()},
    )


def succeeded(result: JobResult) -> JobResult:
    """Return it, if the job did what it was to do.

    Raises
    ------
    JobFailed
    """
    missing = [name for name, path in result.outputs.items() if not path.exists()]
    if result.signal is not None or result.code != 0:
        raise failure(result)
    if missing:
        raise failure(result, f"has not left {', '.join(missing)}")
    return result


def failure(result: JobResult, words: str = "") -> JobFailed:
    """Return the error for a job that did not go well.

    Parameters
    ----------
    words
        What happened, if its exit does not say it.
    """
    how = f"was ended by signal {result.signal}" if result.signal is not None else f"ended with exit code {result.code}"
    said = result.stderr.strip()[-_TAIL:]
    memory = " Signal 9 often is the end of what uses more memory than there is." if result.signal == 9 else ""
    where = f" What it left is in {result.folder}." if result.folder else ""
    return JobFailed(
        f"Job {result.job} {words or how}",
        cause=f"It wrote to its standard error: {said}" if said else "It wrote nothing to its standard error.",
        remedy=f"future.stdout and future.stderr have all that it wrote.{memory}{where}",
    )


def discard(work: Work) -> None:
    """Remove what nobody needs any more of a job's folder."""
    if not work.lasting:
        shutil.rmtree(work.folder, ignore_errors=True)
        return
    for name in _OWN:
        with suppress(OSError):
            (work.folder / name).unlink()
    shutil.rmtree(work.folder / LEFT, ignore_errors=True)


def _placed(folder: Path, name: str, target: Path | None) -> Path:
    """Bring a file that has come back to where it is wanted."""
    file = folder / LEFT / name
    target = target or folder / name
    if not file.exists():
        return target
    if target.is_dir() and not file.is_dir():
        target /= file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(file, target)
    return target


def _end_of(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _MOST))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
