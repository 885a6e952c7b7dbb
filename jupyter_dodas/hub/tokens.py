"""Access tokens for what people run: short-lived, for one audience, and only what the hub's policy lists. Never a refresh token."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any, Final, Protocol

from jupyterhub import orm  # type: ignore[import-untyped]
from jupyterhub.apihandlers.base import APIHandler  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import bindparam, select
from tornado import web

from jupyter_dodas.errors import DodasError, IamRefused, IamUnreachable
from jupyter_dodas.hub.audit import Audit
from jupyter_dodas.hub.session import HubUser, Sessions
from jupyter_dodas.iam.flights import Flights
from jupyter_dodas.iam.provider import Grant, Provider

__all__ = ["SCOPE", "TokenDesk", "TokenHandler", "TokenRequest", "Visits", "permitted"]

SCOPE: Final = "custom:dodas:tokens"
"""The hub's scope that lets a server ask for tokens of its user, and a service that has it for all of them for those of anybody."""

Word = Annotated[str, Field(max_length=300, pattern=r"^[\x21-\x7e]+$")]


class TokenRequest(BaseModel):
    """What a program asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audience: Annotated[str, Field(max_length=300, pattern=r"^[\x21-\x7e]*$")] = ""
    scopes: Annotated[tuple[Word, ...], Field(max_length=50)] = ()
    user: Annotated[str, Field(max_length=255)] = ""
    """Whose; by default whoever asks. Only services of the hub name one."""


def permitted(policy: Mapping[str, Sequence[str]], asked: TokenRequest) -> TokenRequest:
    """Return what is given for a request: an audience of the policy, and scopes that it lists for it.

    Parameters
    ----------
    policy
        Scopes by audience. The first audience is given to who names none, and all its scopes to who names none.
    asked
        The request.

    Raises
    ------
    IamRefused
        If the policy does not list it.
    """
    if not policy:
        raise IamRefused("access_denied", "This hub gives no tokens: its policy (IAMAuthenticator.audiences) is empty.")
    audience = asked.audience or next(iter(policy))
    if audience not in policy:
        raise IamRefused("access_denied", f"This hub gives no tokens for {audience}. It does for: {', '.join(policy)}.")
    listed = policy[audience]
    for scope in asked.scopes:
        if not any(_covers(one, scope) for one in listed):
            raise IamRefused("access_denied", f"For {audience} this hub does not give {scope}, but: {' '.join(listed)}.")
    return TokenRequest(audience=audience, scopes=tuple(sorted(set(asked.scopes or listed))))


def _covers(listed: str, asked: str) -> bool:
    """Whether a scope is the one that is listed, or a path below it: ``storage.read:/cms`` covers its folders, not ``/cms-x``."""
    if asked == listed:
        return True
    path = asked.partition(":")[2]
    plain = ".." not in path.split("/") and "//" not in path and "%" not in path
    return ":/" in listed and plain and asked.startswith(listed.rstrip("/") + "/")


class TokenDesk:
    """Gives tokens, and keeps those that last for who asks again.

    Parameters
    ----------
    sessions, provider
        Whose tokens, and who makes them.
    policy
        See `permitted`.
    by_exchange
        Make them by token exchange, and not with the refresh token.
    audit
        Where each one that is made is noted.
    """

    def __init__(
        self, sessions: Sessions, provider: Provider, policy: Mapping[str, Sequence[str]], by_exchange: bool, audit: Audit
    ) -> None:
        self._sessions, self._provider, self._policy = sessions, provider, policy
        self._by_exchange = by_exchange
        self._audit = audit
        self._kept: dict[str, dict[TokenRequest, Grant]] = {}
        self._flights: Flights[Grant] = Flights()

    async def give(self, user: HubUser, asked: TokenRequest, whom: str) -> tuple[TokenRequest, Grant]:
        """Return what is given and the token, which has at least half of its life before it.

        Parameters
        ----------
        user
            Whose.
        asked
            What for.
        whom
            Who asks, for the audit.

        Raises
        ------
        IamRefused, IamUnreachable
            See `permitted` and `Sessions.delegate`.
        """
        wanted = permitted(self._policy, asked)
        kept = self.lasting(user.name, wanted)
        if kept is None:
            kept = self._kept.get(user.name, {}).get(wanted)
            try:
                kept = await self._flights.join((user.name, wanted), lambda: self._make(user, wanted, whom))
            except IamUnreachable:
                if kept is None or time.time() > kept.expires:
                    raise
        return wanted, kept

    def lasting(self, name: str, wanted: TokenRequest) -> Grant | None:
        """Return a token that would be given at once; None if somebody has to be asked for it."""
        kept = self._kept.get(name, {}).get(wanted)
        return None if kept is None or time.time() > kept.expires - kept.lifetime / 2 else kept

    def forget(self, name: str) -> None:
        """Give none of the tokens of a user again."""
        self._kept.pop(name, None)

    async def _make(self, user: HubUser, wanted: TokenRequest, whom: str) -> Grant:
        grant = await self._sessions.delegate(user, audience=wanted.audience, scope=wanted.scopes, by_exchange=self._by_exchange)
        await self._check(grant, wanted)
        self._kept.setdefault(user.name, {})[wanted] = grant
        self._audit.note("token", user=user.name, audience=wanted.audience, scopes=list(wanted.scopes), whom=whom)
        return grant

    async def _check(self, grant: Grant, wanted: TokenRequest) -> None:
        """See that the provider gave no more than it was asked for; some pass over what they do not know."""
        claims = await self._provider.access_claims(grant.access_token) or {}
        audience = claims.get("aud", wanted.audience)
        if wanted.audience not in (audience if isinstance(audience, list) else [audience]):
            raise IamRefused("invalid_target", "The provider made a token for another audience; it is not handed out.")
        given = set(str(claims.get("scope") or "").split()) or set(grant.scope)
        if given and not given <= set(wanted.scopes):
            raise IamRefused("invalid_scope", "The provider made a token with more scopes than asked for; it is not handed out.")


@dataclass(frozen=True)
class _Visit:
    """A request that was granted, and is granted again without all the questions, until the hub would ask IAM about its user."""

    token: int
    """The hub's token that it came with, by its number."""
    user: str
    given: TokenRequest
    until: float


