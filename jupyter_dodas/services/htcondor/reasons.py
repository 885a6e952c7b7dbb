"""Why a job does not run, in words and with a remedy: HTCondor's own codes, told to who has never read its manual. Pure."""

import errno
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from jupyter_dodas.services.htcondor.configuration import OVERDUE

__all__ = ["STATUS", "UNDER_WAY", "Explanation", "explain", "status"]

STATUS: Final[Mapping[int, str]] = {
    1: "waiting",
    2: "running",
    3: "removed",
    4: "completed",
    5: "held",
    6: "bringing results back",
    7: "suspended",
}
"""Words for HTCondor's JobStatus."""

UNDER_WAY: Final = 16
"""The HoldReasonCode of a job whose files are still on their way to the queue. It passes by itself and is nothing to tell of."""


@dataclass(frozen=True)
class Explanation:
    """Why a job is held.

    Attributes
    ----------
    words
        What happened: one sentence.
    remedy
        What to do: one or two sentences.
    release
        Whether to release it, as it is, may help.
    memory
        MiB to ask for instead, if more memory would help; 0 otherwise.
    """

    words: str
    remedy: str
    release: bool
    memory: int = 0


@dataclass(frozen=True)
class _Held:
    """What HTCondor tells of a held job beside the code."""

    subcode: int
    reason: str
    asked: int
    used: int


_AGAIN: Final = "Remove and submit again"
_RETRY: Final = "Release to try again."
_TELL: Final = "Tell whoever runs the pool."

# Several jobs are often held for one reason, so none of these sentences says "it" or "they".
_KNOWN: Final[Mapping[int, Explanation]] = {
    1: Explanation("Put on hold by hand.", "Release when nothing speaks against it.", True),
    2: Explanation("The grid service gave up.", _RETRY, True),
    3: Explanation("A policy in the submission became true: periodic_hold or on_exit_hold.", "Mend the cause, then release.", True),
    4: Explanation("The credential cannot be read.", "Deliver a new one, then release.", True),
    5: Explanation(
        "A policy in the submission cannot be worked out.", f"{_AGAIN} with other periodic_ or on_exit_ policies.", False
    ),
    6: Explanation("The program could not be started.", f"See that the worker has it and may execute it. {_AGAIN}.", False),
    7: Explanation(
        "The file for the output could not be opened.", "See that its folder is there and has room, then release.", True
    ),
    8: Explanation(
        "The file for the input could not be opened.", "See that the file is there and can be read, then release.", True
    ),
    9: Explanation("The output could not be streamed.", "See that the folder for it is there and has room, then release.", True),
    10: Explanation("The input could not be streamed.", "See that the file is there and can be read, then release.", True),
    11: Explanation("Worker and queue lost touch while files were on their way.", _RETRY, True),
    12: Explanation("The results could not be brought back.", "See that all files that are named as outputs are written.", True),
    13: Explanation("The inputs could not be brought to the worker.", "See that all files are there and can be read.", True),
    14: Explanation("The folder to run in cannot be entered.", "See that the folder is there, then release.", True),
    15: Explanation("Submitted on hold.", "Release when the work may begin.", True),
    UNDER_WAY: Explanation("The inputs are still on their way to the queue.", "Wait: this passes by itself.", False),
    17: Explanation("HTCondor no longer has this kind of job.", f"{_AGAIN} as a vanilla job.", False),
    18: Explanation("Worker and queue did not agree on a transfer of files.", _RETRY, True),
    19: Explanation("The worker's own preparation failed.", f"Release to try another worker. {_TELL}", True),
    20: Explanation("The time to start at has passed.", f"{_AGAIN} with a later one.", False),
    21: Explanation("Stopped by the worker's policy.", f"{_AGAIN} and ask for what is really used.", False),
    22: Explanation("The event log cannot be written.", "See that its folder is there and has room, then release.", True),
    23: Explanation("The account to run as cannot be used.", f"{_RETRY} {_TELL}", True),
    24: Explanation("This pool cannot run such a job.", f"{_AGAIN} as a vanilla job.", False),
    25: Explanation("The timetable makes no sense.", f"{_AGAIN} with other cron_ settings.", False),
    26: Explanation("Held by the pool's policy.", _TELL, False),
    27: Explanation("The pool's policy cannot be worked out.", _TELL, False),
    32: Explanation(
        "The inputs are larger than the pool takes.", f"{_AGAIN} with smaller ones, or read them where they lie.", False
    ),
    33: Explanation("The results are larger than the pool takes.", f"{_AGAIN} with fewer, or write them elsewhere.", False),
    34: Explanation("More was used than asked for.", f"{_AGAIN} and ask for more.", False),
    35: Explanation("The image of the container cannot be used.", f"{_AGAIN} with the right name of the image.", False),
    36: Explanation("Saving the state on the way failed.", "Release to go on from what was saved before.", True),
    37: Explanation("Refused by the cloud.", f"{_AGAIN} with other keys or settings for the cloud.", False),
    38: Explanation("The answer of the cloud makes no sense.", _RETRY, True),
    39: Explanation("This pool is not set up for the cloud.", _TELL, False),
    40: Explanation("The cloud does not answer.", _RETRY, True),
    41: Explanation("The cloud ended the machine.", _RETRY, True),
    42: Explanation("The machine in the cloud may be lost, and may still cost.", "See the cloud's own list, then release.", True),
    43: Explanation("The script that was to run before failed.", "Mend the script, then release.", True),
    44: Explanation("The script that was to run after failed.", "Mend the script, then release.", True),
    45: Explanation("The worker could not start the container.", "Release to try another worker. Otherwise see the image.", True),
    46: Explanation("The deadline has passed.", f"{_AGAIN} with a later one, or in smaller parts.", False),
    47: Explanation("The deadline for computing has passed.", f"{_AGAIN} with a later one, or in smaller parts.", False),
    48: Explanation("The queue's own preparation failed.", f"{_RETRY} {_TELL}", True),
}

