"""Who calls, and what they may do: by the server's own token, by IAM's, or by the policy for callers without one.

What was found of a token is kept by its hash until it expires, so that a request costs one look; a token that did not hold is kept
too, for a while, so that whoever tries it again does not make the issuer work.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jupyter_dodas.errors import DodasError, IamRefused, InvalidSetting, NotAllowed, TokenInvalid, Unauthenticated
from jupyter_dodas.iam.discovery import Discovery
from jupyter_dodas.iam.keys import Keys
from jupyter_dodas.iam.profiles import Profile, groups, profile_of
from jupyter_dodas.iam.transport import Transport
from jupyter_dodas.iam.verify import verify_access_token
from jupyter_dodas.inference.settings import Settings

__all__ = ["ANONYMOUS", "EVERYTHING", "OWNER", "Access", "Caller", "Right", "require"]

_MOST: Final = 10_000
"""Tokens of which the verdict is kept; each takes some 500 bytes."""

_BAD: Final = 60.0
"""Seconds that a token which did not hold is not looked at again."""

_LARGEST: Final = 16_384
"""Bytes of an Authorization header; IAM's tokens with many groups have 4,000."""

Clock = Callable[[], float]


class Right(StrEnum):
    """What a caller may do."""

    PREDICT = "predict"
    UPLOAD = "upload"
    PUBLISH = "publish"
    """Publish, roll back and delete."""


