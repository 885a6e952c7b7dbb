"""Infrastructures that are deleted at the Infrastructure Manager: asked for until they are gone, and again if they come back."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Final

from jupyter_dodas.errors import InfrastructureNotFound
from jupyter_dodas.provision.im.client import Client
from jupyter_dodas.provision.im.states import DEAD

__all__ = ["Endings", "born", "states"]

_YOUNG: Final = 30.0
"""Seconds in which it may not have begun yet with what it was asked to create."""
_EVERY: Final = 0.25
_AGAIN: Final = 10.0
"""Seconds after which something is deleted again that is still there."""
_SURE: Final = 0.7
"""Seconds after which what is not there is looked for once more: it notes things about an infrastructure while it deletes it, and
with the last such note it may be there again."""
_HAUNTED: Final = 300.0
"""Seconds for which what was deleted may come back: where its database is busy it writes down what it knew half a minute before."""


class Endings:
    """What was asked to be deleted lately."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: dict[str, float] = {}

    def asked(self, identifier: str) -> bool:
        """Whether it was asked for so lately that a note of it may still come back, with nobody else to take it away."""
        return time.monotonic() < self._asked.get(identifier, -_HAUNTED) + _HAUNTED

    async def ask(self, identifier: str) -> None:
        """Have one deleted, unless that was asked for just now: to be asked makes it note that it is there, too.

        Raises
        ------
        InfrastructureNotFound
            If it is gone.
        Busy
            If machines of it are being made.
        """
        now = time.monotonic()
        if now < self._asked.get(identifier, -_AGAIN) + _AGAIN:
            return
        again = self.asked(identifier)
        if not again:
            await self._begun(identifier)
        # Only what lives no more may be forgotten although the cloud refuses to delete it.
        force = "&force=true" if again and set((await states(self._client, identifier))[1].values()) <= DEAD else ""
        await self._client.delete(f"infrastructures/{identifier}?async=true{force}")
        self._asked = {one: at for one, at in self._asked.items() if now < at + _HAUNTED} | {identifier: now}

    async def look(self, identifier: str) -> None:
        """Look whether one is still there, without asking for its state: to tell that, it notes that it is there.

        Raises
        ------
        InfrastructureNotFound
            If it is gone.
        """
        try:
            await self._seen(identifier)
        except InfrastructureNotFound:
            await asyncio.sleep(_SURE)
            await self._seen(identifier)
        await self.ask(identifier)

    async def _seen(self, identifier: str) -> None:
        await self._client.get(f"infrastructures/{identifier}/contmsg?headeronly=true", "contmsg", str)

    async def _begun(self, identifier: str) -> None:
        """Wait until it has begun with what it was just asked to create: it would not notice that it is to be deleted."""
        until = min(born(identifier, time.time()), time.time()) + _YOUNG
        while time.time() < until:
            # The cheaper question first: to tell states, it asks the cloud, and notes what that says.
            if await self._client.get(f"infrastructures/{identifier}", "uri-list", list):
                return
            whole, numbers = await states(self._client, identifier)
            if numbers or whole != "pending":
                return
            await asyncio.sleep(_EVERY)


async def states(client: Client, identifier: str) -> tuple[str, Mapping[str, str]]:
    """Return the state of an infrastructure, and those of its machines by their numbers.

    Raises
    ------
    InfrastructureNotFound
    """
    answer = await client.get(f"infrastructures/{identifier}/state", "state", dict)
    machines = answer.get("vm_states") or {}
    return str(answer.get("state")), {str(number): str(state) for number, state in machines.items()}


def born(identifier: str, otherwise: float) -> float:
    """Return when an infrastructure was created: its identifier tells it."""
    try:
        read = uuid.UUID(identifier)
    except ValueError:
        return otherwise
    return (read.time - 0x01B21DD213814000) / 1e7 if read.version == 1 else otherwise
