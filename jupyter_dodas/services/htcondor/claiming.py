"""Taking the results of jobs for oneself: of several processes that wait for a job, one fetches what it has left.

A claim is an attribute that the queue changes only where nobody else has one. It ends by itself, since who made it may be killed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Final

from jupyter_dodas.services.htcondor.session import Session
from jupyter_dodas.services.htcondor.submitting import FETCHED, TAKEN

__all__ = ["claim", "is_free", "spans"]

_KEY: Final = 16
"""Characters of the key of who takes something; a blank and the time until which are behind it."""


def claim(session: Session, key: str, jobs: Sequence[str], seconds: float) -> tuple[Set[str], float]:
    """Take jobs that have ended, but those that somebody else has; return which, and until when.

    Parameters
    ----------
    key
        Who takes them.
    seconds
        For how long.
    """
    now = time.time()
    until = int(now + seconds)
    these = " || ".join(f"({span})" for span in spans(jobs))
    free = f'{TAKEN} =?= undefined || substr({TAKEN}, 0, {_KEY}) == "{key}" || int(substr({TAKEN}, {_KEY + 1})) < {now:.0f}'
    taken = session.edit(f"JobStatus == 4 && {FETCHED} =!= true && ({free}) && ({these})", TAKEN, f'"{key} {until}"')
    if taken == len(jobs):
        return {*jobs}, until
    if not taken:
        return set(), until
    ours = session.jobs(f'substr({TAKEN}, 0, {_KEY}) == "{key}" && ({these})', ("ClusterId", "ProcId"))
    return {f"{ad['ClusterId']}.{ad['ProcId']}" for ad in ours}, until


def is_free(ad: Mapping[str, Any], key: str) -> bool:
    """Whether nobody else takes a job just now."""
    who, _, until = str(ad.get(TAKEN) or "").partition(" ")
    return who in {"", key} or not until.isdigit() or int(until) < time.time()


def spans(jobs: Sequence[str]) -> Iterator[str]:
    """Return constraints for jobs, few where their numbers follow each other: the queue looks at all its jobs for each."""
    numbers = sorted((int(cluster), int(process)) for cluster, _, process in (job.partition(".") for job in jobs))
    start = 0
    for end in range(1, len(numbers) + 1):
        cluster, last = numbers[end - 1]
        if end == len(numbers) or numbers[end] != (cluster, last + 1):
            yield f"ClusterId == {cluster} && ProcId >= {numbers[start][1]} && ProcId <= {last}"
            start = end
