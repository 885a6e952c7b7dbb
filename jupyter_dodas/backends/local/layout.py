"""Where a local place keeps its files, and the locks over them.

The state root may lie on NFS or AFS, where locks and sockets fail, so everything live is in the runtime folder. Both are the user's
alone.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jupyter_dodas.backends.locks import is_held
from jupyter_dodas.errors import NotYours, StateNotWritable, StoreFull
from jupyter_dodas.settings import Settings

__all__ = ["Layout", "explain", "write_atomically"]


@dataclass(frozen=True)
class Layout:
    """The folders and files of a place.

    Parameters
    ----------
    state
        Records, logs and accounts.
    runtime
        Sockets and locks of the processes that are alive.
    """

    state: Path
    runtime: Path

    @classmethod
    def of(cls, settings: Settings) -> "Layout":
        """Return the layout that the settings ask for."""
        return cls(settings.state, settings.runtime_folder())

    @property
    def clusters(self) -> Path:
        """A folder for each cluster."""
        return self.state / "clusters"

    @property
    def secrets(self) -> Path:
        """Secrets of the place itself. The folder is there once somebody has entrusted it with one."""
        return self.state / "secrets"

    @property
    def accounts(self) -> Path:
        """One line for each cluster that has ended."""
        return self.state / "accounting.jsonl"

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper listens."""
        return self.runtime / "keeper.sock"

    @property
    def controller_socket(self) -> Path:
        """Where the controller listens for hints."""
        return self.runtime / "controller.sock"

    @cached_property
    def place(self) -> str:
        """This machine in this boot: instances of another one are gone, or not ours to touch."""
        boot = Path("/proc/sys/kernel/random/boot_id")
        return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else '-'}"

    def cluster(self, name: str) -> Path:
        """Return the folder of one cluster."""
        return self.clusters / name

    def make(self) -> None:
        """Make the folders.

        Raises
        ------
        StateNotWritable, NotYours, StoreFull
        """
        for folder in (self.runtime, self.state, self.clusters):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise explain(folder, error) from error
            self._check(folder)

    def _check(self, folder: Path) -> None:
        found = folder.stat()
        if found.st_uid != os.getuid():
            raise NotYours(
                f"{folder} belongs to another user",
                cause=f"Its owner has uid {found.st_uid}, you have {os.getuid()}.",
                remedy="Remove it, or set DODAS_STATE and DODAS_RUNTIME to folders of your own.",
            )
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise explain(folder, PermissionError(errno.EACCES, "it is read-only"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock over all records; nobody holds it for longer than a few file operations."""
        lock = self.runtime / "records.lock"
        if not lock.exists():
            self.make()  # this machine was started anew, or its temporary files were cleared away
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def keeper_runs(self) -> bool:
        """Whether a keeper holds its lock, which it does for as long as it lives."""
        return is_held(self.runtime / "keeper.lock")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: a reader sees the old or the new one, also after a crash or on a full disk.

    Raises
    ------
    StoreFull, StateNotWritable
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError):
            raise  # the folder has gone, which callers take as the end of the record
        raise explain(path, error) from error


def explain(path: Path, error: OSError) -> StoreFull | StateNotWritable:
    """Return what a failed write means to a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(
            f"There is no space left to write {path}",
            cause=os.strerror(error.errno),
            remedy="Free some space there, or set DODAS_STATE to a folder on another disk.",
        )
    return StateNotWritable(
        f"{path} cannot be written",
        cause=os.strerror(error.errno) if error.errno else str(error),
        remedy="Make it writable for you, or set DODAS_STATE to a folder that is.",
    )
