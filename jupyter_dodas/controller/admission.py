"""Admission: whether a cluster may start, and how many workers each of its groups is to have. Pure, but for patience."""

from collections.abc import Mapping, Sequence

from jupyter_dodas.controller.look import Facts
from jupyter_dodas.controller.plan import Shrink
from jupyter_dodas.controller.scale import Patience, shares
from jupyter_dodas.controller.table import Seen
from jupyter_dodas.limits import NOTHING, Share, held, missing, never
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import Intent, Phase, Record

__all__ = ["admit", "taken", "targets"]


def admit(record: Record, asked: Share, others: Sequence[Record], limits: Limits) -> Seen:
    """Judge whether a cluster of which nothing runs may start now.

    Parameters
    ----------
    asked
        What it takes at the least.
    others
        The user's other clusters.
    """
    if limits == Limits():
        return Seen.ABSENT
    if never(limits, asked):
        return Seen.BARRED
    if missing(limits, taken(others), asked) or _someone_before(record, others):
        return Seen.QUEUED
    return Seen.ABSENT


def taken(others: Sequence[Record]) -> Share:
    """Return what these clusters hold."""
    return sum((held(other.status) for other in others), NOTHING)


def _someone_before(record: Record, others: Sequence[Record]) -> bool:
    """Whether somebody waits for longer: small requests do not starve large ones."""
    own = (record.spec.created, record.name)
    return any(
        other.status.phase is Phase.PENDING and other.spec.intent is Intent.RUN and (other.spec.created, other.name) < own
        for other in others
    )


def targets(facts: Facts, patience: Patience) -> tuple[Mapping[str, int], Mapping[str, Shrink]]:
    """Return how many workers each group is to have, and whom a smaller number may take."""
    found, shrink = shares(facts.groups, facts.report.wanted), {}
    for group, options in facts.groups.items():
        shrink[group] = Shrink.ANY
        if options.adapt is None:
            continue
        fewest, most = options.bounds()
        current = facts.status.targets.get(group, fewest)
        if facts.report.wanted is None and facts.status.ready_at is not None:
            found[group] = max(fewest, min(most, current))  # nobody to ask: leave it as it is
        elif fewest <= current <= most:
            found[group] = patience.target(group, current, found[group], facts.now)
            shrink[group] = Shrink.IDLE_ONLY
    return found, shrink
