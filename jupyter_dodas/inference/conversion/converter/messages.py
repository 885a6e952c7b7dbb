"""What server and converter say to each other: lines of JSON, each one message."""

from typing import Any, TypeAlias

import msgspec

from jupyter_dodas.inference.records import Check, Engine, Format, Signature

__all__ = ["Cancel", "Converted", "Ended", "Job", "Message", "Order", "Ready", "Refused", "Said", "Step"]


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """Something to convert.

    Parameters
    ----------
    folder
        Where ``original/`` is, and where ``engine/`` and ``work/`` are made.
    path
        Of the model, in ``original/``.
    examples
        A file of rows (npz), or empty.
    memory, seconds, size
        Bytes, seconds of computing and bytes in one file that it may take.
    """

    number: int
    folder: str
    format: Format
    path: str
    params: dict[str, Any] = {}
    examples: str = ""
    memory: int
    seconds: int
    size: int


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """End a job at once."""

    number: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Everything is imported."""


class Step(msgspec.Struct, frozen=True, tag="step"):
    """Something has been done."""

    name: str


class Converted(msgspec.Struct, frozen=True, tag="converted"):
    """It went well, and ``engine/`` is there."""

    engine: Engine
    signature: Signature
    check: Check


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It did not.

    Parameters
    ----------
    full
        Whether that is for want of room on the disk.
    """

    message: str
    cause: str = ""
    remedy: str = ""
    full: bool = False


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The process of a job is gone; said by the waiting process, not by that of the job.

    Parameters
    ----------
    status
        As `os.waitpid` gives it.
    """

    number: int
    status: int


Order: TypeAlias = Job | Cancel
Said: TypeAlias = Step | Converted | Refused
"""What comes from the process of a job."""
Message: TypeAlias = Ready | Ended | Said