EVERYTHING: Final = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    name
        ``subject@host-of-the-issuer``; ``owner`` for the server's own token; ``anonymous``.
    administrator
        Whether what others have staged is theirs to see and to change as well.
    """

    name: str
    rights: frozenset[Right]
    groups: frozenset[str] = frozenset()
    administrator: bool = False


OWNER: Final = Caller("owner", EVERYTHING, administrator=True)
ANONYMOUS: Final[Mapping[str, Caller]] = {
    "predict": Caller("anonymous", frozenset({Right.PREDICT})),
    "all": Caller("anonymous", EVERYTHING),
}
"""By the policy. There is nobody for ``none``."""


def require(caller: Caller, right: Right) -> None:
    """Refuse a caller without this right.

    Raises
    ------
    NotAllowed
        With what they may do.
    """
    if right not in caller.rights:
        may = ", ".join(sorted(caller.rights)) or "nothing"
        raise NotAllowed(
            f"{caller.name} may not {right} here",
            cause=f"With this token one may: {may}.",
            remedy="Ask whoever runs this endpoint, or use a token of a group that may.",
        )


class Access:
    """The verdicts on tokens.

    Parameters
    ----------
    settings
        Whose tokens count, and for what.
    clock
        Seconds since 1970.
    """

    def __init__(self, settings: Settings, clock: Clock = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self.anonymous: Final = ANONYMOUS.get(settings.anonymous)
        self._own = None if settings.token_file is None else _digest(_read(settings.token_file))
        self._issuer = None if settings.issuer is None else _Issuer(settings.issuer)
        self._known: OrderedDict[bytes, tuple[Caller | DodasError, float]] = OrderedDict()

    def known(self, header: bytes | None) -> Caller | None:
        """Return who sent this Authorization header if that is known already: of a request without one, or one seen before.

        Raises
        ------
        Unauthenticated
            Without a token where one is needed, or with one that did not hold a while ago.
        """
        if header is None:
            if self.anonymous is None:
                raise _without_token()
            return self.anonymous
        verdict = self._known.get(hashlib.sha256(header).digest())
        if verdict is None or verdict[1] <= self._clock():
            return None
        if isinstance(verdict[0], DodasError):
            raise verdict[0].with_traceback(None)
        return verdict[0]

    async def identify(self, header: bytes | None) -> Caller:
        """Return who sent this Authorization header.

        Raises
        ------
        Unauthenticated
            If it holds no token, or one that does not hold.
        NotAllowed
            If its owner may do nothing here.
        IamUnreachable
            If its issuer must be asked, and does not answer.
        """
        caller = self.known(header)
        if caller is not None:
            return caller
        assert header is not None  # of none, the answer is always known
        try:
            caller, until = await self._judge(header)
        except (Unauthenticated, NotAllowed) as error:
            self._keep(header, error, self._clock() + _BAD)
            raise
        self._keep(header, caller, until)
        return caller

    async def close(self) -> None:
        """Close the connections to the issuer."""
        if self._issuer is not None:
            await self._issuer.close()

    def _keep(self, header: bytes, verdict: Caller | DodasError, until: float) -> None:
        name = hashlib.sha256(header).digest()
        self._known[name] = (verdict, until)
        self._known.move_to_end(name)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    async def _judge(self, header: bytes) -> tuple[Caller, float]:
        scheme, _, token = header.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token or len(header) > _LARGEST:
            raise Unauthenticated("The Authorization header holds no bearer token", remedy="Send: Authorization: Bearer TOKEN")
        if self._own is not None and hmac.compare_digest(_digest(token), self._own):
            return OWNER, float("inf")
        if self._issuer is None:
            raise Unauthenticated(
                "This is not the token of the endpoint",
                cause="It takes no other.",
                remedy="Take the one that its owner has: of a cluster, `cluster.client()` has it.",
            )
        try:
            claims = await self._issuer.claims(token.decode("ascii", "replace"))
            return self._admit(self._issuer.host, claims, await self._groups(token.decode(), claims)), float(claims["exp"])
        except TokenInvalid as error:
            raise Unauthenticated("The token does not hold", cause=error.cause, remedy="Get a new one from your IAM.") from None

    async def _groups(self, token: str, claims: Mapping[str, Any]) -> frozenset[str]:
        profile = profile_of(claims, claims)
        found = groups(profile, claims, claims)
        asked = self._settings
        matters = asked.groups or asked.upload_groups or asked.publish_groups or asked.administrators
        if found or profile is Profile.WLCG or not matters or self._issuer is None:
            return found
        return await self._issuer.groups(token, claims)

    def _admit(self, host: str, claims: Mapping[str, Any], member: frozenset[str]) -> Caller:
        asked = self._settings
        name = f"{claims['sub']}@{host}"
        meant = claims.get("aud")
        audience = {meant} if isinstance(meant, str) else {one for one in meant or () if isinstance(one, str)}
        if not audience & set(asked.audience):
            raise Unauthenticated(
                "The token is for another service",
                cause=f"It is not for the audience {' or '.join(asked.audience)}.",
                remedy="Ask your IAM for one with that audience.",
            )
        scopes = frozenset(str(claims.get("scope") or "").split())
        if lacking := set(asked.scopes) - scopes:
            raise NotAllowed(
                f"{name} may do nothing here",
                cause=f"The token lacks the scope {', '.join(sorted(lacking))}.",
                remedy="Ask your IAM for it.",
            )
        administrator = _is_in(member, asked.administrators)
        if not administrator and asked.groups and not _is_in(member, asked.groups):
            raise NotAllowed(
                f"{name} may do nothing here",
                cause=f"Only members of {' or '.join(asked.groups)} may.",
                remedy="Ask whoever runs this endpoint.",
            )
        rights = {Right.PREDICT}
        for right, those, with_scopes in (
            (Right.UPLOAD, asked.upload_groups, asked.upload_scopes),
            (Right.PUBLISH, asked.publish_groups, asked.publish_scopes),
        ):
            if administrator or "*" in those or _is_in(member, those) or scopes & set(with_scopes):
                rights.add(right)
        return Caller(name, frozenset(rights), member, administrator)


class _Issuer:
    """One IAM: its keys, found by its discovery document."""

    def __init__(self, address: str) -> None:
        self.host: Final = urlsplit(address).hostname or address
        self._transport = Transport()
        self._discovery = Discovery(address, self._transport)
        self._keys = Keys(self._fetch)

    async def claims(self, token: str) -> Mapping[str, Any]:
        key = await self._keys.find(token, "access token")
        return verify_access_token(token, key, issuer=(await self._discovery.metadata()).issuer)

    async def groups(self, token: str, claims: Mapping[str, Any]) -> frozenset[str]:
        """Ask for the groups of the token's owner: with some profiles of IAM a token does not say them."""
        try:
            said = await self._transport.get((await self._discovery.metadata()).userinfo_endpoint, bearer=token)
        except IamRefused:
            return frozenset()  # such a token, as one of a program, has no person behind it
        return groups(profile_of(said, claims), said, claims) if said.get("sub") == claims["sub"] else frozenset()

    async def close(self) -> None:
        await self._transport.close()

    async def _fetch(self) -> Mapping[str, Any]:
        return await self._transport.get((await self._discovery.metadata()).jwks_uri)


def _without_token() -> Unauthenticated:
    return Unauthenticated(
        "This endpoint wants a token",
        cause="The request has no Authorization header.",
        remedy="Send: Authorization: Bearer TOKEN",
    )


def _is_in(member: frozenset[str], those: tuple[str, ...]) -> bool:
    """Whether one of the groups is among those, or below one of them."""
    return any(group == one or group.startswith(f"{one}/") for one in (that.strip("/") for that in those) for group in member)


def _read(file: Path) -> bytes:
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise InvalidSetting(f"{file} cannot be read", cause=str(error), remedy="Write the token into it.") from error
    if len(token) < 16:
        raise InvalidSetting(
            f"The token in {file} is too short", cause="It could be guessed.", remedy="Make one: openssl rand -hex 32 > FILE"
        )
    return token


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
