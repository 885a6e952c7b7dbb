"""Where a job is in its life."""

from enum import StrEnum
from typing import Final

from jupyter_dodas.services.htcondor.reasons import STATUS, UNDER_WAY

__all__ = ["COMPLETED", "HELD", "State"]

COMPLETED: Final = 4
HELD: Final = 5
"""HTCondor's numbers for two of them."""


class State(StrEnum):
    """Where a job is in its life."""

    SENDING = "on its way"
    IDLE = "waiting"
    RUNNING = "running"
    REMOVED = "removed"
    COMPLETED = "completed"
    HELD = "held"
    FETCHING = "bringing results back"
    SUSPENDED = "suspended"

    @classmethod
    def of(cls, code: int, hold: int | None = None) -> "State":
        """Return the state for HTCondor's numbers of the state, and of the reason of a hold."""
        return cls.SENDING if (code, hold) == (HELD, UNDER_WAY) else cls(STATUS[code]) if code in STATUS else cls.IDLE