_UNKNOWN: Final = Explanation("Held by HTCondor.", _RETRY, True)

_CPUS, _MEMORY, _DISK = 101, 102, 104
"""Subcodes of HTCondor's ready-made policies for workers."""


def status(code: int) -> str:
    """Return a word for a JobStatus."""
    return STATUS.get(code, "unknown")


def explain(code: int, subcode: int = 0, reason: str = "", *, asked: int = 0, used: int = 0) -> Explanation:
    """Say in words why a job is held.

    Parameters
    ----------
    code, subcode, reason
        HoldReasonCode, HoldReasonSubCode and HoldReason of the job.
    asked, used
        MiB of memory that it asked for, and that it was seen to use; 0 if that is not known.
    """
    known = _KNOWN.get(code, _UNKNOWN)
    if code in _REFINED:
        return _REFINED[code](known, _Held(subcode, reason, asked, used))
    if known is _UNKNOWN and reason:
        return replace(known, words=_sentence(reason))
    return known


def _by_hand(known: Explanation, held: _Held) -> Explanation:
    """Tell what whoever held it gave as the reason."""
    said = re.sub(r"\s*\((?:by user|via)\b[^)]*\)\s*$|^via condor_hold\b.*$", "", held.reason.strip())
    bare = not said or said.startswith(("Python-initiated", "job held by user"))
    return known if bare else replace(known, words=f"Put on hold by hand: {_sentence(said)}")


def _policy(known: Explanation, held: _Held) -> Explanation:
    """Tell the two policies apart: that of a job which ended lets it run anew, the other would hold it again at once."""
    if not held.reason:
        return known
    if "evaluated to TRUE" not in held.reason:
        return replace(known, words=f"A policy in the submission became true: {_sentence(held.reason)}")
    if "onexithold" in re.sub(r"_", "", held.reason).lower():
        return Explanation(
            "Ended in a way that is to be held (on_exit_hold).", "See what was written to stderr. Release to run again.", True
        )
    return Explanation(
        "A policy in the submission became true (periodic_hold).",
        f"Once released, it would be true again. {_AGAIN} with another policy.",
        False,
    )


def _start(known: Explanation, held: _Held) -> Explanation:
    """Tell why a program would not start, by the system's own error."""
    number = _errno(held)
    if number == errno.ENOENT:
        return replace(known, words="The program to run, or the interpreter in its first line, is not on the worker.")
    if number == errno.EACCES:
        return replace(known, words="The program to run may not be executed.", remedy=f"Make it executable (chmod +x). {_AGAIN}.")
    if number == errno.ENOEXEC:
        words = "The program to run is not one that this machine can execute."
        return replace(known, words=words, remedy=f"If it is a script, begin it with #! and its interpreter. {_AGAIN}.")
    return _file(known, held)


def _file(known: Explanation, held: _Held) -> Explanation:
    """Name the file, and what the system said of it."""
    number, name = _errno(held), _name(held.reason)
    stem = known.words.rstrip(".")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return replace(known, words=f"{stem}: the disk is full.", remedy="Make room, then release.")
    if number == errno.ENOENT and name:
        return replace(known, words=f"{stem}: there is no {name}.")
    if number in (errno.EACCES, errno.EPERM) and name:
        return replace(known, words=f"{stem}: {name} is not yours to open.")
    if number:
        about = f" ({name})" if name else ""
        return replace(known, words=f"{stem}: {os.strerror(number).lower()}{about}.")
    return known


