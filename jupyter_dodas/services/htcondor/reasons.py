"""Why a job does not run, in words and with a remedy: HTCondor's own codes, told to who has never read its manual. Pure."""

import errno
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

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


_SEND_AGAIN: Final = "Remove it and submit it again"

_KNOWN: Final[Mapping[int, Explanation]] = {
    1: Explanation("It was put on hold by hand.", "Release it when it may run.", True),
    2: Explanation("The grid service that it was sent to gave it up.", "Release it to try again.", True),
    3: Explanation(
        "A policy of its own holds it: periodic_hold or on_exit_hold became true.",
        f"Mend what made it true. {_SEND_AGAIN} if the policy itself is wrong.",
        True,
    ),
    4: Explanation("Its credential cannot be read.", "Release it once a new credential has been delivered.", True),
    5: Explanation(
        "A policy of its own cannot be worked out.",
        f"One of its periodic_ or on_exit_ expressions names something that is not there. {_SEND_AGAIN} with another.",
        False,
    ),
    6: Explanation("The program could not be started.", f"See that it is there and can be executed. {_SEND_AGAIN}.", False),
    7: Explanation(
        "The file for its output could not be opened.", "See that its folder is there and has room, then release it.", True
    ),
    8: Explanation("The file for its input could not be opened.", "See that it is there and can be read, then release it.", True),
    9: Explanation("Its output could not be streamed.", "See that the folder for it is there and has room, then release it.", True),
    10: Explanation("Its input could not be streamed.", "See that the file is there and can be read, then release it.", True),
    11: Explanation("Worker and queue lost touch while files were on their way.", "Release it to try again.", True),
    12: Explanation("Its results could not be brought back.", "See that it writes the files that it names as outputs.", True),
    13: Explanation("Its files could not be brought to the worker.", "See that all of its inputs are there and can be read.", True),
    14: Explanation("The folder that it is to run in cannot be entered.", "See that the folder is there, then release it.", True),
    15: Explanation("It was submitted on hold.", "Release it when it may run.", True),
    UNDER_WAY: Explanation("Its files are still on their way to the queue.", "Wait: it goes on by itself.", False),
    17: Explanation("It was made for a kind of job that HTCondor no longer has.", f"{_SEND_AGAIN} as a vanilla job.", False),
    18: Explanation("Worker and queue did not agree on a transfer of files.", "Release it to try again.", True),
    19: Explanation(
        "The worker's own preparation for it failed.", "Release it to try another worker. Tell whoever runs the pool.", True
    ),
    20: Explanation("It was to start at a certain time, and that has passed.", f"{_SEND_AGAIN} with a later time.", False),
    21: Explanation("The worker's policy stopped it.", "See what the worker says, and ask for what the job really uses.", False),
    22: Explanation(
        "Its event log cannot be written.", "See that the folder of the log is there and has room, then release it.", True
    ),
    23: Explanation(
        "The account that it is to run as cannot be used.", "Release it to try again. Tell whoever runs the pool.", True
    ),
    24: Explanation("This pool cannot run its kind of job.", f"{_SEND_AGAIN} as a vanilla job.", False),
    25: Explanation("Its timetable makes no sense.", f"{_SEND_AGAIN} with other cron_ settings.", False),
    26: Explanation("The pool's policy holds it.", "See what the policy says. Tell whoever runs the pool.", False),
    27: Explanation("The pool's policy cannot be worked out for it.", "Tell whoever runs the pool.", False),
    32: Explanation(
        "Its inputs are larger than the pool takes.",
        f"{_SEND_AGAIN} with smaller ones, or have it read them where they lie.",
        False,
    ),
    33: Explanation(
        "Its results are larger than the pool takes.", f"{_SEND_AGAIN} with fewer outputs, or have it write them elsewhere.", False
    ),
    34: Explanation("It used more than it had asked for.", f"{_SEND_AGAIN} and ask for more.", False),
    35: Explanation("The image of its container cannot be used.", f"{_SEND_AGAIN} with the right name of the image.", False),
    36: Explanation("It failed while it saved its state.", "Release it to go on from what it saved before.", True),
    37: Explanation("The cloud refused it.", f"{_SEND_AGAIN} with other keys or settings for the cloud.", False),
    38: Explanation("HTCondor could not make out what the cloud answered.", "Release it to try again.", True),
    39: Explanation("This pool is not set up for the cloud.", "Tell whoever runs the pool.", False),
    40: Explanation("The cloud does not answer.", "Release it to try again.", True),
    41: Explanation("The cloud ended its machine.", "Release it to try again.", True),
    42: Explanation(
        "Its machine in the cloud may be lost, and may still cost.", "Look at the cloud's own list before you release it.", True
    ),
    43: Explanation("The script that was to run before it failed.", "Mend the script, then release it.", True),
    44: Explanation("The script that was to run after it failed.", "Mend the script, then release it.", True),
    45: Explanation(
        "The worker could not start its container.", "Release it to try another worker. If it is held again, see its image.", True
    ),
    46: Explanation("It took longer than it was allowed.", f"{_SEND_AGAIN} with a later deadline, or in smaller parts.", False),
    47: Explanation(
        "It computed for longer than it was allowed.", f"{_SEND_AGAIN} with a later deadline, or in smaller parts.", False
    ),
    48: Explanation("The queue's own preparation for it failed.", "Release it to try again. Tell whoever runs the pool.", True),
}

