"""What goes to a job that calls a Python function, and what comes back; `job` is what reads and writes it there."""

import hashlib
import json
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from jupyter_dodas.errors import BadInput, DodasError, JobFailed, NotSupported
from jupyter_dodas.services.dask.modules import Bundle, folders, nearby

__all__ = ["Call", "Outcome", "digest", "is_foreign", "outcomes", "pack", "pack_function", "pack_modules", "value_of"]

Call: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]
"""Arguments by position and by name."""

Outcome: TypeAlias = tuple[str, bytes, str]
"""See `job.run`."""

_TOLD: Final = 4000


def pack_function(function: Callable[..., Any]) -> bytes:
    """Pickle a function.

    Raises
    ------
    BadInput
        If it cannot be sent.
    """
    return _dumps(function, "The function")


def pack(function: bytes, calls: Sequence[Call], *, modules: str | None = None) -> bytes:
    """Return the payload of a job.

    Parameters
    ----------
    function
        What `pack_function` made.
    calls
        What to call it with, one after the other.
    modules
        The file beside it with the user's modules, if there is one.

    Raises
    ------
    BadInput
        If an argument cannot be sent.
    """
    packed = _dumps([(tuple(arguments), dict(named)) for arguments, named in calls], "An argument")
    by_value = b"cloudpickle" in function or b"cloudpickle" in packed
    about = {"python": list(sys.version_info[:2]), "by_value": by_value, "modules": modules}
    return json.dumps(about).encode() + b"\n" + pickle.dumps((function, packed), pickle.HIGHEST_PROTOCOL)


def pack_modules() -> tuple[bytes, Iterable[tuple[str, str]]]:
    """Return a file with the modules beside the notebook or script, empty if there are none; and what was left out, and why."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    bundles: list[Bundle] = [nearby(folder, sys.modules) for folder in folders(sys.path, main)]
    left_out = [(name, why) for bundle in bundles for name, why in bundle.left_out.items() if name in sys.modules]
    files = [(bundle.root, dict(bundle.files)) for bundle in bundles if bundle.files]
    return (pickle.dumps(files, pickle.HIGHEST_PROTOCOL) if files else b""), left_out


def digest(content: bytes) -> str:
    """Return a name for a content."""
    return hashlib.sha256(content).hexdigest()[:12]


def outcomes(result: Path) -> Sequence[Outcome]:
    """Read what a job has left. Empty if it has not come to its end."""
    try:
        content = result.read_bytes()
        found: Sequence[Outcome] = pickle.loads(content) if content else []  # noqa: S301 - from the user's own job
    except Exception:  # noqa: BLE001 - a file that is not whole
        return []
    return found


def is_foreign(outcome: Outcome) -> bool:
    """Whether the function could not be understood there: then this is the outcome of all calls."""
    return outcome[0] == "foreign"


def value_of(outcome: Outcome, job: str) -> Any:
    """Return what a call gave, or raise what it raised, with its traceback there as the cause.

    Raises
    ------
    JobFailed
        If what it gave or raised could not be sent.
    NotSupported
        If the function could not be understood there.
    """
    kind, content, words = outcome
    if kind == "foreign":
        raise _foreign(job, words)
    if kind == "lost":
        raise JobFailed(
            f"What job {job} returned cannot be sent back",
            cause=words,
            remedy="Return plain data: numbers, texts, arrays, frames; or have it write a file, and name that in outputs=.",
        )
    try:
        value = pickle.loads(content) if content else None  # noqa: S301
    except Exception as error:
        raise JobFailed(
            f"What job {job} {'returned' if kind == 'value' else 'raised'} cannot be read here",
            cause=words.strip()[-_TOLD:] or f"{type(error).__name__}: {error}",
            remedy="Install here what is installed there.",
        ) from error
    if kind == "value":
        return value
    if isinstance(value, Exception):
        raise value from JobFailed(f"The function of job {job} raised it there", cause=words.strip(), remedy="")
    # An interrupt or an exit there is none here.
    raise JobFailed(
        f"The function of job {job} raised {words.strip().splitlines()[-1][:200]}", cause=words.strip()[-_TOLD:], remedy=""
    )


def _foreign(job: str, words: str) -> DodasError:
    if "No module named" in words:
        cause = "The Python that runs jobs does not have all that the function needs."
        remedy = (
            "Install it there: environment.python, or environment.image on Kubernetes, says which that is. Modules beside your "
            "notebook come along by themselves, up to 8 MiB."
        )
    else:
        cause = "The two ends understand each other if they have the same Python and the same packages."
        remedy = "Launch the pool with an environment like the one here: environment.image, or environment.python on this machine."
    return NotSupported(f"Job {job} cannot run the function: {words}", cause=cause, remedy=remedy)


def _dumps(value: object, what: str) -> bytes:
    dumps = import_module("cloudpickle").dumps
    try:
        return bytes(dumps(value, pickle.HIGHEST_PROTOCOL))
    except Exception as error:
        raise BadInput(
            f"{what} cannot be sent to a job: {error}",
            cause="It holds something that belongs to this process, such as an open file, a connection, a lock or a generator.",
            remedy="Open or make that within the function, and pass what it takes to do so: a path, an address.",
        ) from error
