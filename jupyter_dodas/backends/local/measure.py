"""What everything below a process uses now, from /proc. Of the standard library alone, see `keeper`, which is asked for it.

Who asks may be in a process namespace of its own, as a notebook of a hub is, and sees none of these processes.
"""

import os
from collections.abc import Iterator
from typing import Final

__all__ = ["below"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def below(pid: int) -> tuple[float, int]:
    """Return the CPU seconds and the resident bytes of all below a process, as a process viewer adds them up.

    What has ended counts its seconds with whoever waited for it, so that the sum does not fall.
    """
    seconds, resident = 0.0, 0
    for child in _descendants(pid):
        try:
            with open(f"/proc/{child}/stat") as file:
                # The name of a program may have any character; what follows it are numbers.
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        seconds += sum(map(int, fields[11:15])) / _TICKS
        resident += int(fields[21]) * _PAGE
    return seconds, resident


def _descendants(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    children = [int(word) for word in file.read().split()]
                waiting += children
                yield from children
        except OSError:
            continue
