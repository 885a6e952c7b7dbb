"""Access tokens for what people run: short-lived, for one audience, and only what the hub's policy lists. Never a refresh token."""

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Protocol

from jupyterhub.apihandlers.base import APIHandler  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado import web

from jupyter_dodas.errors import DodasError, IamRefused, IamUnreachable
from jupyter_dodas.hub.audit import Audit
from jupyter_dodas.hub.session import HubUser, Sessions
from jupyter_dodas.iam.flights import Flights
from jupyter_dodas.iam.provider import Grant, Provider

__all__ = ["SCOPE", "TokenDesk", "TokenHandler", "TokenRequest", "permitted"]

SCOPE: Final = "custom:dodas:tokens"
"""The hub's scope that lets a server ask for tokens of its user."""

Word = Annotated[str, Field(max_length=300, pattern=r"^[\x21-\x7e]+$")]


class TokenRequest(BaseModel):
    """What a program asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audience: Annotated[str, Field(max_length=300, pattern=r"^[\x21-\x7e]*$")] = ""
    scopes: Annotated[tuple[Word, ...], Field(max_length=50)] = ()


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
        kept = self._kept.get(user.name, {}).get(wanted)
        if kept is None or time.time() > kept.expires - kept.lifetime / 2:
            try:
                kept = await self._flights.join((user.name, wanted), lambda: self._make(user, wanted, whom))
            except IamUnreachable:
                if kept is None or time.time() > kept.expires:
                    raise
        return wanted, kept

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


class Desked(Protocol):
    """An authenticator that gives tokens."""

    desk: TokenDesk


class TokenHandler(APIHandler):  # type: ignore[misc]
    """``POST /hub/api/dodas/token``: for programs with a token of the hub. A browser's cookie opens nothing here."""

    _accept_cookie_auth = False

    async def post(self) -> None:
        """Give a token of the user whose server asks."""
        user = self.current_user
        if user is None or getattr(user, "kind", "") != "user":
            raise web.HTTPError(HTTPStatus.FORBIDDEN, "Only the server of a user, signed in, can ask for a token.")
        # The decorator of the hub knows no custom scopes: they are defined after this module is imported.
        if not self.has_scope(f"{SCOPE}!user={user.name}"):
            raise web.HTTPError(HTTPStatus.FORBIDDEN, f"The token of this server lacks the scope {SCOPE}.")
        try:
            asked = TokenRequest.model_validate_json(self.request.body or b"{}")
        except ValidationError as error:
            detail = error.errors()[0]
            where = ".".join(str(part) for part in detail["loc"]) or "the request"
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, f"{where}: {detail['msg']}") from None
        authenticator: Desked = self.authenticator
        try:
            given, grant = await authenticator.desk.give(user, asked, self._whom())
        except DodasError as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE if error.retryable else HTTPStatus.FORBIDDEN
            raise web.HTTPError(status, f"{error.message}. {error.cause}") from None
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

    def _whom(self) -> str:
        token: Any = self.get_token()
        return str(getattr(token, "note", "") or "")[:100]
