"""What `ps` shows of a process that was forked and never executed: what it is, in place of what its parent was started as.

The keeper imports this, so it takes a few modules of the standard library.
"""

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["ROOM", "entitle"]

ROOM: Final = " " * 2000
"""A last argument, and a variable of any name, for a process whose forks will have titles: these take the place of its own."""

_ARGUMENTS, _VARIABLES = 45, 47
"""Where the kernel says where they begin; the next one says where they end. Among the fields after the name (proc(5), 48 to 51)."""


def entitle(words: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
    """Have the kernel show these words as the command line, as far as there is room, and these variables as the environment.

    Parameters
    ----------
    variables
        By default it shows what it showed before. The environment itself must have been replaced already: it stood there.
    """
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - without pathlib
            fields = [0, *map(int, file.read().rpartition(b")")[2].split()[1:])]
    except OSError:
        return  # not on Linux
    _write(fields[_ARGUMENTS], fields[_ARGUMENTS + 1], words)
    if variables is not None:
        _write(fields[_VARIABLES], fields[_VARIABLES + 1], [f"{name}={value}" for name, value in variables.items()])


def _write(start: int, end: int, words: Sequence[str]) -> None:
    if 0 < start < end:
        # The last byte stays 0: else the kernel would take what comes after the arguments for a part of them.
        shown = b"\0".join(map(os.fsencode, words))[: end - start - 1]
        ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)
