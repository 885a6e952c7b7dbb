"""Connections to the API server: they belong to a loop, and end with it, or when nobody asks over them any more."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from kubernetes.aio.client import ApiClient, Configuration

__all__ = ["Connections"]

_OPEN: "Final[set[Connections]]" = set()
"""A loop closes its generators when it ends, but does not keep them."""


class Connections:
    """Connections of the running loop, with what asks over them.

    Parameters
    ----------
    client
        Of the library; it is closed with them.
    session
        The connections themselves.
    """

    def __init__(self, client: "ApiClient", session: "ClientSession") -> None:
        self.client, self.session = client, session
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Task[None] | None = None
        self._ended = False
        self._until = self._until_the_loop_ends()

    @classmethod
    async def open(cls, configuration: "Configuration") -> "Connections":
        """Return those of the running loop, which are made as they are needed."""
        from kubernetes.aio.client import ApiClient

        client = ApiClient(configuration)
        session = client.rest_client._create_pool_manager()  # noqa: SLF001 - what the library itself does at the first request
        _make_abrupt(session)
        client.rest_client.pool_manager = session
        made = cls(client, session)
        await anext(made._until)
        _OPEN.add(made)
        return made

    def drop(self) -> None:
        """End them soon; any thread may say so, at any time."""
        with suppress(RuntimeError):  # the loop has ended, and they with it
            self._loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        if not self._ended and self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        self._ended = True
        await self.client.close()  # type: ignore[no-untyped-call]
        for _ in range(3):
            await asyncio.sleep(0)  # transports end in steps
        _OPEN.discard(self)

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self._ending is not None:
                await asyncio.wait([self._ending])
            elif not self._ended:
                await self._end()


def _make_abrupt(session: "ClientSession") -> None:
    """Have connections end at once, without the goodbye of TLS.

    The other side's answer to it may take longer than the loop lasts, above all from one that goes on talking, and a connection
    that waits for it belongs to nobody who could end it.
    """
    from aiohttp.client_proto import ResponseHandler

    class Abrupt(ResponseHandler):
        def close(self) -> None:
            self.abort()

    handler: type[ResponseHandler] = Abrupt
    if session.connector is not None:
        session.connector._factory = partial(handler, loop=asyncio.get_running_loop())  # noqa: SLF001 - there is no other way
