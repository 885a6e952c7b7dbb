"""Locks that say whether somebody lives: the kernel takes them from whoever ends, however that comes."""

import fcntl
from pathlib import Path

__all__ = ["is_held"]


def is_held(path: Path) -> bool:
    """Whether a process of this machine holds a lock on a file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
