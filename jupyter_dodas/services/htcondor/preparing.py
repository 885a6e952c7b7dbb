"""Making jobs of what a user submits: their folders, with what goes along, and what is made of what they leave."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from logging import getLogger
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.errors import BadInput
from jupyter_dodas.services.htcondor import job, payload, recalling, submitting
from jupyter_dodas.services.htcondor.futures import Work
from jupyter_dodas.services.htcondor.recalling import Sort
from jupyter_dodas.services.htcondor.submitting import LEFT, PAYLOAD, RESULT, SCRIPT, Needs

__all__ = ["Asked", "Workshop", "is_sent"]

logger = getLogger(__name__)

_SYSTEM: Final = ("/bin/", "/sbin/", "/usr/", "/lib", "/opt/", "/etc/")
"""Where programs are that workers have as well."""
_JOB: Final = "_dodas_job.py"
_MODULES: Final = "_dodas_modules"
_ROOT: Final = "jobs-"

Outputs = Sequence[str] | Mapping[str, str | os.PathLike[str]]


class Asked:
    """What is the same for all jobs that are submitted with one call: their needs, and the files that go both ways."""

    def __init__(self, needs: Needs, name: str | None, inputs: Sequence[str | os.PathLike[str]], outputs: Outputs) -> None:
        self.needs, self.name = needs, name
        self.inputs = submitting.inputs_of(inputs)
        self.outputs = submitting.given(outputs)


class Workshop:
    """Makes jobs for one pool.

    Parameters
    ----------
    folder
        Where each job gets a folder of its own.
    python
        The interpreter of functions.
    share
        Bytes of a worker's memory for each core.
    session
        Who waits for the jobs.
    """

    def __init__(self, folder: Path, python: str, share: int, session: str) -> None:
        self._base, self._python, self._share, self._session = folder, python, share, session
        self._numbers = count(1)
        self._made: Path | None = None

    def call(
        self,
        function: Callable[..., Any],
        calls: Sequence[payload.Call],
        asked: Asked,
        packed: bytes | None = None,
        *,
        sort: Sort = Sort.CALL,
    ) -> Work:
        """Make a job that calls a function, once or often.

        Parameters
        ----------
        packed
            The function, if it was packed before.
        sort
            Whether its result is what the only call gave, or a list of what all did.
        """
        modules = self._modules()
        content = payload.pack(
            packed or payload.pack_function(function), calls, modules=None if modules is None else Path(modules).name
        )
        folder = self._folder()
        (folder / PAYLOAD).write_bytes(content)
        line = submitting.calling(self._python, _JOB)
        inputs = [str(self._shared(_JOB, Path(job.__file__).read_bytes())), *([modules] if modules else [])]
        name = asked.name or str(getattr(function, "__name__", type(function).__name__))
        return self._work(folder, line, [PAYLOAD, *inputs], name, asked, sort)

    def run(self, program: str, arguments: Sequence[object], asked: Asked) -> Work:
        """Make a job that runs a program."""
        sent = is_sent(program)
        if sent and not os.access(sent, os.R_OK):
            raise BadInput(
                f"There is no program {program}",
                cause=f"{sent} is not there, or is not yours to read.",
                remedy="Name it by its path, or by its name alone if workers have it: /bin/sh, root.",
            )
        line = submitting.command(program, arguments, sent=sent is not None)
        inputs = [str(sent)] if sent is not None else []
        name = asked.name or Path(program).name
        return self._work(self._folder(), line, inputs, name, asked, Sort.PROGRAM, program=sent.name if sent else "")

    def close(self) -> None:
        """Remove what jobs were to find, also those of processes that are no more: none of them runs any longer."""
        for root in self._base.glob(f"{_ROOT}*"):
            _tidy(root, over=True)
        with suppress(OSError):
            self._base.rmdir()

    def _work(
        self,
        folder: Path,
        line: str,
        inputs: Sequence[str],
        name: str,
        asked: Asked,
        sort: Sort,
        *,
        program: str = "",
    ) -> Work:
        calls = sort is not Sort.PROGRAM
        text = submitting.script(line, asked.needs.environment, asked.outputs, calls=calls, program=program)
        (folder / SCRIPT).write_text(text)
        returned = [*([RESULT] if calls else []), *([LEFT] if asked.outputs else [])]
        deadline = asked.needs.deadline
        description = {
            **submitting.description(asked.needs, name, self._session, outputs=returned, share=self._share),
            **recalling.noted(sort, asked.outputs, deadline),
        }
        read = recalling.reader(sort, folder, outputs=bool(asked.outputs))
        lasting = any(target is None for target in asked.outputs.values())
        files = [SCRIPT, *inputs, *asked.inputs]
        return Work(description, folder, files, read, asked.outputs, lasting=lasting, deadline=deadline)

    def spare(self) -> Path:
        """Name a folder, which is not there yet, for results of a job that was made elsewhere."""
        return self._root() / str(next(self._numbers))

    def _folder(self) -> Path:
        folder = self.spare()
        folder.mkdir()
        return folder

    def _root(self) -> Path:
        if self._made is None or not self._made.exists():
            self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made = Path(tempfile.mkdtemp(dir=self._base, prefix=_ROOT))
            weakref.finalize(self, _tidy, self._made)
        return self._made

    def _shared(self, name: str, content: bytes) -> Path:
        """Return a file that many jobs share."""
        file = self._root() / name
        if not file.exists():
            new = file.with_name(f".{name}-{next(self._numbers)}")
            new.write_bytes(content)
            new.replace(file)
        return file

    def _modules(self) -> str | None:
        """Return the file with the user's modules as they are now."""
        content, left_out = payload.pack_modules()
        for name, why in left_out:
            logger.warning("The module %s does not go with the jobs: %s", name, why)
        if not content:
            return None
        return str(self._shared(f"{_MODULES}-{payload.digest(content)}", content))


def is_sent(program: str) -> Path | None:
    """Return the file of a program that goes with its job; None for one that workers have."""
    path = Path(program).expanduser()
    if not path.is_absolute() and "/" not in program and not path.is_file():
        return None
    path = path.absolute()
    return None if str(path).startswith(_SYSTEM) else path


def _tidy(root: Path, *, over: bool = False) -> None:
    """Remove what nobody has use for any more: files that jobs share, unless some of them are still to run.

    Parameters
    ----------
    over
        Whether none can run any more.
    """
    entries = [*root.iterdir()] if root.exists() else []
    unfinished = [entry for entry in entries if (entry / SCRIPT).exists()]
    if unfinished and not over:
        return
    for entry in unfinished:
        shutil.rmtree(entry, ignore_errors=True)
    for entry in entries:
        if entry.is_file():
            entry.unlink(missing_ok=True)
    with suppress(OSError):  # what jobs have left is there
        root.rmdir()
