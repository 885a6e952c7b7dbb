"""The replica's side of `keeping`: it holds every version of its server that does not lie where both see it."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from jupyter_dodas.credentials import connecting
from jupyter_dodas.errors import DodasError
from jupyter_dodas.inference.replicas.mirror import LINE, Holding, holdings, receive, send
from jupyter_dodas.inference.versions.store import Store

__all__ = ["Keeper"]

logger = logging.getLogger(__name__)

_PAUSE: Final = 0.5
_CONNECT: Final = 5.0


class _Told(msgspec.Struct, frozen=True):
    """A line of the server."""

    there: tuple[Holding, ...] | None = None
    store: str = ""
    bring: tuple[str, str] | None = None


class Keeper:
    """Keeps what a server has.

    Parameters
    ----------
    certificates
        Folder with the cluster's own certificate.
    own
        Where versions are kept.
    """

    def __init__(self, host: str, port: int, name: str, certificates: Path, own: Store) -> None:
        self._host, self._port, self._name, self._own = host, port, name, own
        self._context: ssl.SSLContext = connecting(certificates)
        self._last: _Told | None = None
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Keep on, whether or not the server is there, until cancelled."""
        while True:
            try:
                holds = await asyncio.to_thread(holdings, self._own)
                async with self._dialled(keeps=self._name, holds=holds) as (reader, _), asyncio.TaskGroup() as tasks:
                    following = tasks.create_task(self._follow())
                    while line := await reader.readline():
                        told = msgspec.json.decode(line, type=_Told)
                        if told.bring is not None:
                            await self._bring(*told.bring)
                        if told.there is not None:
                            self._last = told
                            self._news.set()
                    following.cancel()
            except* (OSError, EOFError, ValueError, DodasError) as group:
                logger.debug("The server is not there: %s", group.exceptions[0])
            await asyncio.sleep(_PAUSE)

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            assert self._last is not None, "there are news"
            try:
                await self._become(self._last.there or (), Path(self._last.store))
            except (OSError, EOFError, ValueError, DodasError) as error:
                logger.warning("Not everything is kept: %s", error)
                await asyncio.sleep(_PAUSE)
                self._news.set()

    async def _become(self, there: Sequence[Holding], store: Path) -> None:
        """Keep what there is, and nothing else."""
        wanted = {(one.state.model, version) for one in there for version in one.versions}
        kept = {(one.state.model, version) for one in await asyncio.to_thread(holdings, self._own) for version in one.versions}
        for name in sorted(wanted - kept):
            if not Store.place(store, *name).is_dir():  # else it lies where it outlasts the server
                async with self._dialled(copy=name) as (reader, _):
                    await receive(self._own, reader)
                kept.add(name)
        for name in sorted(kept - wanted):
            await asyncio.to_thread(self._own.delete, *name)
        models = {model for model, _ in kept & wanted}
        for one in there:
            if one.state.model in models:
                await asyncio.to_thread(self._own.adopt, one.state)

    async def _bring(self, model: str, version: str) -> None:
        async with self._dialled(brings=(model, version)) as (reader, writer):
            await send(self._own, model, version, writer)
            await reader.read()  # the server hangs up once it has it

    @asynccontextmanager
    async def _dialled(self, **purpose: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(_CONNECT):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context, limit=LINE)
        try:
            writer.write(msgspec.json.encode(purpose) + b"\n")
            yield reader, writer
        finally:
            writer.transport.abort()
