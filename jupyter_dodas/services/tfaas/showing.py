"""How models, versions and benchmarks are shown: below cells as HTML, elsewhere as text. Pure, but for the steps of a task."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from jupyter_dodas.display import html, text
from jupyter_dodas.display.tasks import Told, task
from jupyter_dodas.display.view import Mark, Tone
from jupyter_dodas.display.words import clock, count, size
from jupyter_dodas.services.tfaas.versions import Measurement, Traffic, Version

__all__ = ["Told", "bundle", "card", "columns", "measurements", "page", "table", "task", "words_of"]

columns = text.columns
page = html.page

_STATES: Final[Mapping[str, Mark]] = {
    "published": Mark("●", Tone.GOOD),
    "staged": Mark("◐", Tone.BUSY),
    "earlier": Mark("○", Tone.QUIET),
}

_ENGINES: Final[Mapping[str, str]] = {"litert": "LiteRT", "onnx": "ONNX Runtime", "tensorflow": "TensorFlow"}

_FORMATS: Final[Mapping[str, str]] = {
    "saved-model": "SavedModel",
    "keras": "Keras",
    "frozen-graph": "frozen graph",
    "onnx": "ONNX",
    "tflite": "LiteRT",
}

_MOST: Final = 6
"""Versions that a card shows."""


def words_of(version: Version) -> list[str]:
    """Tell how a version was found to be: what serves it, how near it is to the original, and how quick."""
    engine, given = _ENGINES.get(version.engine, version.engine), _FORMATS.get(version.format, version.format)
    said = [f"{given}, served by {engine}"]
    if version.compared:
        said.append(f"differs from the original by at most {version.tolerance:.1g} on {count(version.compared, 'row')}")
    if version.microseconds:
        said.append(f"{version.microseconds:.3g} µs a row in the engine")
    if version.memory:
        said.append(size(version.memory))
    return said


def card(name: str, versions: Sequence[Version], current: str | None, endpoint: str) -> dict[str, str]:
    """Show a model: the version that is meant, in words, and the others."""
    meant = next((one for one in versions if one.version == current), None)
    return {"text/plain": _card_text(name, versions, meant, endpoint), "text/html": _card_html(name, versions, meant, endpoint)}


def _card_text(name: str, versions: Sequence[Version], meant: Version | None, endpoint: str) -> str:
    lines = [f"{name}  model at {endpoint}"]
    if meant is not None:
        lines += [f"  {' · '.join(words_of(meant))}", *([f"  {meant.remark}"] if meant.remark else [])]
        lines += [f"  {_features(meant)}"] if meant.keys else []
    rows = [(f"{_mark(one).shape} {one.version}", one.state, *_made(one)) for one in versions[:_MOST]]
    return "\n".join([*lines, *(f"  {row}" for row in text.columns(rows))] if rows else [*lines, "  No versions."])


def _card_html(name: str, versions: Sequence[Version], meant: Version | None, endpoint: str) -> str:
    parts = [
        f'<div class="dodas-row"><span class="dodas-name">{escape(name)}</span>'
        f'<span class="dodas-soft">model at {escape(endpoint)}</span></div>'
    ]
    if meant is not None:
        parts.append(f'<div class="dodas-facts">{"".join(f"<span>{escape(said)}</span>" for said in words_of(meant))}</div>')
        if meant.remark:
            parts.append(f'<div class="dodas-note"><div>{escape(meant.remark)}</div></div>')
        if meant.keys:
            parts.append(f'<div class="dodas-facts"><span>{escape(_features(meant))}</span></div>')
    rows = [(_state_html(one), f"<code>{escape(one.version)}</code>", *map(escape, _made(one))) for one in versions[:_MOST]]
    parts.append(_table_html(("State", "Version", "Made", "Of"), rows) if rows else '<div class="dodas-facts">No versions.</div>')
    return html.page(f'<div class="dodas-card" role="group" aria-label="{escape(name)}">{"".join(parts)}</div>')


def table(models: Sequence[tuple[str, str | None, Sequence[Version], Traffic]]) -> dict[str, str]:
    """Show all models of an endpoint, one in a row."""
    if not models:
        return {"text/plain": "No models.", "text/html": html.page('<span class="dodas-soft">No models.</span>')}
    head = ("Model", "Published", "Staged", "Versions", "Requests", "p50")
    rows = [_row(*model) for model in models]
    plain = "\n".join(text.columns([tuple(title.upper() for title in head), *rows]))
    drawn = [(f'<span class="dodas-name">{escape(row[0])}</span>', *map(escape, row[1:])) for row in rows]
    return {"text/plain": plain, "text/html": html.page(_table_html(head, drawn))}


def measurements(rows: Sequence[Measurement]) -> str:
    """Tell what a benchmark found, as text."""
    head = ("ROWS", "CLIENTS", "P50 MS", "P99 MS", "ROWS/S")
    told = [
        (str(one.batch), str(one.clients), f"{one.p50_ms:.3g}", f"{one.p99_ms:.3g}", f"{one.rows_per_second:,.0f}") for one in rows
    ]
    return "\n".join(text.columns([head, *told]))


def bundle(plain: str, drawn: str) -> dict[str, str]:
    """Return the two representations of something."""
    return {"text/plain": plain, "text/html": html.page(drawn)}


def _row(name: str, published: str | None, versions: Sequence[Version], traffic: Traffic) -> tuple[str, ...]:
    staged = [one.version for one in versions if one.state == "staged"]
    return (
        name,
        published or "-",
        ", ".join(staged[:2]) + (f" and {len(staged) - 2} more" if len(staged) > 2 else "") or "-",
        str(len(versions)),
        f"{traffic.requests:,}" + (f", {traffic.failures:,} failed" if traffic.failures else ""),
        f"{traffic.p50_ms:.2g} ms" if traffic.p50_ms is not None and traffic.requests else "-",
    )


def _features(version: Version) -> str:
    return f"Features: {', '.join(version.keys)}"


def _made(version: Version) -> tuple[str, str]:
    """When it was made, and what its maker says of it."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in version.metrics.items())
    return clock(version.created, time.time()), " · ".join(said for said in (metrics, version.note) if said)


def _mark(version: Version) -> Mark:
    return _STATES.get(version.state, _STATES["earlier"])


def _state_html(version: Version) -> str:
    mark = _mark(version)
    shape = f'<span class="dodas-{mark.tone}" aria-hidden="true">{mark.shape}</span>'
    return f'<span class="dodas-phase">{shape} {escape(version.state.capitalize())}</span>'


def _table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="dodas-table"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'
