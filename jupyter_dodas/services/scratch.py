"""Scratch folders of instances, which go with them; also when a process was killed, after a while."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["scratch"]

_LOCK: Final = ".lock"

_LEFT: Final = 600.0
"""Seconds after which what a killed process left behind is removed; one that is started again is back long before."""


@contextmanager
def scratch(kind: str, name: str) -> Iterator[Path]:
    """A folder that only this user can read, removed at the end. After a sudden end, a process of the same name finds it again."""
    root = _root()
    _remove_leftovers(root, kind)
    folder = root / f"{kind}-{name}"
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


def _remove_leftovers(root: Path, kind: str) -> None:
    for folder in root.glob(f"{kind}-*"):
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
