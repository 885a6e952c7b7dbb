"""What commands print for people."""

import time
from collections.abc import Iterable, Mapping, Sequence

from jupyter_dodas.checks import Check, Verdict
from jupyter_dodas.cli.output import paint
from jupyter_dodas.display import text
from jupyter_dodas.display.view import Tone, view
from jupyter_dodas.display.words import clock, lasting, size
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Receipt, Record

__all__ = ["checks", "cluster_line", "details", "kept", "kinds", "receipt", "table"]

_VERDICTS: Mapping[Verdict, tuple[str, Tone]] = {
    Verdict.OK: ("✓", Tone.GOOD),
    Verdict.WARN: ("▲", Tone.WARN),
    Verdict.BAD: ("✕", Tone.BAD),
}


def table(records: Sequence[Record]) -> str:
    """Tell of all clusters."""
    now = time.time()
    return text.table([view(record, now) for record in records], paint)


def cluster_line(record: Record) -> str:
    """Tell of a cluster in one line."""
    shown = view(record, time.time())
    return text.line(shown.mark, shown.sentence(), paint)


def details(record: Record) -> str:
    """Tell all there is about a cluster."""
    now = time.time()
    return "\n".join(
        [
            text.card(view(record, now), paint),
            *_section("Launched", _launched(record.spec, now)),
            *_section("Asked for", [(key, _asked(key, value)) for key, value in record.spec.options.items() if _said(value)]),
            *_section("Addresses", list(record.status.addresses.items())),
            *_section("Instances", _instances(record.status, now)),
            *_section("Phases", [(clock(change.at, now), change.phase) for change in record.status.history[-8:]]),
        ]
    )


def _section(title: str, rows: Sequence[Sequence[str]]) -> Iterable[str]:
    return ["", title, *(f"  {row}" for row in text.columns(rows))] if rows else []


def _launched(spec: ClusterSpec, now: float) -> list[tuple[str, str]]:
    where = spec.place.partition("/")[0]
    return [("by", spec.owner), ("at", clock(spec.created, now)), *([("on", where)] if where else [])]


def _asked(key: str, value: object) -> str:
    if key == "memory" and isinstance(value, int):
        return size(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{inner}={_asked(inner, it)}" for inner, it in value.items() if _said(it))
    return str(value)


def _said(value: object) -> bool:
    """Whether an option says anything: null, nothing and no do not."""
    return value is not None and value is not False and value not in ({}, [])


def _instances(status: ClusterStatus, now: float) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, instance in status.instances.items():
        ports = " ".join(f"{port}:{number}" for port, number in instance.ports.items())
        ended = f"ended last with {instance.last_exit}" if instance.last_exit else ""
        rows.append((name, instance.condition, lasting(now - instance.since), ports, ended))
    return rows


def kept(record: Record) -> str:
    """Tell until when a cluster is kept."""
    until = record.spec.keep_until
    return f"{record.name} is kept until {clock(until, time.time())}." if until is not None else f"{record.name} is not kept."


def receipt(name: str, taken: Receipt | None) -> str:
    """Tell what a cluster took."""
    return text.receipt(taken) if taken is not None else f"{name} was removed."


def kinds(found: Mapping[str, str]) -> str:
    """Tell which kinds there are."""
    return "\n".join(text.columns([("KIND", ""), *found.items()])) if found else "No kind is installed."


def checks(found: Sequence[Check]) -> str:
    """Tell what was found out about this machine."""
    width = max(len(check.about) for check in found)
    lines = []
    for check in found:
        shape, tone = _VERDICTS[check.verdict]
        lines.append(f"{paint(f'{shape} {check.verdict:4}', tone)}  {check.about:{width}}  {check.message}")
        if check.remedy:
            lines.append(f"{'':{width + 10}}hint: {check.remedy}")
    return "\n".join(lines)
