"""Idleness: when an unused cluster is stopped, and when its user is warned. Pure."""

from dataclasses import dataclass

from jupyter_dodas.services.base import Report
from jupyter_dodas.spec import ClusterStatus

__all__ = ["Idleness", "idleness"]


@dataclass(frozen=True)
class Idleness:
    """What to make of a cluster that does nothing.

    Parameters
    ----------
    since
        When it last did something; None while it works.
    stops_at
        When it will be stopped, from the moment of the warning on.
    expired
        It is to be stopped now.
    look_at
        When to look again, if nothing happens before.
    """

    since: float | None = None
    stops_at: float | None = None
    expired: bool = False
    look_at: float | None = None


def idleness(
    status: ClusterStatus,
    report: Report | None,
    now: float,
    *,
    timeout: float | None,
    warn_before: float,
    keep_until: float | None,
) -> Idleness:
    """Judge a cluster that is up.

    Parameters
    ----------
    report
        What the service says; None if it cannot be asked now, which changes nothing.
    timeout
        Seconds without work after which it is stopped; None for never.
    warn_before
        Seconds of warning, at most half of the timeout.
    """
    since = status.idle_since
    if report is not None:
        began = status.ready_at if status.ready_at is not None else now
        since = None if report.active else began if report.last_active is None else now - report.last_active
        if since is not None and status.idle_since is not None and abs(since - status.idle_since) < 1:
            since = status.idle_since  # clocks differ by a little; a status that says the same is not written
    if timeout is None or since is None:
        return Idleness(since)
    end = max(since + timeout, keep_until or 0.0)
    warn = end - min(warn_before, timeout / 2)
    if now >= end:
        return Idleness(since, end, expired=True)
    return Idleness(since, end if now >= warn else None, look_at=end if now >= warn else warn)
