"""The running cell of a notebook: what clusters do for it is shown below it, and stays there as one line.

The kernel is busy meanwhile, so each observer has a thread of its own, which sleeps unless a cell lasts. An observer that hangs is
left alone, and nothing that goes wrong here reaches the cell.
"""

import sys
import time
import uuid
from collections.abc import Callable, Mapping
from functools import wraps
from logging import getLogger
from threading import Condition, Event, Lock, Thread
from typing import Any, Final, ParamSpec

from jupyter_dodas.display.work import Following, bundle
from jupyter_dodas.services.work import Observer

__all__ = ["in_notebook", "observe", "settle"]

logger = getLogger(__name__)

P = ParamSpec("P")

_CELLS: Final = "_dodas_cells"
"""Where a shell keeps what it shows, for as long as it lives."""

_SOON: Final = 0.5
"""Seconds of a cell after which somebody looks."""

_PAUSE: Final = 0.3
"""Seconds between two looks."""

_BRIEFLY: Final = 0.03
"""Seconds between two looks when the cell has ended."""

_PATIENCE: Final = 2.0
"""Seconds that the end of a cell waits for the last look, if something was shown."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return getattr(_shell(), "kernel", None) is not None


def observe(observer: Observer, cluster: str, uid: str) -> None:
    """Show what an observer sees below the cells of this notebook, from now on.

    Parameters
    ----------
    cluster, uid
        Whose work it is.
    """
    shell = _shell()
    cells: Cells | None = getattr(shell, _CELLS, None)
    if cells is None:
        cells = Cells(shell)
        setattr(shell, _CELLS, cells)
    cells.add(_Watcher(cells, observer, cluster, uid))


def settle(uid: str) -> None:
    """Take a last look at the work of a cluster that is about to stop: a moment later nobody can tell."""
    cells: Cells | None = getattr(_shell(), _CELLS, None)
    if cells is not None:
        cells.settle(uid)


def _shell() -> Any:
    # Where nobody imported IPython, this is no notebook; importing it to ask would take long.
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _harmless(does: Callable[P, None]) -> Callable[P, None]:
    """Let nothing out."""

    @wraps(does)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            does(*args, **kwargs)
        except Exception:
            logger.debug("The work for a cell could not be shown", exc_info=True)

    return call


class _Cell:
    """One run of a cell."""

    def __init__(self, parent: Mapping[str, Any]) -> None:
        self.parent = parent
        self.began, self.started = time.time(), time.monotonic()
        self.ended = Event()

    def is_of(self, parent: Mapping[str, Any]) -> bool:
        """Whether this is what was asked for by a message."""
        return bool(self.parent["header"]["msg_id"] == parent["header"]["msg_id"])


class Cells:
    """Those of one kernel: which one runs now, and who watches."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._changed = Condition()
        self._cell: _Cell | None = None
        self._depth = 0
        self._watchers: list[_Watcher] = []
        self._begin()  # the one that has just made its first client
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)

    def add(self, watcher: "_Watcher") -> None:
        """Have one more watch."""
        with self._changed:
            self._watchers.append(watcher)
        watcher.start()

    def remove(self, watcher: "_Watcher") -> None:
        """Have one less."""
        with self._changed:
            self._watchers.remove(watcher)

    def after(self, last: _Cell | None) -> _Cell:
        """Wait for a cell that runs, and is not the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self._cell is not None and self._cell is not last)
            assert self._cell is not None
            return self._cell

    @_harmless
    def _begin(self, *_: object) -> None:
        parent = self._shell.kernel.get_parent()
        if self._cell is not None and self._cell.is_of(parent):
            self._depth += 1  # a cell within this one: %run
            return
        with self._changed:
            if self._cell is not None:
                self._cell.ended.set()  # nobody has told
            self._cell, self._depth = _Cell(parent), 0
            self._changed.notify_all()

    @_harmless
    def _end(self, *_: object) -> None:
        cell = self._cell
        if cell is None or not cell.is_of(self._shell.kernel.get_parent()):
            return  # one that ran beside it, in a subshell
        if self._depth:
            self._depth -= 1
            return
        with self._changed:
            self._cell = None
            watchers = list(self._watchers)
        cell.ended.set()
        deadline = time.monotonic() + _PATIENCE
        for watcher in watchers:
            watcher.wake()
        for watcher in watchers:
            watcher.finish(cell, deadline)

    @_harmless
    def settle(self, uid: str) -> None:
        """See `settle`."""
        with self._changed:
            cell, watchers = self._cell, [watcher for watcher in self._watchers if watcher.uid == uid]
        deadline = time.monotonic() + _PATIENCE
        for watcher in watchers if cell is not None else []:
            watcher.settle(deadline)

    def publish(self, cell: _Cell, kind: str, display: str, data: Mapping[str, Any]) -> None:
        """Send something to be shown below a cell, from whatever thread."""
        publisher = self._shell.display_pub
        content = {"data": data, "metadata": {}, "transient": {"display_id": display}}
        publisher.session.send(publisher.pub_socket, kind, content, parent=cell.parent, ident=publisher.topic)


class _Screen:
    """What stands below one cell of one observer."""

    def __init__(self, cells: Cells, cell: _Cell, following: Following) -> None:
        self.cell = cell
        self.following = following
        self.settled = Event()
        self._cells = cells
        self._display = uuid.uuid4().hex
        self._lock = Lock()
        self._shown: Following | None = None
        self._closed = False

    @property
    def used(self) -> bool:
        """Whether there is anything to be seen."""
        return self._shown is not None

    def draw(self) -> None:
        """Show what is known, if that is worth it."""
        with self._lock:
            known = self.following
            if not self._closed and (known.due if self._shown is None else known.differs(self._shown)):
                self._put(bundle(known))
                self._shown = known

    def end(self) -> None:
        """Leave one line."""
        with self._lock:
            if not self._closed and self._shown is not None:
                self._put(bundle(self.following, final=True))
            self._closed = True

    def _put(self, data: Mapping[str, Any]) -> None:
        self._cells.publish(self.cell, "display_data" if self._shown is None else "update_display_data", self._display, data)


class _Watcher(Thread):
    """Looks at the work of one client while a cell runs."""

    def __init__(self, cells: Cells, observer: Observer, cluster: str, uid: str) -> None:
        super().__init__(name=f"dodas-work-{cluster}", daemon=True)
        self.uid = uid
        self._cells, self._observer = cells, observer
        self._nothing = Following(observer.title, cluster, observer.row, observer.item)
        self._awake = Event()
        self._last = False
        self._screen: _Screen | None = None

    def run(self) -> None:
        """Follow one cell after another, until the client is closed."""
        cell: _Cell | None = None
        try:
            while not self._observer.over():
                cell = self._cells.after(cell)
                if not cell.ended.wait(_SOON):
                    self._follow(cell)
                    cell.ended.wait()  # until then, somebody may ask what was seen
        finally:
            self._observer.close()
            self._cells.remove(self)

    def wake(self) -> None:
        """Have it look now."""
        self._awake.set()

    def finish(self, cell: _Cell, deadline: float) -> None:
        """Leave one line below a cell that has ended, if anything was shown there."""
        screen = self._screen
        if screen is not None and screen.cell is cell:
            if screen.used:
                screen.settled.wait(max(0.0, deadline - time.monotonic()))
            screen.end()

    def settle(self, deadline: float) -> None:
        """Look for the last time in this cell."""
        screen = self._screen
        if screen is not None:
            self._last = True
            self.wake()
            screen.settled.wait(max(0.0, deadline - time.monotonic()))

    def _follow(self, cell: _Cell) -> None:
        self._last = False
        screen = self._screen = _Screen(self._cells, cell, self._nothing)
        deadline: float | None = None
        while True:
            self._awake.clear()
            final = self._last or cell.ended.is_set()
            self._look(screen)
            if final:
                deadline = deadline or time.monotonic() + self._observer.lag
                if screen.following.over or not screen.used or time.monotonic() >= deadline:
                    break
            else:
                screen.draw()
            self._awake.wait(_BRIEFLY if final else _PAUSE)
        screen.settled.set()

    @_harmless
    def _look(self, screen: _Screen) -> None:
        works = self._observer.look(screen.cell.began)
        screen.following = screen.following.seen(works, time.monotonic() - screen.cell.started)
