"""A folder of plain files: what is in it, its checksums, having it on the disk for good, and what full disks say."""

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import DodasError, ModelRefused, StateNotWritable, StoreFull

__all__ = ["checksums", "explained", "files_below", "is_full", "sync", "sync_all"]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def files_below(folder: Path) -> Mapping[str, Path]:
    """Return the files below a folder by their paths in it.

    Raises
    ------
    ModelRefused
        If there is anything but files and folders.
    """
    found = {}
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(where, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ModelRefused(
                    f"{name[:80]!r} is neither a file nor a folder",
                    cause="Links and devices lead elsewhere.",
                    remedy="Upload plain files.",
                )
            if name in names:
                found[path.relative_to(folder).as_posix()] = path
    return found


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its path in it."""
    return {name: _digest(file) for name, file in files_below(folder).items()}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sync_all(folder: Path) -> None:
    """Have a folder and everything below it on the disk."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(where, name))
        sync(Path(where))


def sync(path: Path) -> None:
    """Have one file, or the names in one folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: OSError) -> bool:
    """Whether it is room that is missing."""
    return error.errno in _FULL


def explained(where: Path, error: OSError) -> DodasError:
    """Return what an error while writing there means."""
    if is_full(error):
        return StoreFull(
            f"There is no space left in {where}", cause=str(error), remedy="Delete models that nobody needs, or make room."
        )
    return StateNotWritable(f"{where} cannot be used", cause=str(error), remedy="Give the server a folder that it may write to.")
