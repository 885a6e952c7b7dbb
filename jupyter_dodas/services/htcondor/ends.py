"""Why a future of a job can give no result, though nothing is wrong with the job: it was taken away, or what it left was."""

from collections.abc import Mapping
from typing import Any

from jupyter_dodas.errors import JobRemoved
from jupyter_dodas.services.htcondor.submitting import OVERDUE

__all__ = ["lost", "overdue", "removed", "stopped"]


def lost(job: str, cause: str) -> JobRemoved:
    """Return the error for a job that has ended, and whose results are not to be had here."""
    return JobRemoved(
        f"What job {job} has left is no longer there", cause=cause, remedy="Whoever has fetched it has it; or submit it again."
    )


def overdue(job: str, deadline: float | None) -> JobRemoved:
    """Return the error for a job that ran for longer than it may."""
    after = f" of {deadline:g} s" if deadline is not None else ""
    return JobRemoved(
        f"Job {job} has been removed: it ran for longer than its deadline{after}",
        cause="It did not end by itself.",
        remedy="Give it a later deadline, or less to do.",
    )


def removed(job: str, ad: Mapping[str, Any], deadline: float | None) -> JobRemoved:
    """Return the error for a job that is not in the queue any more.

    Parameters
    ----------
    ad
        What its history says of it.
    """
    if ad.get("HoldReasonCode") == OVERDUE:
        return overdue(job, deadline)
    return JobRemoved(
        f"Job {job} has been removed from the queue",
        cause=str(ad.get("RemoveReason") or "Somebody, or a policy, has taken it away."),
        remedy="Submit it again if it is still wanted.",
    )


def stopped(name: str) -> JobRemoved:
    """Return the error for all jobs of a pool that is no more."""
    return JobRemoved(
        f"The pool {name!r} has been stopped, and its jobs with it", cause="", remedy="Launch it and submit them again."
    )
