"""Progress: a launch shown while it is waited for, in a few lines of a terminal or below the cell of a notebook.

Named phases with what they usually take, never an invented percentage. What is shown comes from the states of the cluster alone.
"""

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jupyter_dodas.display import html, text
from jupyter_dodas.display.view import MARKS, Mark, Tone, view
from jupyter_dodas.display.words import lasting
from jupyter_dodas.errors import ClusterFailed, LaunchFailed
from jupyter_dodas.spec import Phase, Record

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["Lines", "Screen", "progress"]

Follower: TypeAlias = Callable[[Record], None]

_PER_SECOND: Final = 10

_COLOURS: Final[Mapping[Tone, str]] = {
    Tone.QUIET: "dim",
    Tone.BUSY: "cyan",
    Tone.GOOD: "green",
    Tone.WARN: "yellow",
    Tone.BAD: "red",
}


class Screen(ABC):
    """Where a launch is shown."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last: Record | None = None

    def show(self, record: Record) -> None:
        """Show a new state."""
        self._last = record
        self._draw(record)

    def end(self, error: BaseException | None) -> None:
        """Replace what was shown by how it ended, in one line."""
        if self._last is not None:
            self._close(*_ending(self._last, error, time.monotonic() - self._began))

    @abstractmethod
    def _draw(self, record: Record) -> None:
        """Show a state."""

    @abstractmethod
    def _close(self, mark: Mark, sentence: str) -> None:
        """Show how it ended."""


def _ending(record: Record, error: BaseException | None, waited: float) -> tuple[Mark, str]:
    shown = view(record, time.time())
    if error is None:
        return shown.mark, f"{shown.sentence}, after {lasting(waited)}"
    if isinstance(error, LaunchFailed | ClusterFailed):
        return shown.mark, shown.sentence
    why = "Interrupted" if isinstance(error, KeyboardInterrupt | asyncio.CancelledError) else "Not ready in time"
    return MARKS[Phase.STOPPED], f"{why}; {shown.name} was removed"


class Lines(Screen):
    """A line on stderr for each change of phase and each step that is done: for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def _draw(self, record: Record) -> None:
        shown = view(record, time.time())
        lines = [f"{shown.name}: {step.name}, {step.time}" for step in shown.steps if step.done]
        for line in [f"{shown.name}: {shown.phase}", *lines]:
            if line not in self._said:
                self._said.add(line)
                print(line, file=sys.stderr, flush=True)  # noqa: T201 - the screen is what people see

    def _close(self, mark: Mark, sentence: str) -> None:
        print(text.line(mark, sentence), file=sys.stderr, flush=True)  # noqa: T201


class _Terminal(Screen):
    """A few lines that are drawn anew, and give way to a single one."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Live | None = None

    def _draw(self, record: Record) -> None:
        if self._live is None:
            # Imported while the cluster starts, so that it costs the launch nothing.
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True, highlight=False),
                get_renderable=self._lines,
                refresh_per_second=_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.refresh()

    def _lines(self) -> "RenderableType":
        from rich.markup import escape
        from rich.spinner import Spinner
        from rich.table import Table

        assert self._last is not None
        now = time.time()
        shown = view(self._last, now)
        lines = Table.grid(padding=(0, 1))
        head = f"[bold]{escape(shown.name)}[/]  [dim]{escape(shown.kind)}[/]  {shown.phase}"
        workers = f"[dim]{escape(', '.join(shown.summary))}[/]"
        frame = Table.grid()
        frame.add_row(f"{head}  {workers}")
        for step, known in zip(shown.steps, self._last.status.steps, strict=False):
            if step.done:
                lines.add_row(" ", f"[green]{step.mark.shape}[/]", escape(step.name), f"[dim]{step.time}[/]", "")
            else:
                usual = f"[dim]{step.time}[/]"
                spinner = Spinner("dots", style="cyan")
                lines.add_row(" ", spinner, escape(step.name), f"[dim]{lasting(now - known.started)}[/]", usual)
        frame.add_row(lines)
        if shown.problem is not None:
            frame.add_row(f"  [yellow]{escape(shown.problem.message)}[/]")
        return frame

    def _close(self, mark: Mark, sentence: str) -> None:
        self._put({"text/plain": text.line(mark, sentence), "text/html": html.line(mark, sentence)})

    def _put(self, bundle: dict[str, str]) -> None:
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


@contextmanager
def progress(follower: Follower | None, otherwise: type[Screen] | None = None) -> Generator[Follower | None, None, None]:
    """Return something that shows a launch where somebody can see it, or the follower that is given.

    Parameters
    ----------
    otherwise
        Where to show it if there is neither a notebook nor a terminal; by default nowhere.
    """
    place = None if follower is not None else _where() or otherwise
    if place is None:
        yield follower
        return
    screen = place()
    try:
        yield screen.show
    except BaseException as error:
        screen.end(error)
        raise
    screen.end(None)


def _where() -> type[Screen] | None:
    if _in_notebook():
        return _Notebook
    return _Terminal if sys.stderr is not None and sys.stderr.isatty() else None


def _in_notebook() -> bool:
    # Where nobody imported IPython, this is no notebook; importing it to ask would take longer than a launch.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