class Visits:
    """What programs have asked for lately. They ask again and again, each time with the same words."""

    def __init__(self, most: int = 10_000) -> None:
        self._known: dict[bytes, _Visit] = {}
        self._most = most

    @staticmethod
    def _key(credential: str, body: bytes) -> bytes:
        return hashlib.sha256(credential.encode() + b"\0" + body).digest()

    def find(self, credential: str, body: bytes) -> _Visit | None:
        """Return a visit with these very words, if there was one and it still holds."""
        found = self._known.get(self._key(credential, body))
        return found if found is not None and time.time() < found.until else None

    def note(self, credential: str, body: bytes, visit: _Visit) -> None:
        """Remember a visit."""
        if len(self._known) >= self._most:
            now = time.time()
            self._known = {key: one for key, one in self._known.items() if now < one.until}
        if len(self._known) < self._most:
            self._known[self._key(credential, body)] = visit


_TOKENS: Final = orm.APIToken.__table__
_WITH_NUMBER: Final = select(_TOKENS.c.id).where(_TOKENS.c.id == bindparam("number"))
"""Made once, and below the objects of the hub: it is asked for with every request."""


class Desked(Protocol):
    """An authenticator that gives tokens."""

    desk: TokenDesk
    visits: Visits
    auth_refresh_age: float


