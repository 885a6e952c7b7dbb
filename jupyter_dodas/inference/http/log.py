"""The access log: a line of JSON for each request, counted for `/metrics` on the way, both off the path of requests.

A request only leaves what is known of it in a list. Ten times a second, or when many have come, the list is counted and a thread
writes it. Lines hold the path without its query and never a header, so no token can get in.
"""

import asyncio
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

__all__ = ["Entry", "Journal"]

logger = logging.getLogger(__name__)

_EVERY: Final = 0.1
"""Seconds between two looks at the list."""

_MANY: Final = 512
"""Entries that do not wait for that."""

_WAITING: Final = 64
"""Batches that wait for a slow disk; those beyond are counted, but not written."""


class Entry(NamedTuple):
    """What is known of a request at its end: `time` since 1970, `ms` that it took, bytes `taken` and `given`."""

    time: float
    caller: str
    method: str
    path: str
    status: int
    ms: float
    taken: int
    given: int
    model: str
    version: str


class _Line(msgspec.Struct, omit_defaults=True):
    time: datetime
    caller: str
    method: str
    path: str
    status: int
    ms: float
    taken: int
    given: int
    model: str = ""
    version: str = ""


class Journal:
    """What has happened at the edge of a server.

    Parameters
    ----------
    where
        A file to which lines are added, ``-`` for the standard output, None for no log.
    count
        Is given entries, some at a time.
    """

    def __init__(self, where: Path | Literal["-"] | None, count: Callable[[Sequence[Entry]], None]) -> None:
        self._count = count
        self._entries: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writer = None if where is None else _Writer(where)

    def note(self, entry: Entry) -> None:
        """Leave an entry. Called on the loop."""
        entries = self._entries
        entries.append(entry)
        if len(entries) == 1:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self.flush)
        elif len(entries) >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Count and hand to the writer what is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        if entries:
            self._count(entries)
            if self._writer is not None:
                self._writer.put(entries)

    def close(self) -> None:
        """Write what is left, and end."""
        self.flush()
        if self._writer is not None:
            self._writer.close()


class _Writer:
    """A thread that writes, so that a slow disk or a full pipe holds up nobody."""

    def __init__(self, where: Path | Literal["-"]) -> None:
        if where == "-":
            self._file = os.dup(sys.stdout.fileno())
        else:
            assert isinstance(where, Path)
            self._file = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._batches: queue.Queue[Sequence[Entry] | None] = queue.Queue(_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def put(self, entries: Sequence[Entry]) -> None:
        try:
            self._batches.put_nowait(entries)
        except queue.Full:
            self._lost += len(entries)

    def close(self) -> None:
        self._batches.put(None)
        self._thread.join()
        os.close(self._file)

    def _write(self) -> None:
        failing = False
        encode = msgspec.json.Encoder().encode_lines
        while (entries := self._batches.get()) is not None:
            lost, self._lost = self._lost, 0
            if lost:
                logger.warning("%d lines of the access log are lost: what it is written to is too slow", lost)
            # The caller's name and path are data of theirs: as JSON they cannot forge another line.
            text = memoryview(encode([_Line(datetime.fromtimestamp(one.time, UTC), *one[1:]) for one in entries]))
            try:
                while text:
                    text = text[os.write(self._file, text) :]
                failing = False
            except OSError as error:
                if not failing:
                    logger.warning("The access log cannot be written: %s", error)
                failing = True
