"""The way to a pool's daemons: requests to a process that holds HTCondor's library, with a deadline each.

In the library a call that waits stops every thread of its process, and cannot be interrupted: a notebook would stand still whenever
a manager does. So another process waits. It ends with this one, and with whatever it did not do in time.
"""

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

from jupyter_dodas.errors import BadInput, NotFound, PoolUnreachable
from jupyter_dodas.services.htcondor import porter

if TYPE_CHECKING:
    import htcondor2

__all__ = ["Ad", "Session", "Where", "prepare"]

Ad: TypeAlias = Mapping[str, Any]
"""What HTCondor says of a job or a slot. Expressions are texts of the form ``/Expr(...)/``."""

_PATIENCE: Final = 30.0
_SPARE: Final[list["_Process"]] = []
_LOCK: Final = threading.RLock()
"""What is done with the library in this process is done by one thread at a time."""


@dataclass(frozen=True)
class Where:
    """How a pool is reached.

    Parameters
    ----------
    address
        ``host:port`` of its manager.
    domain
        Its domain of trust.
    token
        That of its user.
    """

    address: str
    domain: str
    token: bytes = field(repr=False)

    @property
    def schedd(self) -> str:
        """The name of its queue."""
        return f"schedd@{self.domain}"


class Session:
    """Asks the daemons of one pool. Threads may share it; one asks at a time.

    Parameters
    ----------
    find
        Tells how it is reached. It is asked again after a failure, since a pool that is started again may be elsewhere.
    """

    def __init__(self, find: Callable[[], Where]) -> None:
        self._find = find
        self._where: Where | None = None
        self._process: _Process | None = None
        self._lock = threading.Lock()

    def jobs(self, constraint: str = "true", projection: Sequence[str] = (), *, limit: int = -1) -> Sequence[Ad]:
        """Return what the queue knows of jobs."""
        return _ads(self._ask("jobs", constraint, projection, limit))

    def history(self, constraint: str = "true", projection: Sequence[str] = (), *, limit: int = -1) -> Sequence[Ad]:
        """Return what is known of jobs that have left the queue, the latest first."""
        return _ads(self._ask("history", constraint, projection, limit))

    def slots(self, constraint: str = "true", projection: Sequence[str] = ()) -> Sequence[Ad]:
        """Return what the workers offer."""
        return _ads(self._ask("slots", constraint, projection))

    def clauses(self, job: str) -> Sequence[tuple[str, int]]:
        """Return the clauses of what a job requires, and how many workers meet each.

        Parameters
        ----------
        job
            A constraint.
        """
        found: Sequence[tuple[str, int]] = self._ask("clauses", job)
        return found

    def submit(
        self,
        description: str | Mapping[str, str],
        *,
        also: Mapping[str, str] | None = None,
        items: Sequence[Mapping[str, str]] = (),
        count: int = 1,
        spool: bool = True,
    ) -> Sequence[str]:
        """Put jobs into the queue, with their files, and return their names: ``12.0``, ``12.1``.

        Parameters
        ----------
        also
            Commands for what the description says nothing of.
        items
            Values of variables of the description, one job for each.
        count
            Jobs, of each item if there are any; 0 for as many as the description says.
        spool
            Whether its files go with it; otherwise the queue must be able to read and write where they are.

        Raises
        ------
        BadInput
            With what is wrong with the description.
        PoolUnreachable
        """
        patience = _PATIENCE + 0.1 * max(1, len(items)) * max(1, count)
        cluster, first, number = self._ask(
            "submit", description, {**(also or {})}, [*items], count, spool, str(Path.cwd()), patience=patience
        )
        return [f"{cluster}.{first + one}" for one in range(number)]

    def retrieve(self, jobs: Sequence[str]) -> None:
        """Fetch the files of jobs that have ended, to the folders that they were submitted from."""
        self._ask("retrieve", [*jobs], patience=_PATIENCE + 10 * len(jobs))

    def edit(self, jobs: str | Sequence[str], attribute: str, value: str) -> int:
        """Change an attribute of jobs, and return of how many.

        Parameters
        ----------
        jobs
            Their names, or a constraint: what it says of each job holds until the job is changed, whoever else asks meanwhile.
        """
        changed: int = self._ask("edit", jobs if isinstance(jobs, str) else [*jobs], attribute, value) if jobs else 0
        return changed

    def act(self, action: str, jobs: str | Sequence[str], reason: str) -> int:
        """Do something to jobs, and return to how many.

        Parameters
        ----------
        action
            ``Remove``, ``Release``, ``Hold``.
        jobs
            Their names, or a constraint.
        """
        done: int = self._ask("act", action, jobs if isinstance(jobs, str) else [*jobs], reason) if jobs else 0
        return done

    def client(self) -> "htcondor2.Schedd":
        """Return HTCondor's own object for the queue, in this process."""
        where = self._where or self._find()
        library = _library()
        with _LOCK:
            _lay_token(_folder(), where)
            try:
                ad = library.Collector(where.address).locate(library.DaemonType.Schedd, where.schedd)
            except Exception as error:
                raise _unreachable(where, str(error)) from error
            ad["MyAddress"] = porter.address_of(ad["MyAddress"], where.address)
            schedd: htcondor2.Schedd = library.Schedd(ad)
            return schedd

    def __del__(self) -> None:
        self._end()

    def close(self) -> None:
        """End the process. It is started again when something is asked."""
        with self._lock:
            self._end()

    def _ask(self, verb: str, *arguments: Any, patience: float = _PATIENCE) -> Any:
        with self._lock:
            try:
                if self._process is None or self._where is None:
                    self._where = self._find()
                    self._process = _new_process()
                    self._process.begin(self._where)
                answer = self._process.ask(patience, verb, *arguments)
            except (OSError, EOFError) as error:
                lost = _unreachable(self._where, str(error))
                self._end()
                raise lost from error
            except BaseException:
                self._end()  # what it answers later would be taken for the next answer
                raise
            if isinstance(answer, porter.Failure):
                refused = _refused(self._where, verb, answer)
                if isinstance(refused, PoolUnreachable):
                    self._end()
                raise refused
            return answer

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = self._where = None


