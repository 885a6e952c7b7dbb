"""Mandates: tokens of the hub for the controllers of people's clusters, which can get access tokens of their user with them.

One lies at the place of each user who has started a notebook. It opens nothing else, outlives the notebook, and ends with the
session.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, runtime_checkable

from jupyter_dodas.backends.base import MANDATE, TOKEN
from jupyter_dodas.errors import DodasError
from jupyter_dodas.hub.audit import Log
from jupyter_dodas.hub.background import Background
from jupyter_dodas.hub.tokens import SCOPE, TokenDesk, TokenRequest
from jupyter_dodas.iam.flights import Flights
from jupyter_dodas.iam.mandate import Mandate

__all__ = ["Mandates", "Trustee"]

_PATIENCE: Final = 10.0
"""Seconds that a place may take to forget; without a mandate that holds, its controller removes the token by itself."""


@runtime_checkable
class Trustee(Protocol):
    """A spawner that leads to the place of its user."""

    async def entrust(self, secrets: Mapping[str, bytes]) -> None:
        """Give the place secrets of its own, by name; an empty one is none."""


class Mandates:
    """Gives mandates, and takes them back.

    Parameters
    ----------
    desk
        Where tokens are asked for with them.
    """

    def __init__(self, desk: TokenDesk, log: Log) -> None:
        self._desk, self._log = desk, log
        self._flights: Flights[None] = Flights()
        self._background = Background()

    async def give(self, user: Any, trustee: Trustee, address: str, lasts: float) -> None:
        """Give the place of a user a new mandate instead of any before, and the first token with it.

        Parameters
        ----------
        address
            Of the hub's API, as the place reaches it.
        lasts
            Seconds.
        """
        # Several servers of one user stand at one place: one at a time, or they would revoke each other's.
        await self._flights.join(user.name, lambda: self._give(user, trustee, address, lasts))

    async def _give(self, user: Any, trustee: Trustee, address: str, lasts: float) -> None:
        scope = f"{SCOPE}!user={user.name}"
        key = user.new_api_token(note=_note(user), expires_in=int(lasts), scopes=[scope])
        try:
            # Now, and not only when the controller has asked: pods see what is new with a delay of a minute.
            token, due = await self._first_token(user)
            await trustee.entrust({MANDATE: Mandate(address, key, due).to_bytes(), TOKEN: token})
        except DodasError as error:
            self._log.warning("The clusters of %s get no new mandate: %s", user.name, error)
            self._revoke(user, lambda token: token.match(key))
        else:
            # A hub that was killed may have left several.
            self._revoke(user, lambda token: not token.match(key))

    async def _first_token(self, user: Any) -> tuple[bytes, float]:
        """Return an access token, and when another one is to be asked for."""
        try:
            _, grant = await self._desk.give(user, TokenRequest(), _note(user))
        except DodasError as error:
            self._log.warning("There is no access token for %s now: %s", user.name, error)
            return b"", 0.0
        return grant.access_token.encode(), grant.expires - grant.lifetime / 2

    def take_back(self, user: Any) -> None:
        """Revoke the mandate of a user, and have their place forget it and the token; nobody waits for that."""
        if self._revoke(user):
            self._background.start(self._forget(user))

    async def _forget(self, user: Any) -> None:
        trustee = user.spawners[""]
        if isinstance(trustee, Trustee):
            with suppress(DodasError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await trustee.entrust({MANDATE: b"", TOKEN: b""})

    def _revoke(self, user: Any, which: Callable[[Any], bool] = lambda _: True) -> bool:
        """Revoke mandates of a user; true if there was any."""
        found = [token for token in list(user.orm_user.api_tokens) if token.note == _note(user) and which(token)]
        for token in found:
            user.db.delete(token)
        user.db.commit()
        return bool(found)


def _note(user: Any) -> str:
    return f"Clusters of {user.name}"