def _resources(known: Explanation, held: _Held) -> Explanation:
    """Tell which resource it was, and how much more of it would do."""
    text = held.reason.lower()
    if held.subcode == _MEMORY or "memory" in text:
        asked, used = _limits(held)
        words = f"More memory was used than the {_size(asked)} asked for." if asked else "More memory was used than asked for."
        if asked and used > asked:
            words = f"{_size(used)} of memory were used, and {_size(asked)} asked for."
        more = _more(max(asked, used))
        remedy = f"Release with {_size(more)}." if more else f"{_AGAIN} and ask for more memory."
        return Explanation(words, remedy, False, more)
    if held.subcode == _DISK or "disk" in text:
        return Explanation("More disk was used than asked for.", f"{_AGAIN} and ask for more disk.", False)
    if held.subcode == _CPUS or "cpu" in text:
        remedy = f"{_AGAIN} with more cpus, or have libraries use one thread."
        return Explanation("More cores were used than asked for.", remedy, False)
    return _said(known, held)


def _said(known: Explanation, held: _Held) -> Explanation:
    """Add what HTCondor says."""
    return replace(known, words=f"{known.words.rstrip('.')}: {_sentence(held.reason)}") if held.reason else known


def _system(known: Explanation, held: _Held) -> Explanation:
    """Tell the pool's own deadline from what else those who run it forbid."""
    if held.subcode == OVERDUE:
        remedy = f"{_AGAIN} in smaller parts, or use a pool with a later `job_deadline`."
        return replace(
            known, words=_sentence(held.reason) if held.reason else "The pool's deadline for jobs has passed.", remedy=remedy
        )
    return _said(known, held)


def _duration(known: Explanation, held: _Held) -> Explanation:
    """Name the time that it had."""
    allowed = re.search(r"duration of (?:(\d+)\+)?(\d+):(\d+):(\d+)", held.reason)
    if allowed is None:
        return known
    days, hours, minutes, seconds = (int(part or 0) for part in allowed.groups())
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    time = " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
    return replace(known, words=f"{known.words.removesuffix(' has passed.')} of {time} has passed.")


_Refine = Callable[[Explanation, _Held], Explanation]

_REFINED: Final[Mapping[int, _Refine]] = {
    1: _by_hand,
    3: _policy,
    6: _start,
    **dict.fromkeys((7, 8, 9, 10, 12, 13, 14, 22), _file),
    **dict.fromkeys((21, 34), _resources),
    26: _system,
    **dict.fromkeys((37, 45), _said),
    **dict.fromkeys((46, 47), _duration),
}

_NUMBER: Final = re.compile(r"\(?errno[ =]+(\d+)\)?")
_PATH: Final = re.compile(r"(?:file|directory|folder|from|to|open|access)\s+['\"]?(/[^\s'\":,]+)")
_LIMIT: Final = re.compile(r"memory (?:limit of|than the) (\d+) (?:megabytes|mb|mib)(?:.*?usage: (\d+) megabytes)?")


def _errno(held: _Held) -> int:
    """Return the system's error. The text has it where the subcode also tells of a plugin that failed."""
    named = _NUMBER.findall(held.reason)
    number = int(named[-1]) if named else held.subcode
    return number if number in errno.errorcode else 0


def _name(reason: str) -> str:
    """Return the name of the file that a reason is about, without the folders of the spool, which say nothing to anybody."""
    found = _PATH.findall(reason)
    return PurePosixPath(found[-1].rstrip(".")).name if found else ""


def _limits(held: _Held) -> tuple[int, int]:
    found = _LIMIT.search(held.reason.lower())
    return (int(found[1]), max(held.used, int(found[2] or 0))) if found else (held.asked, held.used)


def _more(memory: int) -> int:
    """Return twice as much, in whole steps of 128 MiB."""
    return -(-2 * memory // 128) * 128


def _size(mebibytes: int) -> str:
    return f"{mebibytes / 1024:.3g} GiB" if mebibytes >= 1024 else f"{mebibytes} MiB"


def _sentence(text: str) -> str:
    """Return what HTCondor says as the end of a sentence: on one line and not for ever."""
    line = " ".join(text.split())
    return (line[:200].rstrip() + "…") if len(line) > 200 else line.rstrip(".") + "."
