"""What commands print of infrastructures, for people."""

import time
from collections.abc import Sequence
from typing import Any

from jupyter_dodas.display import text
from jupyter_dodas.display.words import clock, count, lasting, size

__all__ = ["details", "plan_lines", "table", "told"]


def told(found: Any) -> str:
    """Tell of one in a line."""
    now = time.time()
    step = found.steps[-1] if found.steps and found.steps[-1].ended is None else None
    if found.problem is not None:
        return f"{found.name}: {found.phase}: {found.problem.message}"
    if step is not None and found.phase in ("pending", "starting"):
        usually = f", usually {lasting(step.usually)}" if step.usually is not None else ""
        return f"{found.name}: {step.name.lower()}{usually}"
    size_of = f", {count(found.workers, 'worker')}" if found.workers is not None and found.phase != "stopped" else ""
    return f"{found.name}: {'gone' if found.phase == 'stopped' else found.phase}{size_of}, since {lasting(now - found.created)}"


def table(found: Sequence[Any]) -> str:
    """Tell of all of them."""
    if not found:
        return "There is no infrastructure."
    rows = [("NAME", "PHASE", "TEMPLATE", "WORKERS", "BY", "USED BY")]
    for one in found:
        workers = "" if one.workers is None else str(one.workers)
        rows.append((one.name, one.phase, one.template, workers, one.provisioner, " ".join(one.holders)))
    return "\n".join(text.columns(rows))


def details(found: Any) -> str:
    """Tell all there is about one."""
    now = time.time()
    lines = [told(found)]
    if found.problem is not None:
        lines += [part for part in (found.problem.cause, f"hint: {found.problem.remedy}" if found.problem.remedy else "") if part]
    facts = [
        *(("template", found.template), ("by", found.provisioner), ("credentials", found.cloud or "none")),
        *(("created", clock(found.created, now)), ("known there as", found.identifier or "not yet")),
        ("unused, it stays", "for ever" if found.linger is None else f"for {lasting(found.linger)}"),
        ("used by", " ".join(found.holders) or "nobody"),
    ]
    steps = [(one.name, lasting((one.ended or now) - one.started)) for one in found.steps]
    machines = [(one.id, one.role, one.state, " ".join(one.addresses)) for one in found.machines]
    for title, rows in (
        *(("", facts), ("Inputs", [(key, str(value)) for key, value in found.inputs.items()]), ("Steps", steps)),
        *(("Machines", machines), ("Gives", list(found.outputs.items()))),
    ):
        if rows:
            lines += ["", *([title] if title else []), *(f"  {row}" for row in text.columns(rows))]
    return "\n".join(lines)


def plan_lines(found: Any) -> str:
    """Tell what would be made."""
    rows = [("MACHINES", "EACH WITH", "", ""), *map(_machine, found.machines)]
    over = [f"{one.name}: {one.asked:g} more of {one.limit:g}, {one.used or 0:g} used" for one in found.exceeded]
    return "\n".join([*text.columns(rows), *(["", "Beyond what the cloud gives:", *over] if over else []), *found.notes])


def _machine(one: Any) -> tuple[str, str, str, str]:
    disk = f"{size(one.disk)} of disk" if one.disk else ""
    return f"{one.count} {one.role}", count(one.cores, "core"), size(one.memory), disk
