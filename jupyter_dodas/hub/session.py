"""The session of somebody who has signed in: their tokens at the provider, confirmed, renewed and ended one at a time.

A refresh token is used once. Who uses one here holds the lock of its user, and stores the next one before doing anything else.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, Self
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jupyter_dodas.errors import IamRefused, IamUnreachable, TokenInvalid
from jupyter_dodas.hub.background import Background
from jupyter_dodas.iam.provider import Grant, Person, Provider

__all__ = ["Finding", "HubUser", "Session", "Sessions", "Standing"]

_OURS: Final = frozenset({"invalid_client", "unauthorized_client", "invalid_request", "invalid_scope"})
"""Refusals that are about the hub's client and not about the user: as with an outage, nobody loses work for them."""


class HubUser(Protocol):
    """What is used here of JupyterHub's user."""

    name: str

    async def get_auth_state(self) -> dict[str, Any] | None:
        """Return what was saved, decrypted."""

    async def save_auth_state(self, auth_state: Mapping[str, Any] | None) -> None:
        """Encrypt and save."""


class Session(BaseModel):
    """What the hub keeps, encrypted, for as long as somebody is signed in."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    subject: str
    name: str = ""
    """What people call them."""
    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(repr=False)
    expires: float
    """When the access token does, in seconds since 1970."""
    scope: Sequence[str]
    confirmed: float
    """When the provider last said that all is well, in seconds since 1970."""
    in_doubt: bool = False
    """The refresh token was shown, and no answer came: the provider may have replaced it all the same."""

    @classmethod
    def begun(cls, grant: Grant, person: Person) -> Self:
        """Return the session of a sign-in."""
        return cls(
            subject=person.subject,
            name=person.name,
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires=grant.expires,
            scope=sorted(grant.scope),
            confirmed=time.time(),
        )

    def renewed(self, grant: Grant) -> "Session":
        """Return the session after a refresh. A provider that does not rotate may leave the refresh token out."""
        return self.model_copy(
            update={
                "access_token": grant.access_token,
                "refresh_token": grant.refresh_token or self.refresh_token,
                "expires": grant.expires,
                "in_doubt": False,
            }
        )

    def grant(self) -> Grant:
        """Return its tokens."""
        return Grant(self.access_token, self.expires, 0.0, frozenset(self.scope), self.refresh_token)


class Standing(Enum):
    """What the provider says of a session."""

    CONFIRMED = "confirmed"
    KEPT = "kept"
    """It cannot be asked; what it said last holds for a while."""
    DOUBTFUL = "doubtful"
    """An answer of the provider got lost, and the next refresh token with it. That is nobody's fault: they must sign in again, but
    what they run is kept for a while."""
    ENDED = "ended"


@dataclass(frozen=True)
class Finding:
    """What came of asking."""

    standing: Standing
    person: Person | None = None
    why: str = ""


class Sessions:
    """The sessions of everybody.

    Parameters
    ----------
    provider
        Who is asked.
    grace
        Seconds that a session is kept while the provider cannot be asked.
    clock
        Seconds since 1970.
    """

    def __init__(self, provider: Provider, grace: float, clock: Callable[[], float] = time.time) -> None:
        self._provider = provider
        self._grace = grace
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._background = Background()

    async def confirm(self, user: HubUser) -> Finding:
        """Ask the provider whether a session still holds, and who its user is now. The tokens are new afterwards."""
        async with self._lock(user.name):
            session = await self._load(user)
            if session is None:
                return Finding(Standing.ENDED, why="not signed in")
            try:
                session, grant = await self._renew(user, session)
                person = await self._provider.recognise(grant, session.subject)
            except IamUnreachable as error:
                return self._without_answer(session, error.cause)
            except (IamRefused, TokenInvalid) as error:
                if isinstance(error, IamRefused) and error.error in _OURS:
                    return self._without_answer(session, f"{error.error}: {error.cause}")
                if isinstance(error, IamRefused) and self._is_doubtful(session):
                    await self._save(user, session.model_copy(update={"refresh_token": None}))
                    return Finding(Standing.DOUBTFUL, why="An answer of the provider got lost, and the session with it.")
                await user.save_auth_state(None)
                return Finding(Standing.ENDED, why=f"{error.message}. {error.cause}")
            await self._save(user, session.model_copy(update={"confirmed": self._clock(), "name": person.name}))
            return Finding(Standing.CONFIRMED, person)

    async def delegate(self, user: HubUser, *, audience: str, scope: Sequence[str], by_exchange: bool) -> Grant:
        """Return an access token of a user's for one audience, with no more than this scope.

        Raises
        ------
        IamRefused
            If the provider does not give it, or nobody is signed in.
        IamUnreachable
            If it cannot be asked.
        """
        async with self._lock(user.name):
            session = await self._load(user)
            if session is None:
                raise IamRefused("invalid_grant", "Nobody is signed in with this name.")
            if by_exchange:
                if session.expires - self._clock() < _SOON:
                    session, _ = await self._renew(user, session)
                return await self._provider.exchange(session.access_token, scope=scope, audience=audience)
            if session.refresh_token is None:
                raise IamRefused("invalid_grant", "The session has no refresh token; offline_access is not among the hub's scopes.")
            grant = await self._spend(user, session, session.refresh_token, scope=scope, audience=audience)
            kept = {"refresh_token": grant.refresh_token or session.refresh_token, "in_doubt": False}
            await self._save(user, session.model_copy(update=kept))
            return grant

    async def end(self, user: HubUser) -> None:
        """Forget a session, and have the provider revoke it."""
        async with self._lock(user.name):
            session = await self._load(user)
            if session is None:
                return
            await user.save_auth_state(None)
            await self._revoke(session)

    @asynccontextmanager
    async def replaced(self, name: str, find: Callable[[], HubUser | None]) -> AsyncIterator[HubUser | None]:
        """Hold the lock while a sign-in is stored, so that no refresh of the session before comes between; then revoke that one.

        Yields whom `find` has found.

        Nobody waits for the revocation: what is forgotten here serves nobody any more.

        Parameters
        ----------
        name
            Who signs in.
        find
            Finds them, if they were here before.
        """
        async with self._lock(name):
            user = find()
            before = None if user is None else await self._load(user)
            yield user
        if before is not None:
            self._background.start(self._revoke(before))

    async def _renew(self, user: HubUser, session: Session) -> tuple[Session, Grant]:
        if session.refresh_token is None:
            if session.expires < self._clock():
                raise IamRefused("invalid_grant", "The access token has expired, and there is no refresh token.")
            return session, session.grant()
        grant = await self._spend(user, session, session.refresh_token)
        renewed = session.renewed(grant)
        await self._save(user, renewed)
        return renewed, grant

    async def _spend(self, user: HubUser, session: Session, token: str, *, scope: Sequence[str] = (), audience: str = "") -> Grant:
        try:
            return await self._provider.renew(token, scope=scope, audience=audience)
        except IamUnreachable as error:
            if error.in_doubt and not session.in_doubt:
                await self._save(user, session.model_copy(update={"in_doubt": True}))
            raise

    def _is_doubtful(self, session: Session) -> bool:
        return session.in_doubt and self._clock() - session.confirmed < self._grace

    def _without_answer(self, session: Session, why: str) -> Finding:
        if self._clock() - session.confirmed < self._grace:
            return Finding(Standing.KEPT, why=why)
        return Finding(Standing.ENDED, why=f"The provider could not be asked for {self._grace:g} s. {why}")

    async def _load(self, user: HubUser) -> Session | None:
        try:
            return Session.model_validate(await user.get_auth_state())
        except ValidationError:
            return None  # nothing, or what another authenticator left

    async def _save(self, user: HubUser, session: Session) -> None:
        await user.save_auth_state(session.model_dump())

    async def _revoke(self, session: Session) -> None:
        # Where this fails it is forgotten here all the same, and ends there by itself.
        with suppress(IamRefused, IamUnreachable):
            await self._provider.revoke(session.refresh_token or session.access_token)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


_SOON: Final = 60.0
"""Seconds that an access token must have left to be exchanged."""
