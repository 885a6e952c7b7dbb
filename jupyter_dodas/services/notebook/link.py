"""Whether a notebook server answers. Once it did there is nothing more to ask: that it ended, its runner tells."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Final

from jupyter_dodas.services.base import Report, Site
from jupyter_dodas.services.notebook.handover import of_folder

__all__ = ["NotebookLink"]

_FIRST, _SLOWER, _LONGEST = 0.05, 1.3, 1.0
"""Seconds between attempts: a server takes some to start."""

_PATIENCE: Final = 5.0
"""Seconds in which it must answer."""


class NotebookLink:
    """See `Link`. Of demand and idleness it knows nothing: the hub does."""

    def __init__(self, site: Callable[[], Site], changed: Callable[[], None]) -> None:
        self._site, self._changed = site, changed
        self._report = Report()
        self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        pause = _FIRST
        while not await self._answers():
            await asyncio.sleep(pause)
            pause = min(pause * _SLOWER, _LONGEST)
        self._report = Report(ready=frozenset({"server"}))
        self._changed()

    async def _answers(self) -> bool:
        """Ask for the version of its API, which it tells everybody."""
        site = self._site()
        try:
            server, prefix = site.endpoints["server"], of_folder(site.secrets)["JUPYTERHUB_SERVICE_PREFIX"]
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(server.host, server.ports["http"])
                try:
                    writer.write(f"GET {prefix}api HTTP/1.1\r\nHost: {server['http']}\r\nConnection: close\r\n\r\n".encode())
                    version, status, *_ = (await reader.readline()).split()
                finally:
                    writer.close()
        except (OSError, LookupError, ValueError):
            return False  # not there yet, or somebody else
        return version.startswith(b"HTTP/1.") and status == str(HTTPStatus.OK.value).encode()

    async def report(self) -> Report:
        """See `Link.report`."""
        return self._report

    async def drain(self, instances: Sequence[str]) -> Collection[str]:
        """See `Link.drain`. It has no workers."""
        return ()

    async def close(self) -> None:
        """See `Link.close`."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
