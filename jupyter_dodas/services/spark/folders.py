"""Where Spark's processes keep what is not a record: scratch that goes with them, and the event logs that stay."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from jupyter_dodas import settings

__all__ = ["forget_history", "history", "scratch"]

_LOCK: Final = ".lock"
_SILENT: Final = 86400.0
"""Seconds for which an application that still runs may write nothing."""

_LEFT: Final = 600.0
"""Seconds after which what a killed process left behind is removed; a killed master is back long before."""


def history() -> Path:
    """Return the folder of event logs: one file for each application, which Spark's history server and others can read."""
    folder = settings.load().state / "history"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def forget_history() -> None:
    """Remove event logs that nobody has written to for as long as a failed cluster is kept, or for a day if that is longer."""
    configured = settings.load()
    for file in (configured.state / "history").glob("*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > max(configured.keep_failed, _SILENT):
                file.unlink()


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder that only this user can read, removed at the end. After a sudden end, a process of the same name finds it again."""
    root = _root()
    _remove_leftovers(root)
    folder = root / f"spark-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # some file systems know no locks; then leftovers are told by their age alone
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.utime(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _root() -> Path:
    folder = Path(tempfile.gettempdir()) / f"dodas-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        return Path(tempfile.mkdtemp(prefix="dodas-"))  # somebody else was there first
    return folder


def _remove_leftovers(root: Path) -> None:
    for folder in root.glob("spark-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT and not _held(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def _held(lock: Path) -> bool:
    with lock.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
