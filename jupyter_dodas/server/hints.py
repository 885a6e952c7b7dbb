"""Hints on the event bus of Jupyter Server: read this cluster again.

One task watches the store for as long as the server lives. It compares with what it told last, so a hint is sent once for every
change, also for those that the store itself was not told of.
"""

import asyncio
from collections.abc import Callable, Collection
from logging import getLogger
from pathlib import Path
from typing import Final

from jupyter_dodas.backends.base import Store
from jupyter_dodas.errors import DodasError, NotFound
from jupyter_dodas.server.clusters import Clusters
from jupyter_dodas.spec import Record

__all__ = ["SCHEMA", "SCHEMA_ID", "Hints"]

logger = getLogger(__name__)

SCHEMA: Final = Path(__file__).parent / "events" / "cluster" / "v1.yaml"
SCHEMA_ID: Final = "https://events.jupyter-dodas.org/cluster/v1"

_AGAIN: Final = 5.0
"""Seconds until the next try after the records could not be read."""


class Hints:
    """Tells which clusters have changed.

    Parameters
    ----------
    tell
        Is given the name of a cluster and its generation, 0 once it is gone.
    """

    def __init__(self, clusters: Clusters, tell: Callable[[str, int], None]) -> None:
        self._clusters, self._tell = clusters, tell
        self._known: dict[str, Record] = {}

    @property
    def known(self) -> Collection[Record]:
        """All clusters, as they were at the last hint."""
        return self._known.values()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self._watch(self._clusters.backend.store)
            except (DodasError, OSError) as error:
                logger.warning("No hints for %g s, since the clusters cannot be read: %s", _AGAIN, error)
            await asyncio.sleep(_AGAIN)

    async def _watch(self, store: Store) -> None:
        async with store.watch() as names:
            await self._look_at_all(store)
            async for name in names:
                if name:
                    await self._look_at(store, name)
                else:
                    await self._look_at_all(store)

    async def _look_at_all(self, store: Store) -> None:
        records = {record.name: record for record in await store.list()}
        for name in self._known.keys() - records.keys():
            self._note(name, None)
        for name, record in records.items():
            self._note(name, record)
        await self._clusters.remind(records)

    async def _look_at(self, store: Store, name: str) -> None:
        try:
            self._note(name, await store.get(name))
        except NotFound:
            self._note(name, None)
        except DodasError:
            await self._look_at_all(store)  # which has something to say of a record that cannot be read

    def _note(self, name: str, record: Record | None) -> None:
        before = self._known.get(name)
        if record is before or record == before:
            return
        if record is None:
            del self._known[name]
        else:
            self._known[name] = record
        self._tell(name, record.spec.generation if record is not None else 0)
