"""Whether somebody listens at an address: workers wait for those that they join, whose own next try would come after seconds."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

__all__ = ["answers", "listens"]

_PAUSE: Final = 0.03  # seconds


async def answers(address: str, ended: asyncio.Event) -> bool:
    """Wait until somebody listens, and return true; or false, once it is over.

    Until then the processors are free for who is waited for.

    Parameters
    ----------
    address
        ``host:port``.
    ended
        Set when nobody wants to know any more.
    """
    while not ended.is_set():
        if listens(address):
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await ended.wait()
    return False


def listens(address: str) -> bool:
    """Whether somebody listens there now."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe, suppress(OSError):  # of a name that leads nowhere, for one
        return probe.connect_ex((host, int(port))) == 0
    return False
