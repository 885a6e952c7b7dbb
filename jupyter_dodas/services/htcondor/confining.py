"""HTCondor as root, who is nobody special to it: in a user namespace of its own.

HTCondor that finds itself root changes between accounts, which one user's pool has no use for, and refuses who has none. Where this
process is root it is given another number instead, behind which it is still the same user: to files, and to signals.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["for_child"]

_CLONE_NEWUSER: Final = 0x10000000
_NUMBER: Final = 1000
"""Whoever is called so elsewhere; any number but 0 would do."""

_libc = ctypes.CDLL(None, use_errno=True)


def for_child() -> Callable[[], None] | None:
    """Return what a child of this process has to do before it executes HTCondor; None if there is nothing to do."""
    return _leave_root if os.getuid() == 0 else None


def _leave_root() -> None:
    if _libc.unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "HTCondor cannot run as root here, since there are no user namespaces")
    for file, text in (("setgroups", "deny"), ("uid_map", f"{_NUMBER} 0 1"), ("gid_map", f"{_NUMBER} 0 1")):
        Path("/proc/self", file).write_text(text)
