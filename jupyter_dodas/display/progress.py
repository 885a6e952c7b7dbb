"""Progress: a launch shown while it is waited for, in a few lines of a terminal or below the cell of a notebook.

Named phases with what they usually take, never an invented percentage. All of it comes from the states of the cluster.
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
    from rich.spinner import Spinner

__all__ = ["Below", "Follower", "Lines", "Screen", "in_notebook", "progress"]

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
    """Where a launch is shown.

    Parameters
    ----------
    interrupted
        What becomes of the cluster if the waiting is interrupted.
    """

    def __init__(self, interrupted: str = "it was removed") -> None:
        self._interrupted = interrupted
        self._began = time.monotonic()
        self._last: Record | None = None

    def __call__(self, record: Record) -> None:
        """Show a new state."""
        self._last = record
        self._draw(record)

    @abstractmethod
    def note(self, sentence: str) -> None:
        """Say something about what is under way."""

    def end(self, error: BaseException | None) -> None:
        """Replace what was shown by how it ended, in one line."""
        if self._last is not None:
            self._close(*self._ending(self._last, error))

    def _ending(self, record: Record, error: BaseException | None) -> tuple[Mark, str]:
        shown = view(record, time.time())
        if error is None:
            return shown.mark, shown.sentence(after=lasting(time.monotonic() - self._began))
        if isinstance(error, LaunchFailed | ClusterFailed):
            return shown.mark, shown.sentence()
        why = "interrupted" if isinstance(error, KeyboardInterrupt | asyncio.CancelledError) else "not ready in time"
        return MARKS[Phase.STOPPED], f"{shown.name}: {why}; {self._interrupted}"

    @abstractmethod
    def _draw(self, record: Record) -> None:
        """Show a state."""

    @abstractmethod
    def _close(self, mark: Mark, sentence: str) -> None:
        """Show how it ended."""


class Lines(Screen):
    """A line on stderr for each change of phase and each step that is done: for logs and pipes."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(*arguments)
        self._said: set[str] = set()

    def _draw(self, record: Record) -> None:
        shown = view(record, time.time())
        lines = [f"{shown.name}: {step.name}, {step.time}" for step in shown.steps if step.done]
        for line in [f"{shown.name}: {shown.phase}", *lines]:
            if line not in self._said:
                self._said.add(line)
                self.note(line)

    def note(self, sentence: str) -> None:
        """Write a line."""
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - the screen is what people see

    def _close(self, mark: Mark, sentence: str) -> None:
        self.note(text.line(mark, sentence))


class _Terminal(Screen):
    """A few lines that are drawn anew, and give way to a single one."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(*arguments)
        self._live: Live | None = None
        self._spinner: Spinner
        self._record: Record
        self._note = ""

    def note(self, sentence: str) -> None:
        """Show a sentence below the steps."""
        self._note = sentence
        if self._live is not None:
            self._live.refresh()

    def _draw(self, record: Record) -> None:
        self._record = record
        if self._live is None:
            # Imported while the cluster starts, so that it costs the launch nothing.
            from rich.console import Console
            from rich.live import Live
            from rich.spinner import Spinner

            self._spinner = Spinner("dots", style=_COLOURS[Tone.BUSY])
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
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        now = time.time()
        shown = view(self._record, now)
        head = Text.assemble((shown.name, "bold"), f"  {shown.kind}  ", (shown.phase, _COLOURS[shown.mark.tone]))
        head.append(f"  {', '.join(shown.summary)}", "dim")
        steps = Table.grid(padding=(0, 1), pad_edge=True)
        for step, known in zip(shown.steps, self._record.status.steps, strict=False):
            shape = Text(step.mark.shape, _COLOURS[step.mark.tone]) if step.done else self._spinner
            took = step.time if step.done else lasting(now - known.started)
            steps.add_row("", shape, step.name, took, Text("" if step.done else step.time, "dim"))
        said = self._note or (shown.problem.message if shown.problem is not None else "")
        return Group(head, steps, *([Text(f"  {said}", _COLOURS[Tone.WARN])] if said else []))

    def _close(self, mark: Mark, sentence: str) -> None:
        if self._live is None:
            return
        self._live.stop()
        from rich.text import Text

        self._live.console.print(Text.assemble((mark.shape, _COLOURS[mark.tone]), f" {sentence}"))


class _Notebook(Screen):
    """An output below the cell, which is updated."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(*arguments)
        self._put = Below().put

    def note(self, sentence: str) -> None:
        """Show a sentence."""
        self._put({"text/plain": sentence, "text/html": html.line(MARKS[Phase.PENDING], sentence)})

    def _draw(self, record: Record) -> None:
        shown = view(record, time.time())
        self._put({"text/plain": text.card(shown), "text/html": html.card(shown)})

    def _close(self, mark: Mark, sentence: str) -> None:
        self._put({"text/plain": text.line(mark, sentence), "text/html": html.line(mark, sentence)})


class Below:
    """One output below a cell, which is shown with the first that is put there and changes with the next."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown: dict[str, str] = {}

    def put(self, bundle: dict[str, str]) -> None:
        """Show something, by media type."""
        if bundle == self._shown:
            return
        self._shown = bundle
        if self._handle is None:
            from IPython.display import display

            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


@contextmanager
def progress(
    follower: Follower | None, *, otherwise: type[Screen] | None = None, interrupted: str = "it was removed"
) -> Generator[Follower | None, None, None]:
    """Return something that shows a launch where somebody can see it, or the follower that is given.

    Parameters
    ----------
    otherwise
        Where to show it if there is neither a notebook nor a terminal; by default nowhere.
    interrupted
        What becomes of the cluster if the waiting is interrupted.
    """
    place = None if follower is not None else _where() or otherwise
    if place is None:
        yield follower
        return
    screen = place(interrupted)
    try:
        yield screen
    except BaseException as error:
        screen.end(error)
        raise
    screen.end(None)


def _where() -> type[Screen] | None:
    if in_notebook():
        return _Notebook
    return _Terminal if sys.stderr is not None and sys.stderr.isatty() else None


def in_notebook() -> bool:
    """Tell whether what is displayed comes below a cell."""
    # Where nobody imported IPython, this is no notebook; importing it to ask would take longer than a launch.
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
