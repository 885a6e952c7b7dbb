"""Tells Jupyter Server, and by it a hub, that somebody is at work: a cell that computes without a word, or a cluster that does."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from logging import getLogger
from typing import Any, Final

from jupyter_core.utils import ensure_async

from jupyter_dodas import registry
from jupyter_dodas.spec import Phase, Record

__all__ = ["SETTING", "Activity", "busy"]

logger = getLogger(__name__)

SETTING: Final = "dodas_last_activity"
"""Jupyter Server takes the latest of all settings whose names end in this way."""


def busy(kernels: Iterable[Mapping[str, Any]], clusters: Iterable[Record]) -> str | None:
    """Return what is at work, in words; None if nothing is. Pure.

    Parameters
    ----------
    kernels
        As Jupyter's API shows them. A kernel tells of its activity when it begins, and when it writes; not while it computes.
    clusters
        A cluster is at work by the judgement of its controller, the one by which it would be stopped.
    """
    if any(kernel.get("execution_state") == "busy" for kernel in kernels):
        return "a cell runs"
    return next((f"{record.spec.kind} {record.name!r} works" for record in clusters if _works(record)), None)


def _works(record: Record) -> bool:
    status = record.status
    up = status.phase in (Phase.READY, Phase.DEGRADED)
    return not registry.is_hidden(record.spec.kind) and (status.phase is Phase.STARTING or (up and status.idle_since is None))


class Activity:
    """Looks from time to time.

    Parameters
    ----------
    settings
        Those of the web application.
    kernels, clusters
        Tell what there is now.
    every
        Seconds between two looks.
    """

    def __init__(
        self,
        settings: MutableMapping[str, Any],
        kernels: Callable[[], Any],
        clusters: Callable[[], Collection[Record]],
        every: float,
    ) -> None:
        self._settings, self._kernels, self._clusters, self._every = settings, kernels, clusters, every

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                what = busy(await ensure_async(self._kernels()), self._clusters())
            except Exception:  # kernels may be those of another server, which fails in its own ways
                logger.warning("Whether a cell runs cannot be told now", exc_info=True)
            else:
                if what is not None:
                    logger.debug("Not idle: %s", what)
                    self._settings[SETTING] = datetime.now(UTC)
            await asyncio.sleep(self._every)
