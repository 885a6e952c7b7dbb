"""Looks around for what nobody uses, and for what nobody knows of: at the hub, and at the provisioners."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from jupyter_dodas.errors import DodasError
from jupyter_dodas.hub.infrastructures.access import HubApi
from jupyter_dodas.hub.infrastructures.credentials import Credentials, user
from jupyter_dodas.hub.infrastructures.keeping import Keeping
from jupyter_dodas.hub.infrastructures.makers import Makers
from jupyter_dodas.hub.infrastructures.orders import named
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.store import Store

__all__ = ["Listing", "Strays"]

_LOOKS: Final = 2
"""Looks in a row at which a server of the hub has to be missing."""

_log = logging.getLogger(__name__)


@runtime_checkable
class Listing(Protocol):
    """A provisioner that can tell of all that it has made."""

    async def names(self) -> Mapping[str, str]:
        """Return the names of what is there, by identifier."""


class Strays:
    """Looks around from time to time.

    Parameters
    ----------
    store, hub, makers, keeping, credentials
        What it works with.
    every
        Seconds between two looks.
    """

    def __init__(self, store: Store, hub: HubApi, makers: Makers, keeping: Keeping, credentials: Credentials, every: float) -> None:
        self._store, self._hub, self._makers, self._keeping, self._every = store, hub, makers, keeping, every
        self._credentials = credentials
        self._missing: dict[tuple[str, str], int] = {}
        self._known: set[tuple[str, str, str, str]] = set()

    async def run(self) -> None:
        """Go on for ever."""
        while True:
            await asyncio.sleep(self._every)
            for look in (self._look_for_holders, self._look_for_twins, self._look_for_lost):
                try:
                    await look()
                except DodasError as error:
                    _log.warning("Nobody can tell now what is left over: %s", error)
                except Exception:  # noqa: BLE001 - whatever it was, the next look may go well
                    _log.exception("Looking around went wrong")

    async def _look_for_holders(self) -> None:
        """Release what servers held that the hub does not have any more: it may have been killed before it could say so."""
        held = [one for one in await self._store.all() if one.holders]
        if not held:
            return
        servers = await self._hub.servers()
        now_missing = {(one.uid, holder) for one in held for holder in one.holders if "/" in holder and holder not in servers}
        self._missing = {which: self._missing.get(which, 0) + 1 for which in now_missing}
        for (uid, holder), looks in list(self._missing.items()):
            if looks >= _LOOKS:
                _log.info("The server %s is gone, and holds %s no more", holder, uid)
                await self._keeping.change(uid, lambda it, holder=holder: _without(it, holder))  # type: ignore[misc]
                self._keeping.nudge(uid)

    async def _look_for_twins(self) -> None:
        """Delete what was created twice, since an answer got lost."""
        own = await self._store.name()
        for record in await self._store.all():
            if not (record.doubtful and record.identifier and record.wanted == "present" and not record.failed):
                continue
            try:
                await self._part(record, named(own, record.uid))
            except DodasError as error:
                _log.info("Nobody can tell now whether there are two of %s: %s", record.label, error.message)

    async def _part(self, record: Record, name: str) -> None:
        maker = await self._makers.bound(record.provisioner, record.owner, record.cloud_owner, record.cloud)
        for other in await maker.find(name):
            if other != record.identifier:
                _log.warning("%s was created twice: %s is deleted", record.label, other)
                await maker.delete(other)

    async def _look_for_lost(self) -> None:
        """Delete what has a name of ours and is in no record, such as after a backup was put back."""
        self._known |= {(it.provisioner, it.owner, it.cloud_owner, it.cloud) for it in await self._store.all()}
        mine = [(user(owner), owner, cloud) for owner, cloud in await self._credentials.of_users()]
        self._known |= {(one, owner, purse, cloud) for one in self._makers.names for purse, owner, cloud in mine}
        for key in sorted(self._known):
            try:
                await self._look_with(key)
            except DodasError as error:  # such as of who has signed out
                _log.info("Nobody can tell now what is left over of %s at %s: %s", key[1], key[0], error.message)

    async def _look_with(self, key: tuple[str, str, str, str]) -> None:
        own = await self._store.name()
        prefix = named(own, "")
        maker = await self._makers.bound(*key)
        if not isinstance(maker, Listing):
            return
        found = {identifier: name for identifier, name in (await maker.names()).items() if name.startswith(prefix)}
        # Read after that: what is created now was written down before.
        kept = {named(own, one.uid) for one in await self._store.all()} if found else set()
        for identifier, name in found.items():
            if name not in kept:
                _log.warning("%s is in no record, and is deleted: %s", name, identifier)
                await maker.delete(identifier)


def _without(record: Record, holder: str) -> Record:
    left = tuple(one for one in record.holders if one != holder)
    if left == record.holders:
        return record
    return record.model_copy(update={"holders": left, "unheld": record.unheld if left else time.time()})
