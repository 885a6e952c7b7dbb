"""What is asked of HTCondor for a job: what it needs, what it runs, which files go with it; and whether those are there."""

import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ByteSize, TypeAdapter, ValidationError

from jupyter_dodas.errors import BadInput
from jupyter_dodas.options import Environment

__all__ = [
    "ERROR",
    "FETCHED",
    "LEFT",
    "OUTPUT",
    "OVERDUE",
    "PAYLOAD",
    "RESULT",
    "SCRIPT",
    "SESSION",
    "TAKEN",
    "Needs",
    "calling",
    "command",
    "description",
    "followed",
    "given",
    "inputs_of",
    "mebibytes",
    "script",
]

SCRIPT: Final = "_dodas_run"
PAYLOAD: Final = "_dodas_payload"
RESULT: Final = "_dodas_result"
LEFT: Final = "_dodas_outputs"
OUTPUT: Final = "_dodas_stdout"
ERROR: Final = "_dodas_stderr"

SESSION: Final = "DodasSession"
TAKEN: Final = "DodasTaken"
FETCHED: Final = "DodasFetched"
"""Attributes of a job: who waits for it, who fetches its results just now, and whether they have been fetched."""

_MIB: Final = 2**20
_QUANTUM: Final = 128
"""HTCondor rounds the MiB of a request up to multiples of this."""
OVERDUE: Final = 46
"""HTCondor's code for a hold of what ran longer than allowed_job_duration."""
_DAY: Final = 86400
_SIZE: Final = TypeAdapter(ByteSize)