class TokenHandler(APIHandler):  # type: ignore[misc]
    """``POST /hub/api/dodas/token``: for programs with a token of the hub. A browser's cookie opens nothing here.

    JupyterHub takes 1.5 ms of computing to find out who asks and what they may, which for most requests it has done before.
    """

    _accept_cookie_auth = False

    async def prepare(self) -> None:
        """Answer who was here before; have the hub find out about all others."""
        known = self._desk.visits.find(self._credential, self.request.body) if self.request.method == "POST" else None
        if known is not None and (grant := self._desk.desk.lasting(known.user, known.given)) and self._still_there(known.token):
            self._hand_out(known.given, grant)
        else:
            await super().prepare()

    async def post(self) -> None:
        """Give a token of the user whose server asks, or whom a service names that may ask for everybody's."""
        if self.current_user is None:
            raise web.HTTPError(HTTPStatus.FORBIDDEN, "Only the server of a user, signed in, can ask for a token.")
        try:
            asked = TokenRequest.model_validate_json(self.request.body or b"{}")
        except ValidationError as error:
            detail = error.errors()[0]
            where = ".".join(str(part) for part in detail["loc"]) or "the request"
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, f"{where}: {detail['msg']}") from None
        user = self._meant(asked)
        if user is not self.current_user and await self.refresh_auth(user) is None:
            raise web.HTTPError(HTTPStatus.FORBIDDEN, f"{user.name} has to sign in again.")
        try:
            given, grant = await self._desk.desk.give(user, asked, self._whom())
        except DodasError as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE if error.retryable else HTTPStatus.FORBIDDEN
            raise web.HTTPError(status, f"{error.message}. {error.cause}") from None
        self._remember(user, given)
        self._hand_out(given, grant)

    def _meant(self, asked: TokenRequest) -> Any:
        """Return the user of whom a token is asked for, and may be."""
        user = self.current_user
        if getattr(user, "kind", "") != "user":
            # Who may ask for everybody is told who there is; nobody else is.
            if not self.has_scope(SCOPE) or not asked.user:
                raise web.HTTPError(HTTPStatus.FORBIDDEN, "Only the server of a user, signed in, can ask for a token.")
            user = self.find_user(asked.user)
            if user is None:
                raise web.HTTPError(HTTPStatus.NOT_FOUND, f"The hub knows no user {asked.user!r}: they have to sign in first.")
        elif asked.user not in ("", user.name):
            raise web.HTTPError(HTTPStatus.FORBIDDEN, "A server can ask for tokens of its own user only.")
        # The decorator of the hub knows no custom scopes: they are defined after this module is imported.
        if not self.has_scope(f"{SCOPE}!user={user.name}"):
            raise web.HTTPError(HTTPStatus.FORBIDDEN, f"The token of this server lacks the scope {SCOPE}.")
        return user

    def _hand_out(self, given: TokenRequest, grant: Grant) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(
            {
                "access_token": grant.access_token,
                "token_type": "Bearer",
                "expires_in": max(0, int(grant.expires - time.time())),
                "audience": given.audience,
                "scope": " ".join(given.scopes),
            }
        )

    @property
    def _desk(self) -> Desked:
        desked: Desked = self.authenticator
        return desked

    @property
    def _credential(self) -> str:
        return str(self.request.headers.get("Authorization", ""))

    def _still_there(self, token: int) -> bool:
        """Whether a token of the hub was not revoked meanwhile, by whomever."""
        return self.db.connection().execute(_WITH_NUMBER, {"number": token}).first() is not None

    def _remember(self, user: Any, given: TokenRequest) -> None:
        token: Any = self.get_token()
        if token is None or not user._auth_refreshed:  # noqa: SLF001 - the hub keeps it nowhere else
            return
        until = time.time() + self._desk.auth_refresh_age - (time.monotonic() - user._auth_refreshed)  # noqa: SLF001
        if token.expires_at is not None:
            until = min(until, token.expires_at.replace(tzinfo=UTC).timestamp())
        self._desk.visits.note(self._credential, self.request.body, _Visit(token.id, user.name, given, until))

    def _whom(self) -> str:
        if getattr(self.current_user, "kind", "") == "service":
            return f"service {self.current_user.name}"
        token: Any = self.get_token()
        return str(getattr(token, "note", "") or "")[:100]