def prepare() -> None:
    """Start what the next session needs, before it is known with whom it is."""
    if not _SPARE or not _SPARE[0].waits():
        _SPARE[:] = [_new_process()]


def _new_process() -> "_Process":
    spare = _SPARE.pop() if _SPARE else None
    if spare is not None and spare.waits():
        return spare
    if spare is not None:
        spare.end()
    return _Process()


class _Process:
    """A porter."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dodas-"))
        atexit.register(self.end)
        around = {name: value for name, value in os.environ.items() if not name.startswith("DODAS_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {porter.__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A configuration of the user's own is for pools of her own.
            env={**around, "CONDOR_CONFIG": os.devnull, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # an interrupt is meant for the notebook
        )
        self._requests, self._answers = cast("BinaryIO", self._process.stdin), cast("BinaryIO", self._process.stdout)

    def waits(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def begin(self, where: Where) -> None:
        _lay_token(self._folder, where)
        porter.write(self._requests, (where.address, where.schedd, str(self._folder)))

    def ask(self, patience: float, verb: str, *arguments: Any) -> Any:
        """Ask, and wait for the answer. `OSError` or `EOFError` if there is none in time."""
        late = threading.Timer(patience, self._process.kill)
        late.daemon = True
        late.start()
        try:
            porter.write(self._requests, (verb, *arguments))
            return porter.read(self._answers)
        finally:
            late.cancel()

    def end(self) -> None:
        atexit.unregister(self.end)
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _lay_token(folder: Path, where: Where) -> None:
    """Lay the token of a pool into a folder, by the name of its domain."""
    file = folder / where.domain
    if not file.exists() or file.read_bytes() != where.token:
        new = file.with_name(f".{file.name}")
        new.touch(mode=0o600)
        new.write_bytes(where.token)
        new.replace(file)


@cache
def _folder() -> Path:
    """Make the folder of tokens of this process, which goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="dodas-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _library() -> Any:
    """Import the library, and have it show our tokens beside whatever else its user has configured."""
    alone = "CONDOR_CONFIG" not in os.environ
    import htcondor2

    if alone:
        os.environ.pop("CONDOR_CONFIG", None)  # which the library sets where nothing is configured
    own = htcondor2.param.get("SEC_TOKEN_DIRECTORY") or "~/.condor/tokens.d"
    with contextlib.suppress(OSError):
        for file in Path(own).expanduser().iterdir():
            with contextlib.suppress(OSError):
                (_folder() / file.name).symlink_to(file)
    htcondor2.param["SEC_TOKEN_DIRECTORY"] = str(_folder())
    others = htcondor2.param.get("SEC_CLIENT_AUTHENTICATION_METHODS") or ""
    htcondor2.param["SEC_CLIENT_AUTHENTICATION_METHODS"] = ", ".join(dict.fromkeys(["IDTOKENS", *others.replace(",", " ").split()]))
    for name in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"):
        htcondor2.param[f"SEC_CLIENT_{name}"] = "REQUIRED"
    return htcondor2


def _ads(answer: str) -> Sequence[Ad]:
    ads: Sequence[Ad] = json.loads(answer, strict=False)
    return ads


def _unreachable(where: Where | None, words: str) -> PoolUnreachable:
    refused = "AUTHENTICATE" in words or "authoriz" in words.lower() or "DENIED" in words
    return PoolUnreachable(
        f"The queue {'of ' + where.domain.rpartition('.')[0] if where else 'of the pool'} "
        + ("refuses the token" if refused else "does not answer"),
        cause=words or "Nothing came back in time.",
        remedy="Its manager may be starting again: try again in some seconds; its log says more: cluster.logs('manager').",
    )


def _refused(where: Where | None, verb: str, failure: porter.Failure) -> Exception:
    if verb == "submit" and (failure.sent or "File transfer failed" in failure.words):
        return BadInput(
            "The queue does not take these jobs", cause=failure.words, remedy="Change what the description says of this."
        )
    if "not found" in failure.words.lower() and verb in {"act", "retrieve"}:
        return NotFound(failure.words)
    return _unreachable(where, failure.words)
