"""Pictures of benchmarks: SVG in the colours of the theme, by hand, since a notebook need not have matplotlib."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from jupyter_dodas.services.tfaas import showing
from jupyter_dodas.services.tfaas.versions import Measurement

__all__ = ["Plot", "drawn"]

_WIDTH: Final = 330
_HEIGHT: Final = 210
_LEFT: Final = 52
_RIGHT: Final = 16
_TOP: Final = 26
_BOTTOM: Final = 38

_COLOURS: Final = ("#2f7ed8", "#e07b39", "#3a9d5d", "#a15bc0", "#c0504d", "#7f7f7f")
"""Told apart on light and on dark ground, also by most people who do not see red and green as others do."""

_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3", "1 4", "10 4")


class Plot:
    """A picture of a benchmark. In a notebook it is shown; `svg` is its text."""

    def __init__(self, rows: Sequence[Measurement]) -> None:
        self._rows = tuple(rows)

    @property
    def svg(self) -> str:
        """The picture as SVG, to be kept in a file."""
        return _picture(self._rows)

    def __repr__(self) -> str:
        return showing.measurements(self._rows)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": showing.page(self.svg)}


def drawn(rows: Sequence[Measurement], title: str) -> str:
    """Return the picture of a benchmark and, folded, its numbers, as HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Rows", "Clients", "p50, ms", "p99, ms", "Rows/s"))
    cells = [
        (str(one.batch), str(one.clients), f"{one.p50_ms:.3g}", f"{one.p99_ms:.3g}", f"{one.rows_per_second:,.0f}") for one in rows
    ]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    return (
        f'<div class="dodas-row"><span class="dodas-name">{escape(title)}</span></div>{_picture(rows)}'
        f'<details><summary class="dodas-soft">Numbers</summary><table class="dodas-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></details>"
    )


def _picture(rows: Sequence[Measurement]) -> str:
    """Two panels with axes of powers: time until an answer, and rows a second."""
    clients = sorted({one.clients for one in rows})
    series = {number: sorted((one for one in rows if one.clients == number), key=lambda one: one.batch) for number in clients}
    panels = [
        _panel("Time until an answer in ms: p50, and p99 (thin)", series, (_p50, _p99), 0),
        _panel("Rows a second", series, (_rate,), _WIDTH),
    ]
    legend = "".join(_key(at, number) for at, number in enumerate(clients))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {_HEIGHT + 20}" width="{2 * _WIDTH}" role="img" '
        f'aria-label="Latency and throughput by rows in a request" style="max-width:100%;height:auto" '
        f'font-family="system-ui,sans-serif" font-size="11" fill="currentColor">{"".join(panels)}{legend}</svg>'
    )


def _p50(one: Measurement) -> float:
    return one.p50_ms


def _p99(one: Measurement) -> float:
    return one.p99_ms


def _rate(one: Measurement) -> float:
    return one.rows_per_second


def _panel(
    title: str, series: Mapping[int, Sequence[Measurement]], values: Sequence[Callable[[Measurement], float]], left: int
) -> str:
    every = [one for rows in series.values() for one in rows]
    if not every:
        return ""
    across = _Axis([one.batch for one in every], left + _LEFT, left + _WIDTH - _RIGHT)
    up = _Axis([value(one) for one in every for value in values], _HEIGHT - _BOTTOM, _TOP)
    parts = [f'<text x="{left + _LEFT}" y="14" font-weight="600">{title}</text>']
    for tick in up.ticks:
        y = up(tick)
        parts.append(f'<path d="M{across.start} {y:.1f}H{across.end}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{across.start - 6}" y="{y + 4:.1f}" text-anchor="end" opacity=".75">{_short(tick)}</text>')
    low = _HEIGHT - _BOTTOM + 16
    parts += [
        f'<text x="{across(batch):.1f}" y="{low}" text-anchor="middle" opacity=".75">{_short(batch)}</text>'
        for batch in sorted({one.batch for one in every})
    ]
    middle = (across.start + across.end) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle" opacity=".75">Rows in a request</text>')
    for at, rows in enumerate(series.values()):
        for rank, value in enumerate(values):
            parts.append(_line(at, [(across(one.batch), up(value(one))) for one in rows], thin=rank > 0))
    return "".join(parts)


def _line(at: int, points: Sequence[tuple[float, float]], *, thin: bool) -> str:
    colour, dash = _COLOURS[at % len(_COLOURS)], _DASHES[at % len(_DASHES)]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    stroke = f'stroke="{colour}" stroke-width="{1 if thin else 2}"' + (f' stroke-dasharray="{dash}"' if dash else "")
    dots = "" if thin else "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points)
    pale = ' opacity=".7"' if thin else ""
    return f'<path d="{path}" fill="none" {stroke}{pale}/>{dots}'


def _key(at: int, clients: int) -> str:
    x, colour, dash = _LEFT + 96 * at, _COLOURS[at % len(_COLOURS)], _DASHES[at % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="M{x} {_HEIGHT + 9}h20" stroke="{colour}" stroke-width="2"{dashed}/>'
        f'<text x="{x + 26}" y="{_HEIGHT + 13}">{clients} client{"" if clients == 1 else "s"}</text>'
    )


class _Axis:
    """From numbers to places, by powers of ten."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        known = [value for value in values if value > 0] or [1.0]
        self.start, self.end = start, end
        low, high = math.log10(min(known)), math.log10(max(known))
        room = max((high - low) * 0.06, 0.05)
        self._low, self._high = low - room, high + room
        self.ticks = self._ticks()

    def __call__(self, value: float) -> float:
        share = (math.log10(max(value, 1e-12)) - self._low) / (self._high - self._low)
        return self.start + share * (self.end - self.start)

    def _ticks(self) -> list[float]:
        """Powers of ten, with what lies between where there are few."""
        span = self._high - self._low
        steps = (1,) if span > 2.2 else (1, 3) if span > 1 else (1, 2, 5) if span > 0.45 else tuple(range(1, 10))
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        return [
            step * 10.0**power for power in powers for step in steps if self._low <= math.log10(step * 10.0**power) <= self._high
        ]


def _short(value: float) -> str:
    """Write a number as an axis has it: ``0.2``, ``30``, ``5k``, ``2M``."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