_UNKNOWN: Final = Explanation("HTCondor holds it.", "Release it to try again.", True)

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
    return known if bare else replace(known, words=f"It was put on hold by hand: {_sentence(said)}")


def _policy(known: Explanation, held: _Held) -> Explanation:
    """Tell the two policies apart: that of a job which ended lets it run anew, the other would hold it again at once."""
    if not held.reason:
        return known
    if "evaluated to TRUE" not in held.reason:
        return replace(known, words=f"A policy of its own holds it: {_sentence(held.reason)}")
    if "onexithold" in re.sub(r"_", "", held.reason).lower():
        return Explanation(
            "It ended in a way that it is to be held for (on_exit_hold).", "See its stderr. Release it to run it again.", True
        )
    return Explanation(
        "A policy of its own holds it (periodic_hold).",
        f"Released as it is, it would be held again. {_SEND_AGAIN} with another policy, or ask for what it really uses.",
        False,
    )


def _start(known: Explanation, held: _Held) -> Explanation:
    """Tell why a program would not start, by the system's own error."""
    number = _errno(held)
    if number == errno.ENOENT:
        return replace(known, words="The program to run, or the interpreter in its first line, is not on the worker.")
    if number == errno.EACCES:
        return replace(
            known, words="The program to run may not be executed.", remedy=f"Make it executable (chmod +x). {_SEND_AGAIN}."
        )
    if number == errno.ENOEXEC:
        words = "The program to run is not one that this machine can execute."
        return replace(known, words=words, remedy=f"If it is a script, begin it with #! and its interpreter. {_SEND_AGAIN}.")
    return _file(known, held)


def _file(known: Explanation, held: _Held) -> Explanation:
    """Name the file, and what the system said of it."""
    number, name = _errno(held), _name(held.reason)
    stem = known.words.rstrip(".")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return replace(known, words=f"{stem}: the disk is full.", remedy="Make room, then release it.")
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
        words = (
            f"It used more than the {_size(asked)} of memory it asked for." if asked else "It used more memory than it asked for."
        )
        if asked and used > asked:
            words = f"It used {_size(used)} of the {_size(asked)} of memory it asked for."
        more = _more(max(asked, used))
        remedy = f"Release it with {_size(more)}." if more else f"{_SEND_AGAIN} and ask for more memory."
        return Explanation(words, remedy, False, more)
    if held.subcode == _DISK or "disk" in text:
        return Explanation("It used more disk than it asked for.", f"{_SEND_AGAIN} and ask for more disk.", False)
    if held.subcode == _CPUS or "cpu" in text:
        remedy = f"{_SEND_AGAIN} with more cpus, or have its libraries use one thread."
        return Explanation("It used more cores than it asked for.", remedy, False)
    return _said(known, held)


def _said(known: Explanation, held: _Held) -> Explanation:
    """Add what HTCondor says."""
    return replace(known, words=f"{known.words.rstrip('.')}: {_sentence(held.reason)}") if held.reason else known


def _duration(known: Explanation, held: _Held) -> Explanation:
    """Name the time that it had."""
    allowed = re.search(r"duration of (?:(\d+)\+)?(\d+):(\d+):(\d+)", held.reason)
    if allowed is None:
        return known
    days, hours, minutes, seconds = (int(part or 0) for part in allowed.groups())
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    time = " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
    return replace(known, words=f"{known.words.removesuffix(' than it was allowed.')} than the {time} it was allowed.")


_Refine = Callable[[Explanation, _Held], Explanation]

_REFINED: Final[Mapping[int, _Refine]] = {
    1: _by_hand,
    3: _policy,
    6: _start,
    **dict.fromkeys((7, 8, 9, 10, 12, 13, 14, 22), _file),
    **dict.fromkeys((21, 34), _resources),
    **dict.fromkeys((26, 37, 45), _said),
    **dict.fromkeys((46, 47), _duration),
}

_NUMBER: Final = re.compile(r"\(?errno[ =]+(\d+)\)?")
_PATH: Final = re.compile(r"(?:file|directory|folder|from|to|open|access)\s+['\"]?(/[^\s'\":,]+)")
_LIMIT: Final = re.compile(r"memory limit of (\d+) (?:megabytes|mb)(?:.*?usage: (\d+) megabytes)?")


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
