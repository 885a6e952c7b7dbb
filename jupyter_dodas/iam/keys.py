"""The keys that a provider signs with: kept, and fetched once more when a token names one that is not among them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import jwt

from jupyter_dodas.errors import TokenInvalid
from jupyter_dodas.iam.flights import Flights

__all__ = ["ALGORITHMS", "Keys"]

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a private key. HS256 is none: who can verify it can make it; neither is `none`."""

_PATIENCE: Final = 1.0
"""Seconds between two requests for the keys, however many tokens name one that is not there."""


class Keys:
    """The JSON Web Key Set of one provider.

    Parameters
    ----------
    fetch
        Reads the set from the provider.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._fetch = fetch
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._asked = float("-inf")
        self._flights: Flights[None] = Flights()

    async def find(self, token: str, kind: str) -> jwt.PyJWK:
        """Return the key that a token of this kind says it is signed with.

        Raises
        ------
        TokenInvalid
            If the provider has no such key, or the token names none.
        IamUnreachable
            If the keys cannot be had.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise TokenInvalid(kind, "It is not a signed token.") from error
        if header.get("alg") not in ALGORITHMS:
            raise TokenInvalid(kind, f"It is signed with {str(header.get('alg'))[:20]!r}, which proves nothing.")
        name = header.get("kid")
        key = self._named(name)
        if key is None:
            # All who miss one wait for the same answer. It may be a new key, so nobody is turned away for having come too soon.
            await self._flights.join("keys", self._read)
            key = self._named(name)
        if key is None:
            raise TokenInvalid(kind, "It is signed with a key that the provider does not have.")
        return key

    async def count(self) -> int:
        """Return how many there are, asked anew."""
        await self._flights.join("keys", self._read)
        return len(self._keys)

    def _named(self, name: object) -> jwt.PyJWK | None:
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))  # the standard lets a provider with one key leave its name out
        return self._keys.get(name) if isinstance(name, str) else None

    async def _read(self) -> None:
        await asyncio.sleep(max(0.0, self._asked + _PATIENCE - time.monotonic()))
        found = await self._fetch()
        keys = {}
        for number, raw in enumerate(found.get("keys") or ()):
            if isinstance(raw, dict) and raw.get("kty") != "oct" and raw.get("use", "sig") == "sig":
                try:
                    keys[str(raw.get("kid", number))] = jwt.PyJWK(raw)
                except (jwt.InvalidTokenError, jwt.PyJWTError):
                    continue  # a kind of key that we do not know is no reason to do without the others
        self._keys, self._asked = keys, time.monotonic()
