"""Words for what may be held and what is."""

from collections.abc import Sequence

from jupyter_dodas.display import text
from jupyter_dodas.display.words import size
from jupyter_dodas.limits import Quota

__all__ = ["amount", "free", "table", "used"]


def amount(name: str, number: int) -> str:
    """Return so much of what is limited: ``14 cores``, ``38 GiB``."""
    return size(number) if name == "memory" else f"{number} {name if number != 1 else name[:-1]}"


def used(quota: Quota) -> str:
    """Return what is used of what is limited: ``Group cms: 14 of 32 cores, 38 GiB of 96 GiB``; empty if nothing is limited."""
    parts = [
        f"{size(used)} of {size(limit)}" if name == "memory" else f"{used} of {amount(name, limit)}"
        for name, used, limit in _most_asked_for_first(quota)
        if limit is not None
    ]
    said = ", ".join(parts)
    return f"{_givers(quota.groups)}: {said}" if said and quota.groups else said


def free(quota: Quota) -> str:
    """Return what is still to be had: ``18 cores and 58 GiB free``; empty if nothing is limited."""
    parts = [
        amount(name, max(0, limit - used))
        for name, used, limit in _most_asked_for_first(quota)
        if limit is not None and name != "clusters"
    ]
    return f"{' and '.join([', '.join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)} free" if parts else ""


def table(quota: Quota) -> str:
    """Return all of it as text: what is used, the limits, and who sees to them."""

    def plain(name: str, number: int) -> str:
        return size(number) if name == "memory" else str(number)

    rows = [(name, plain(name, used), "none" if limit is None else plain(name, limit)) for name, used, limit in quota.rows()]
    head = [used(quota), ""] if quota.groups else []
    return "\n".join([*head, *text.columns([("", "USED", "LIMIT"), *rows]), _who_sees_to_it(quota)])


def _who_sees_to_it(quota: Quota) -> str:
    if quota.enforced:
        return "These limits are enforced: you cannot change them."
    if quota.groups:
        return "These limits are advisory: your hub has set them, and nothing here keeps you from changing them."
    return "These limits are advisory: a guard rail that you set yourself, see docs/reference/settings.md."


def _givers(groups: Sequence[str]) -> str:
    return f"Group{'s' if len(groups) > 1 else ''} {', '.join(groups)}"


def _most_asked_for_first(quota: Quota) -> Sequence[tuple[str, int, int | None]]:
    order = ("cores", "memory", "workers", "clusters")
    return sorted(quota.rows(), key=lambda row: order.index(row[0]))