@dataclass(frozen=True)
class Needs:
    """What a job needs of a worker.

    Parameters
    ----------
    cpus, gpus
        Cores and GPUs for itself.
    memory, disk
        Bytes; None for its share of a worker, and for what its files take.
    deadline
        Seconds that it may run.
    retries
        How often it is run again if it fails.
    environment
        Variables, never a secret.
    """

    cpus: int = 1
    memory: int | None = None
    gpus: int = 0
    disk: int | None = None
    deadline: float | None = None
    retries: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        *,
        cpus: int = 1,
        memory: str | int | None = None,
        gpus: int = 0,
        disk: str | int | None = None,
        deadline: float | None = None,
        retries: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Check what a user has written.

        Raises
        ------
        BadInput
        """
        late = deadline is not None and (isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline >= 1)
        if late or deadline == math.inf:
            raise _wrong("deadline", deadline, "The seconds that a job may run are a number, at least 1; None is no deadline.")
        try:
            variables = Environment(variables=environment or {}).variables
        except ValidationError as error:
            raise _wrong("environment", [*(environment or {})], error.errors()[0]["msg"]) from error
        return cls(
            cpus=_count("cpus", cpus, least=1),
            memory=_bytes("memory", memory),
            gpus=_count("gpus", gpus, least=0),
            disk=_bytes("disk", disk),
            deadline=deadline,
            retries=_count("retries", retries, least=0),
            environment=variables,
        )


def description(needs: Needs, name: str, session: str, *, outputs: Sequence[str], share: int) -> dict[str, str]:
    """Return a submit description, without what differs from one job to the next: its folder, ``$(folder)``, and ``$(inputs)``.

    Parameters
    ----------
    name
        What the queue calls it.
    session
        Who waits for it.
    outputs
        What is brought back.
    share
        Bytes of a worker's memory for each core.
    """
    lines = {
        "universe": "vanilla",
        "executable": "/bin/sh",
        "transfer_executable": "false",
        "arguments": SCRIPT,
        "initialdir": "$(folder)",
        "output": OUTPUT,
        "error": ERROR,
        "should_transfer_files": "yes",
        "when_to_transfer_output": "on_exit",
        "transfer_input_files": "$(inputs)",
        "transfer_output_files": ", ".join(outputs) or '""',
        "request_cpus": str(needs.cpus),
        "request_memory": str(mebibytes(needs, share)),
        "request_disk": str(math.ceil((needs.disk or _MIB) / 1024)),
        "batch_name": _plain(name),
        **followed(session),
    }
    if needs.gpus:
        lines["request_gpus"] = str(needs.gpus)
    if needs.retries:
        lines["max_retries"] = str(needs.retries)
    if needs.deadline is not None:
        lines["allowed_job_duration"] = str(math.ceil(needs.deadline))
        lines["periodic_remove"] = f"JobStatus == 5 && HoldReasonCode == {OVERDUE}"
    return lines


def mebibytes(needs: Needs, share: int) -> int:
    """Return the memory that is asked for, in MiB.

    Parameters
    ----------
    share
        Bytes of a worker's memory for each core.
    """
    memory = max(1, math.ceil((needs.memory if needs.memory is not None else share * needs.cpus) / _MIB))
    if needs.memory is None and memory > _QUANTUM:
        memory -= memory % _QUANTUM  # or what it is rounded up to might not fit as often as there are cores
    return memory


def followed(session: str) -> dict[str, str]:
    """Return what has jobs stay in the queue until their results are fetched, or nobody has come for them in ten days.

    Parameters
    ----------
    session
        Who waits for them.
    """
    stays = f"JobStatus == 4 && {FETCHED} =!= true && time() - CompletionDate < {10 * _DAY}"
    return {f"MY.{SESSION}": f'"{session}"', "leave_in_queue": stays}


def command(program: str, arguments: Sequence[object], *, sent: bool) -> str:
    """Return the line of a script that runs a program.

    Parameters
    ----------
    sent
        Whether the program comes along; otherwise workers have it.

    Raises
    ------
    BadInput
    """
    name = f"./{Path(program).name}" if sent else program
    words = [name, *map(_argument, arguments)]
    return shlex.join(words)


def calling(python: str, job: str) -> str:
    """Return the line of a script that calls a function.

    Parameters
    ----------
    python
        The interpreter.
    job
        The name of the file of `job`.
    """
    return f"{shlex.quote(python)} {job} {PAYLOAD} {RESULT}"


def script(line: str, environment: Mapping[str, str], outputs: Iterable[str], *, calls: bool = False, program: str = "") -> str:
    """Return what a job runs: a line, and around it what makes its end certain.

    A job that does not leave each file which it is to leave is held, and its worker may wait for long. So there is one file of
    results from the beginning, or one folder, to which those outputs go that there are.

    Parameters
    ----------
    line
        See `command` and `calling`.
    calls
        Whether it calls a function.
    program
        The file of the program, if that comes along: it need not be executable where it comes from.
    """
    begin = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    begin += [f": > {RESULT}"] if calls else []
    begin += [f"chmod +x {shlex.quote('./' + program)}"] if program else []
    if not (names := [shlex.quote(name) for name in outputs]):
        return "\n".join([*begin, f"exec {line}", ""])
    return "\n".join([*begin, f"mkdir {LEFT}", f"{line} <&0 &", _AWAIT, *map(_move, names), _END])


def _move(name: str) -> str:
    return f'[ ! -e {name} ] || {{ mkdir -p "$(dirname {LEFT}/{name})" && mv {name} {LEFT}/{name}; }}'


_AWAIT: Final = """\
child=$!
trap 'kill -TERM $child' TERM
wait $child
code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done"""
_END: Final = """\
[ $code -le 128 ] || kill -$((code - 128)) $$
exit $code
"""
"""How a job ends is how its program ended, also by a signal."""


def inputs_of(paths: Sequence[str | os.PathLike[str]]) -> Sequence[str]:
    """Return the files of a user, from the root; addresses such as ``https://...`` as they are.

    Raises
    ------
    BadInput
        If one is not there, or two have one name.
    """
    if isinstance(paths, str | os.PathLike):
        raise _wrong("inputs", str(paths), "It is a list of files: inputs=[...].")
    found = [str(path) if _is_address(str(path)) else str(Path(path).expanduser().absolute()) for path in paths]
    for path in found:
        if not _is_address(path) and not os.access(path, os.R_OK):
            raise BadInput(
                f"The input {path} cannot be read",
                cause="There is no such file or folder, or it is not yours.",
                remedy="Name files by their path from the root, or from your working directory.",
            )
        _listable("inputs", path)
    names = [Path(path).name for path in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(
            f"Two inputs are called {twice}",
            cause="A job finds its files in one folder, by their names.",
            remedy="Rename one, or put both into folders.",
        )
    return found


def given(outputs: Sequence[str] | Mapping[str, str | os.PathLike[str]]) -> Mapping[str, Path | None]:
    """Return the files that a job leaves, and where a user wants each: None for the job's own folder.

    Raises
    ------
    BadInput
    """
    if isinstance(outputs, str):
        raise _wrong("outputs", outputs, "It is a list of files: outputs=[...].")
    wanted = dict(outputs) if isinstance(outputs, Mapping) else dict.fromkeys(outputs)
    for name in wanted:
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise _wrong("outputs", name, "A job leaves its files in the folder that it works in: name them from there.")
        _listable("outputs", name)
    return {name: None if target is None else Path(target).expanduser().absolute() for name, target in wanted.items()}


def _argument(value: object) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise _wrong("argument", value, "A program takes texts and numbers.")
    if "\0" in str(text):
        raise _wrong("argument", value, "No argument of a program can have a NUL character.")
    return str(text)


def _plain(name: str) -> str:
    """Return a name without what a description would read as more."""
    return re.sub(r"[^\w.+:@=-]+", "_", name)[:60].strip("_") or "job"


def _is_address(path: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def _listable(option: str, path: str) -> None:
    if re.search(r"[,\n\r\"$\x1f]", path) or path != path.strip():
        raise _wrong(option, path, "HTCondor separates names of files by commas: none can have one, nor quotes, $ or a line's end.")


def _count(option: str, value: object, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10**6:
        raise _wrong(option, value, f"A whole number of at least {least} is needed.")
    return value


def _bytes(option: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        size = int(_SIZE.validate_python(int(value) if isinstance(value, float) else value))
    except (ValidationError, ValueError, OverflowError):
        size = 0
    if isinstance(value, bool) or not 1 <= size <= 2**50:
        raise _wrong(option, value, 'A size is needed, such as "1 GiB", or a number of bytes.')
    return size


def _wrong(option: str, value: object, cause: str) -> BadInput:
    return BadInput(f"{option}={value!r} will not do for a job", cause=cause, remedy=f"See help(pool.submit) for {option}.")
