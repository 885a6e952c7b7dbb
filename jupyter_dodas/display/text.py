"""Clusters as plain text, for terminals and logs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from jupyter_dodas.display.view import Mark, StepView, Tone, View
from jupyter_dodas.display.words import lasting, size
from jupyter_dodas.spec import Problem, Receipt

__all__ = ["Paint", "card", "columns", "line", "plain", "receipt", "steps", "table"]

Paint: TypeAlias = Callable[[str, Tone], str]
"""Gives a text its colour, where there are colours."""

_GAP: Final = "  "


def plain(text: str, _: Tone) -> str:
    """Return the text as it is."""
    return text


def line(mark: Mark, sentence: str, paint: Paint = plain) -> str:
    """Tell in one line."""
    return f"{_mark(mark, paint)} {sentence}"


def card(view: View, paint: Paint = plain) -> str:
    """Tell of a cluster in a few lines."""
    lines = [f"{view.name}  {view.kind}  {_phase(view, paint)}"]
    if view.summary:
        lines.append(f"  {' · '.join(view.summary)}")
    lines += _steps(view.steps, paint)
    if view.note:
        lines.append(f"  {view.note}")
    if view.problem is not None:
        lines += [f"  {text}" for text in _problem(view.problem)]
    return "\n".join(lines)


def steps(name: str, kind: str, taken: Sequence[StepView], paint: Paint = plain) -> str:
    """Tell of something that goes on step by step, and is no cluster."""
    return "\n".join([f"{name}  {kind}", *_steps(taken, paint)])


def _steps(taken: Sequence[StepView], paint: Paint) -> list[str]:
    width = max((len(step.name) for step in taken), default=0)
    return [f"  {_mark(step.mark, paint)} {step.name:{width}}  {step.time}".rstrip() for step in taken]


def table(views: Sequence[View], paint: Paint = plain) -> str:
    """Tell of several clusters, one in a row."""
    if not views:
        return "No clusters."
    head = ("NAME", "KIND", "PHASE", "WORKERS", "")
    rows = [(v.name, v.kind, f"{v.mark.shape} {v.phase}", v.workers, _rest(v)) for v in views]
    lines = columns([head, *rows])
    for number, view in enumerate(views, start=1):
        shape = f"{view.mark.shape} {view.phase}"
        lines[number] = lines[number].replace(shape, paint(shape, view.mark.tone), 1)
    return "\n".join(lines)


def receipt(taken: Receipt) -> str:
    """Tell what a cluster took."""
    ended = {"failed": "had failed", "idle": "was stopped for idleness"}.get(taken.outcome, "has stopped")
    return (
        f"{taken.name} {ended} after {lasting(taken.wall_seconds)}: {taken.core_seconds / 3600:.2g} core-hours, "
        f"{lasting(taken.cpu_seconds)} of CPU, {size(taken.peak_memory)} peak memory"
    )


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Align cells under one another."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [_GAP.join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _rest(view: View) -> str:
    """What else is to be known of a cluster in a table: what is wrong, what will come, or how big it is."""
    if view.problem is not None:
        return view.problem.message
    return view.note or ", ".join(view.facts)


def _phase(view: View, paint: Paint) -> str:
    return paint(f"{view.mark.shape} {view.phase}", view.mark.tone)


def _mark(mark: Mark, paint: Paint) -> str:
    return paint(mark.shape, mark.tone)


def _problem(problem: Problem) -> list[str]:
    lines = [problem.message, *problem.cause.splitlines()]
    return [*lines, f"hint: {problem.remedy}"] if problem.remedy else lines
