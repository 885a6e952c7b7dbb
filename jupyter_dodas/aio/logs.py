"""Logs that go on: the last lines of a cluster's instances, then each new one."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from jupyter_dodas.aio.cluster import Cluster
from jupyter_dodas.errors import NotFound

__all__ = ["added", "follow"]

_LOOK: Final = 0.5
"""Seconds between two looks. No backend tells when something was written."""

_WINDOW: Final = 1000
"""Lines of each instance that are compared: whoever writes more between two looks is too quick to be read."""


async def follow(cluster: Cluster, instance: str | None, lines: int) -> AsyncGenerator[Sequence[tuple[str, str]], None]:
    """Yield the last lines, then what is new at each look, until the cluster is gone: pairs of an instance and a line.

    Parameters
    ----------
    instance
        See `Cluster.logs`.
    lines
        At most so many of each instance to begin with.
    """
    before: Mapping[str, Sequence[str]] | None = None
    while True:
        found = await cluster.logs(instance, lines=max(lines, _WINDOW) if before is None else _WINDOW)
        now = {name: text.splitlines() for name, text in found.items()}
        yield [
            (name, line)
            for name, said in now.items()
            for line in (said[-lines:] if before is None else added(before.get(name, ()), said))
        ]
        before = {name: said[-_WINDOW:] for name, said in now.items()}
        try:
            await cluster.record()
        except NotFound:
            return
        await asyncio.sleep(_LOOK)


def added(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """Return what was added to a text of which only the last lines are known, before and now."""
    if list(before) == list(now):
        return ()
    for first in range(len(before) + 1):
        overlap = before[first:]
        if list(now[: len(overlap)]) == list(overlap):
            return now[len(overlap) :]
    return now
