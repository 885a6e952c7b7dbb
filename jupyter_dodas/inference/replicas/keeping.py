"""Models that outlive what the server lies on: replicas keep every version, and bring all back to a server that begins anew.

A replica dials where replicas join, with ``{"keeps": name, "holds": [...]}``; on that connection the server tells what there is,
``{"there": [...]}``, and asks for what it has lost, ``{"bring": [model, version]}``. Versions have connections of their own:
``{"copy": [model, version]}`` asks for one, ``{"brings": [model, version]}`` begins with what was asked for.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

import msgspec

from jupyter_dodas.errors import DodasError, ModelBroken
from jupyter_dodas.inference.replicas.mirror import Holding, holdings, receive, send
from jupyter_dodas.inference.versions.store import Store

__all__ = ["Keeping"]

logger = logging.getLogger(__name__)

_LOOK: Final = 0.5

_Name = tuple[str, str]


class Keeping:
    """What a server has lost, and who brings it back.

    Parameters
    ----------
    stored
        Called when there are versions that there were not before.
    root
        Where replicas may see the store, and need no copies then; by default at its own path.
    """

    def __init__(self, store: Store, stored: Callable[[], None], *, root: Path | None = None) -> None:
        self._store, self._stored, self._root = store, stored, root or store.root
        self._there: Sequence[Holding] = ()
        self._seen: set[_Name] = set()
        """Versions that there are or were while this server has run: what was deleted stays so."""
        self._look()
        self._empty = not self._there
        self._keepers: dict[str, asyncio.StreamWriter] = {}
        self._telling: asyncio.Task[None] | None = None
        self._awaited: dict[_Name, asyncio.Future[_Came]] = {}

    def kept(self, replica: str) -> bool:
        """Whether all is here that a replica has kept."""
        return not self._empty or replica in self._keepers

    def start(self) -> None:
        """Begin to tell replicas what there is."""
        self._telling = asyncio.create_task(self._keep_told(), name="keeping")

    async def close(self) -> None:
        """Tell them no more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _keep_told(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            if self._look():
                for writer in self._keepers.values():
                    self._tell(writer)

    async def attend(self, hello: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what a connection is for, if it is one of these.

        Raises
        ------
        OSError, msgspec.MsgspecError
        """
        try:
            if "copy" in hello:
                model, version = msgspec.convert(hello["copy"], _Name)
                await send(self._store, model, version, writer)
                writer.close()
                await writer.wait_closed()
            elif "brings" in hello:
                await self._take(msgspec.convert(hello["brings"], _Name), reader)
            elif "keeps" in hello:
                await self._meet(str(hello["keeps"]), msgspec.convert(hello["holds"], list[Holding]), reader, writer)
        except (EOFError, DodasError) as error:
            logger.warning("What a replica keeps could not be taken, or given: %s", error)

    async def _meet(self, name: str, holds: Sequence[Holding], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.create_task(_until_the_end(reader))
        back = asyncio.create_task(self._take_back(name, holds, writer))
        try:
            await asyncio.wait({gone, back}, return_when=asyncio.FIRST_COMPLETED)
            if back.done():
                back.result()  # not before all is here: what a replica is not told of, it keeps no longer
                self._keepers[name] = writer
                self._tell(writer)
                await gone
        finally:
            if self._keepers.get(name) is writer:
                del self._keepers[name]
            for task in (gone, back):
                task.cancel()
            await asyncio.gather(gone, back, return_exceptions=True)

    async def _take_back(self, name: str, holds: Sequence[Holding], writer: asyncio.StreamWriter) -> None:
        """Have a replica bring what was lost, unless another one does.

        Raises
        ------
        EOFError
            If something has not arrived; the replica will be back.
        """
        if not self._empty:
            return
        for lost in [(one.state.model, version) for one in holds for version in one.versions]:
            while (awaited := self._awaited.get(lost)) is not None:
                await asyncio.wait({awaited})
            if lost not in self._seen:
                logger.warning("%s brings back %s %s: the server began with nothing", name, *lost)
                if await self._ask(lost, writer) is _Came.NOT:
                    raise EOFError(f"{lost[0]} {lost[1]} of {name} has not arrived")
        for one in holds:
            with suppress(DodasError):
                await asyncio.to_thread(self._store.adopt, one.state)
        self._look()
        self._stored()

    async def _ask(self, lost: _Name, writer: asyncio.StreamWriter) -> "_Came":
        arrived: asyncio.Future[_Came] = asyncio.get_running_loop().create_future()
        self._awaited[lost] = arrived
        writer.write(msgspec.json.encode({"bring": lost}) + b"\n")
        try:
            if (came := await arrived) is _Came.WHOLE:
                self._seen.add(lost)
            return came
        finally:
            del self._awaited[lost]
            if not arrived.done():
                arrived.set_result(_Came.NOT)  # it has gone, and another one may have it

    async def _take(self, name: _Name, reader: asyncio.StreamReader) -> None:
        if (awaited := self._awaited.get(name)) is None:
            return  # nobody asked for it
        came = _Came.NOT
        try:
            await receive(self._store, reader)
            came = _Came.WHOLE
        except ModelBroken:
            came = _Came.DAMAGED
            raise
        finally:
            if not awaited.done():
                awaited.set_result(came)

    def _look(self) -> bool:
        """Look what there is; whether it has changed."""
        before, self._there = self._there, holdings(self._store)
        self._seen.update((one.state.model, version) for one in self._there for version in one.versions)
        return before != self._there

    def _tell(self, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.json.encode({"there": self._there, "store": str(self._root)}) + b"\n")


class _Came(Enum):
    """How a version came that was asked for."""

    WHOLE = auto()
    DAMAGED = auto()
    """This replica will never bring it; another one may."""
    NOT = auto()
    """The connection ended."""


async def _until_the_end(reader: asyncio.StreamReader) -> None:
    while await reader.readline():
        pass  # it only says that it is alive
