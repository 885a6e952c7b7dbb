"""Problems in words: why a cluster waits, is hurt, or has failed, and what its user can do. Pure."""

from collections.abc import Mapping
from typing import Any

from jupyter_dodas.backends.base import Running
from jupyter_dodas.errors import DodasError, QuotaExceeded
from jupyter_dodas.limits import words
from jupyter_dodas.spec import Condition, InstanceStatus, Problem

__all__ = ["as_problem", "barred", "broken", "first", "queued", "short", "wound"]


def queued(name: str, over: Mapping[str, int], retry: Mapping[str, Any]) -> Problem:
    """Say that a cluster waits for room.

    Parameters
    ----------
    over
        By how much it does not fit; empty if others asked before.
    retry
        Options with which it would fit now.
    """
    return Problem(
        code="queued",
        message=f"{name!r} waits for room: " + (_amounts(over) or "others asked before"),
        cause="Your other clusters use the rest of the limits.",
        remedy="It starts by itself once others end; `dodas quota` shows what is used.",
        retry=retry,
    )


def barred(what: str, asked: int, limit: int, retry: Mapping[str, Any]) -> Problem:
    """Say that a cluster can never fit.

    Parameters
    ----------
    retry
        Options with which it could.
    """
    return as_problem(QuotaExceeded(what, words(what, asked), words(what, limit), retry))


def short(workers: int) -> Problem:
    """Say that the limits hold workers back."""
    return Problem(
        code="limited",
        message=f"{workers} more workers wait for room",
        cause="Your limits are used up.",
        remedy="They start by themselves once others end; `dodas quota` shows what is used.",
    )


def broken(cluster: str, name: str, worst: InstanceStatus, said: str, *, was_ready: bool) -> Problem:
    """Say that a part does not come up, or has ended and is not started again.

    Parameters
    ----------
    said
        The last lines that it wrote.
    was_ready
        Whether the cluster was ever complete.
    """
    again = worst.failures > 1
    return Problem(
        code="cluster-failed" if was_ready else "launch-failed",
        message=f"{name} of {cluster!r} does not come up: {worst.last_exit}, {worst.failures} times in a row"
        if again
        else f"{name} of {cluster!r} has ended: {worst.last_exit}",
        cause=f"It said last:\n{said.strip()}" if said.strip() else "It said nothing.",
        remedy=f"`dodas logs {cluster}` shows more; then `dodas restart {cluster}`.",
    )


def wound(cluster: str, instances: Mapping[str, InstanceStatus]) -> Problem | None:
    """Say what is missing of a cluster that was complete."""
    down = {name: i for name, i in instances.items() if i.condition is Condition.WAITING or i.failures}
    if not down:
        return None
    name, worst = max(down.items(), key=lambda item: item[1].failures)
    again = worst.failures > 1
    return Problem(
        code="instance-died",
        message=f"{name} ended ({worst.last_exit}) and is started again",
        cause=f"It ended {worst.failures} times in a row." if again else "",
        remedy=f"`dodas logs {cluster}` shows what it said." if again else "",
    )


def first(running: Mapping[str, Running], instances: Mapping[str, InstanceStatus]) -> Problem | None:
    """Return what keeps one of the instances from running, if anything is known to; the others' troubles are mostly the same."""
    return next((running[name].trouble for name in instances if name in running and running[name].trouble), None)


def as_problem(error: DodasError) -> Problem:
    """Return an error as what a status can hold."""
    return Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy, retry=error.retry)


def _amounts(over: Mapping[str, int]) -> str:
    return ", ".join(words(name, amount) if name == "memory" else f"{amount} {name}" for name, amount in over.items())
