"""What a cluster does for one of its users, as her notebook shows it below a running cell.

A kind says it by an `Observer` for what `aio.Cluster.client` returns. Nothing else has to know the kind, screens included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Observer", "Work"]


@dataclass(frozen=True)
class Work:
    """Tasks that belong together: a stage of Spark, the tasks of one name in Dask.

    Parameters
    ----------
    name
        In the words of its community: ``Stage 3: sum at line 2``.
    total, done, running
        Numbers of tasks.
    failed
        Tasks that were given up, or attempts that were made again.
    over
        Whether nothing of it is to come.
    """

    name: str
    total: int
    done: int = 0
    running: int = 0
    failed: int = 0
    over: bool = False


class Observer(Protocol):
    """Looks at the work of one client or session. All is called in one thread that may wait; what it raises is no harm."""

    @property
    def title(self) -> str:
        """The name that the community knows: ``Spark``."""
        ...

    @property
    def row(self) -> str:
        """What one `Work` is, in the singular: ``stage``; empty if that is not worth counting."""
        ...

    @property
    def item(self) -> str:
        """What is counted, in the singular: ``task``."""
        ...

    @property
    def lag(self) -> float:
        """Seconds by which what it sees may be late."""
        ...

    def look(self, since: float) -> Sequence[Work]:
        """Return what was not over at a time, or has begun after it, in the order in which it began.

        Parameters
        ----------
        since
            Unix seconds. It never goes back.
        """
        ...

    def over(self) -> bool:
        """Whether the client is closed, so that there will be no more work."""
        ...

    def close(self) -> None:
        """Let go of every connection."""
        ...
