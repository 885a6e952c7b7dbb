"""Problems of infrastructures, in words."""

from jupyter_dodas.display.words import lasting
from jupyter_dodas.errors import DodasError, ProvisionFailed
from jupyter_dodas.hub.infrastructures.decisions import Seen
from jupyter_dodas.provision.base import Status
from jupyter_dodas.spec import Problem

__all__ = ["as_problem", "trouble"]


def as_problem(error: DodasError) -> Problem:
    """Return an error as people find it with an infrastructure."""
    return Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy, retry=dict(error.retry))


def trouble(what: Seen, status: Status | None, deadline: float) -> Problem:
    """Return why one is given up.

    Parameters
    ----------
    deadline
        Seconds that it had.
    """
    if what in (Seen.GONE, Seen.DELETING):
        return as_problem(
            ProvisionFailed(
                "It is no longer there",
                cause="Somebody has deleted it at its provisioner, and what was on it with it.",
                remedy="Delete it here as well, or create it again: under the same name is fine.",
            )
        )
    if status is not None and status.problem is not None:
        return status.problem
    if what is Seen.OVERDUE:
        return as_problem(
            ProvisionFailed(
                f"It was not ready within {lasting(deadline)}",
                cause="The last lines of its log say how far it came.",
                remedy="Look at its log, and create it again; an administrator can give it more time.",
            )
        )
    return as_problem(
        ProvisionFailed(
            "It could not be made",
            cause="Its provisioner does not say why.",
            remedy="Look at its log, and create it again; an administrator finds more at the provisioner.",
        )
    )
