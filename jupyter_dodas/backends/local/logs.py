"""What instances wrote: the ends of their files, and what is added to them."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from jupyter_dodas.backends.base import Line
from jupyter_dodas.backends.local.layout import Layout

__all__ = ["read", "tail"]

_LOOK: Final = 0.3
"""Seconds between two looks. Homes lie on file systems that do not tell when something was written."""

_AT_ONCE: Final = 2**20
"""Bytes of a file that are read at a look, and of the longest line."""

_LINE: Final = 400
"""Bytes of a line, as a generous guess: a log of gigabytes is not read for the sake of its end."""


def read(layout: Layout, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
    """Return the last lines of the logs of a cluster, by instance."""
    found = {}
    for name, path in _paths(layout.cluster(cluster)):
        if instance in (None, name):
            with Growing(path) as log:
                found[name] = "\n".join([*log.last(lines), *log.rest()][-lines:])
    return found


async def tail(layout: Layout, cluster: str, wanted: Callable[[str], bool], *, lines: int) -> AsyncGenerator[Sequence[Line], None]:
    """See `Backend.tail`."""
    folder = layout.cluster(cluster)
    logs: dict[str, Growing] = {}
    first, there = True, True
    with ExitStack() as opened:
        while there:
            # What is open can be read to its end also when the folder has gone.
            there = folder.is_dir()
            said: list[Line] = []
            for name, path in _paths(folder):
                if wanted(name) and (name not in logs or not logs[name].is_at(path)):
                    with suppress(FileNotFoundError):
                        logs[name] = opened.enter_context(Growing(path))
                        said += [(name, line) for line in (logs[name].last(lines) if first else ())]
            for name, log in logs.items():
                said += [(name, line) for line in (log.more() if there else log.rest())]
            yield said
            first = False
            if there:
                await asyncio.sleep(_LOOK)


def _paths(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((folder / "logs").glob("*.log")):
        yield path.stem, path


class Growing:
    """A file that others write to, read by whole lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def is_at(self, path: Path) -> bool:
        """Whether it is what lies there now."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except FileNotFoundError:
            return False

    def last(self, lines: int) -> Sequence[str]:
        """Go to the end, and return the last lines before it."""
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, end - lines * _LINE))
        found: list[str] = []
        while more := self.more():
            found = [*found, *more][-lines:]
        return found

    def more(self) -> Sequence[str]:
        """Return the lines that have ended since the last call."""
        read = self._file.read(_AT_ONCE)
        end = read.rfind(b"\n") + 1
        if not end and len(read) == _AT_ONCE:
            end = len(read)
        self._file.seek(end - len(read), os.SEEK_CUR)
        return _lines(read[:end])

    def rest(self) -> Sequence[str]:
        """Return all that is left, whether or not its last line has ended."""
        return _lines(self._file.read())


def _lines(text: bytes) -> Sequence[str]:
    return text.decode("utf-8", "replace").removesuffix("\n").split("\n") if text else ()
