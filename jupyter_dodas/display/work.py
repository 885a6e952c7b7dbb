"""What clusters do for a running cell, in words, bars and data. Pure: times are arguments."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any, Final

from jupyter_dodas.display import html, text
from jupyter_dodas.display.view import Mark, Tone
from jupyter_dodas.display.words import count, lasting
from jupyter_dodas.services.work import Work

__all__ = ["MIME", "Following", "Sum", "bundle"]

MIME: Final = "application/vnd.jupyter-dodas.progress+json"
"""Drawn by our extension of JupyterLab; other front-ends show the HTML beside it."""

_VERSION: Final = 1

_LONG: Final = 1.0
"""Seconds of work after which it is worth showing."""

_STALE: Final = 5.0
"""Seconds after which only the time that has passed is worth a new picture."""

_MOST: Final = 6
"""More rows than this are only counted."""


@dataclass(frozen=True)
class Sum:
    """All the work of a cell, in numbers."""

    rows: int
    total: int
    done: int
    running: int
    failed: int

    @classmethod
    def of(cls, works: Sequence[Work]) -> "Sum":
        """Add up."""
        return cls(len(works), *(sum(getattr(work, number) for work in works) for number in ("total", "done", "running", "failed")))


@dataclass(frozen=True)
class Following:
    """What is known of the work for one cell. Times are seconds since the cell began.

    Parameters
    ----------
    title, row, item
        The words of an `Observer`.
    works
        As of the last look that told something.
    looked
        When the last look was.
    began, ended
        The time of the last look before there was work, and of the first one at which it was over.
    """

    title: str
    cluster: str
    row: str
    item: str
    works: tuple[Work, ...] = ()
    looked: float = 0.0
    began: float = 0.0
    ended: float | None = None

    def seen(self, works: Sequence[Work], now: float) -> "Following":
        """Take in a look."""
        if not works:
            return replace(self, looked=now)
        began = self.began if self.works else self.looked
        ended = (now if self.ended is None or tuple(works) != self.works else self.ended) if _are_over(works) else None
        return replace(self, works=tuple(works), looked=now, began=began, ended=ended)

    @property
    def over(self) -> bool:
        """Whether all of it is over."""
        return _are_over(self.works)

    @property
    def due(self) -> bool:
        """Whether it lasts so long that somebody would like to see it."""
        return bool(self.works) and not self.over and self.looked - self.began >= _LONG

    @property
    def seconds(self) -> float:
        """How long it lasts, or has lasted."""
        return (self.looked if self.ended is None else self.ended) - self.began

    def differs(self, shown: "Following") -> bool:
        """Whether it is worth a new picture."""
        return self.works != shown.works or self.seconds - shown.seconds >= _STALE


def _are_over(works: Sequence[Work]) -> bool:
    return all(work.over for work in works)


def bundle(following: Following, *, final: bool = False) -> dict[str, Any]:
    """Return the representations of the work of a cell that runs, or the one line that stays when it has ended."""
    if final:
        mark, sentence = _ending(following)
        plain, drawn = text.line(mark, sentence), html.line(mark, sentence)
    else:
        plain, drawn = _text(following), _html(following)
    return {MIME: _data(following, final), "text/html": drawn, "text/plain": plain}


def _data(following: Following, final: bool) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "state": "ended" if final else "running",
        "title": following.title,
        "cluster": following.cluster,
        "row": following.row,
        "item": following.item,
        "seconds": round(following.seconds, 1),
        "works": [] if final else [asdict(work) for work in _shown(following.works)],
        "sum": asdict(Sum.of(following.works)),
    }


def _shown(works: Sequence[Work]) -> Sequence[Work]:
    """Choose rows: first what is under way, then what was over last; in their own order."""
    latest = sorted(range(len(works)), key=lambda at: (works[at].over, not works[at].running, -at))
    return [works[at] for at in sorted(latest[:_MOST])]


def _ending(following: Following) -> tuple[Mark, str]:
    found = Sum.of(following.works)
    words = [count(found.rows, following.row)] if following.row else []
    tasks = count(found.total, following.item)
    words.append(f"{tasks if found.done >= found.total else f'{found.done} of {tasks}'} in {lasting(following.seconds)}")
    if found.failed:
        words.append(f"{found.failed} failed")
    if found.failed:
        mark = Mark("▲", Tone.WARN) if found.done >= found.total else Mark("✕", Tone.BAD)
    else:
        mark = Mark("✓", Tone.GOOD) if found.done >= found.total else Mark("□", Tone.QUIET)
    return mark, f"{following.title}: {', '.join(words)}"


def _counts(work: Work | Sum, item: str = "") -> str:
    total = count(work.total, item) if item else str(work.total)
    words = [
        f"{work.done} of {total}",
        f"{work.running} running" if work.running else "",
        f"{work.failed} failed" if work.failed else "",
    ]
    return ", ".join(filter(None, words))


def _head(following: Following) -> tuple[str, str]:
    return f"{following.title}, {following.cluster}", _counts(Sum.of(following.works), following.item)


def _text(following: Following) -> str:
    shown = _shown(following.works)
    width = max(len(work.name) for work in shown)
    rows = [f"  {work.name:{width}}  {_counts(work)}" for work in shown]
    more = len(following.works) - len(shown)
    return "\n".join(
        [
            f"{': '.join(_head(following))}, {lasting(following.seconds)}",
            *rows,
            *([f"  and {more} more"] if more else []),
        ]
    )


_SOFT: Final = "color:var(--jp-ui-font-color2,inherit);opacity:.9"
_TRACK: Final = "display:flex;height:6px;border-radius:3px;overflow:hidden;background:var(--jp-layout-color3,rgba(128,128,128,.3))"
_PARTS: Final = {
    "done": "var(--jp-success-color1,#388e3c)",
    "failed": "var(--jp-error-color1,#d32f2f)",
    "running": "var(--jp-brand-color1,#1976d2)",
}


def _html(following: Following) -> str:
    name, counts = _head(following)
    shown = _shown(following.works)
    rows = "".join(map(_bar, shown))
    more = len(following.works) - len(shown)
    rest = f'<div style="{_SOFT}">and {more} more</div>' if more else ""
    return (
        '<div style="max-width:640px;font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif);'
        'font-variant-numeric:tabular-nums">'
        f"<div><b>{escape(name)}</b> <span>{escape(counts)}, {lasting(following.seconds)}</span></div>{rows}"
        f"{rest}</div>"
    )


def _bar(work: Work) -> str:
    parts = "".join(
        f'<i style="width:{100 * getattr(work, part) / work.total:.2f}%;background:{colour}"></i>'
        for part, colour in _PARTS.items()
        if work.total and getattr(work, part)
    )
    return (
        '<div style="margin-top:5px"><div style="display:flex;gap:12px;justify-content:space-between;font-size:12px">'
        f'<span style="overflow-wrap:anywhere">{escape(work.name)}</span>'
        f'<span style="{_SOFT};white-space:nowrap">{escape(_counts(work))}</span></div>'
        f'<div style="{_TRACK}" role="progressbar" aria-label="{escape(work.name)}" aria-valuemin="0" aria-valuemax="{work.total}" '
        f'aria-valuenow="{work.done}" aria-valuetext="{escape(_counts(work))}">{parts}</div></div>'
    )
