"""What takes some seconds and is no launch, shown step by step: the steps that are done, and the one that is under way."""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from jupyter_dodas.display import html, text
from jupyter_dodas.display.progress import Below, in_notebook
from jupyter_dodas.display.view import Mark, StepView, Tone
from jupyter_dodas.display.words import lasting

__all__ = ["Told", "task"]

Told: TypeAlias = Callable[[str, float | None], None]
"""Is told each step that is done and the seconds that it took; without seconds, those since the last one."""

_DONE = Mark("✓", Tone.GOOD)
_NOW = Mark("◐", Tone.BUSY)
_BROKEN = Mark("✕", Tone.BAD)


class _Task:
    """The steps so far, and where they are shown."""

    def __init__(self, name: str, kind: str, expected: Sequence[str], show: "_Show") -> None:
        self._name, self._kind, self._expected, self._show = name, kind, expected, show
        self._done: list[StepView] = []
        self._last = self._began = time.monotonic()
        self._draw(_NOW)

    def __call__(self, step: str, seconds: float | None = None) -> None:
        """Tell a step that is done."""
        now = time.monotonic()
        taken = now - self._last if seconds is None else seconds
        self._last = now
        self._done.append(StepView(_DONE, step, lasting(taken), done=True))
        self._draw(_NOW)

    def end(self, sentence: str) -> None:
        """Replace the steps by how it ended."""
        said = f"{sentence} after {lasting(time.monotonic() - self._began)}"
        self._show.end({"text/plain": text.line(_DONE, said), "text/html": html.line(_DONE, said)})

    def fail(self) -> None:
        """Leave the steps there, with the one that broke."""
        self._show.end(self._bundle(_BROKEN))

    def _draw(self, mark: Mark) -> None:
        self._show.draw(self._bundle(mark))

    def _bundle(self, mark: Mark) -> dict[str, str]:
        names = [step.name for step in self._done]
        following = next((step for step in self._expected if step not in names), None)
        steps = [*self._done, *([StepView(mark, following, "", done=False)] if following is not None else [])]
        told = (self._name, self._kind, steps)
        return {"text/plain": text.steps(*told), "text/html": html.steps(*told)}


class _Show:
    """Nowhere: in a script whose output goes to a file."""

    def draw(self, bundle: dict[str, str]) -> None:
        """Show how it stands."""

    def end(self, bundle: dict[str, str]) -> None:
        """Show how it ended."""


class _Cell(_Show):
    def __init__(self) -> None:
        self._below = Below()

    def draw(self, bundle: dict[str, str]) -> None:
        self._below.put(bundle)

    end = draw


class _Terminal(_Show):
    """Lines on stderr that are drawn anew."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True, highlight=False), transient=True, auto_refresh=False)
        self._live.start()

    def draw(self, bundle: dict[str, str]) -> None:
        from rich.text import Text

        self._live.update(Text(bundle["text/plain"]), refresh=True)

    def end(self, bundle: dict[str, str]) -> None:
        self._live.stop()
        print(bundle["text/plain"], file=sys.stderr, flush=True)  # noqa: T201 - the screen is what people see


@contextmanager
def task(name: str, kind: str, expected: Sequence[str], done: str, *, shown: bool = True) -> Generator[Told, None, None]:
    """Show something under way where somebody can see it: a notebook or a terminal.

    Parameters
    ----------
    name, kind
        What it is about.
    expected
        Names of the steps, in order; others that are told stand between them.
    done
        The sentence for the end, to which the time is added.
    shown
        Whether it is shown at all.
    """
    place = _Cell if in_notebook() else _Terminal if sys.stderr is not None and sys.stderr.isatty() else _Show
    task = _Task(name, kind, expected, place() if shown else _Show())
    try:
        yield task
    except BaseException:
        task.fail()
        raise
    task.end(done)
