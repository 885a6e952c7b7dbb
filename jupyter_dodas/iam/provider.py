"""An OpenID provider as its client sees it: sign in, renew, delegate, revoke; and who somebody is, verified."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from jupyter_dodas.errors import IamUnreachable, TokenInvalid
from jupyter_dodas.iam.discovery import Discovery, Metadata
from jupyter_dodas.iam.keys import Keys
from jupyter_dodas.iam.profiles import Profile, groups, profile_of
from jupyter_dodas.iam.transport import PATIENCE, Transport
from jupyter_dodas.iam.verify import Claims, verify_access_token, verify_id_token

__all__ = ["EXCHANGE", "Grant", "Person", "Provider"]

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token

_UNKNOWN_LIFETIME: Final = 300.0
"""Seconds that a token is taken to last if the provider does not say."""


@dataclass(frozen=True)
class Grant:
    """What the provider gave."""

    access_token: str = field(repr=False)
    expires: float
    """When the access token does, in seconds since 1970."""
    lifetime: float
    """How many seconds it had when it was given."""
    scope: frozenset[str] = frozenset()
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Person:
    """Who somebody is, from verified sources."""

    subject: str
    """The name that never changes, and that only the provider gives."""
    username: str
    name: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()


class Provider:
    """One issuer, and us as its client.

    Parameters
    ----------
    issuer
        Its address.
    client
        Our id there.
    secret
        Gives the secret when it is needed, so that no object holds it.
    profile
        Where it says the groups; by default that is seen from the tokens.
    patience
        Seconds for each request.
    """

    def __init__(
        self, issuer: str, client: str, secret: Callable[[], str], *, profile: Profile | None = None, patience: float = PATIENCE
    ) -> None:
        self.client = client
        self._secret = secret
        self._profile = profile
        self._transport = Transport(patience)
        self._discovery = Discovery(issuer, self._transport)
        self._keys = Keys(self._fetch_keys)

    @property
    def issuer(self) -> str:
        """The address of the issuer, as it was configured."""
        return self._discovery.issuer

    async def metadata(self) -> Metadata:
        """See `Discovery.metadata`."""
        return await self._discovery.metadata()

    async def count_keys(self) -> int:
        """Return how many keys there are to verify tokens with, asked anew. Raises as `redeem` does."""
        return await self._keys.count()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def sign_in_address(
        self, *, back_to: str, scope: Iterable[str], state: str, nonce: str, challenge: str, more: Mapping[str, str]
    ) -> str:
        """Return where the browser must go to sign in; with more in the query, if the provider wants more."""
        asked = {
            **more,
            "response_type": "code",
            "client_id": self.client,
            "redirect_uri": back_to,
            "scope": " ".join(scope),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = (await self.metadata()).authorization_endpoint
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    async def redeem(self, code: str, *, verifier: str, back_to: str) -> Grant:
        """Trade the code that the browser brought for tokens.

        Raises
        ------
        IamRefused
            If it is wrong, used, or of another sign-in.
        IamUnreachable
            If the provider does not answer.
        """
        return await self._grant("authorization_code", code=code, code_verifier=verifier, redirect_uri=back_to)

    async def renew(self, refresh_token: str, *, scope: Iterable[str] = (), audience: str = "") -> Grant:
        """Trade a refresh token for tokens, with less scope or for one audience if that is asked for. Raises as `redeem` does.

        The refresh token may be another one now, and the old one dead: store it before anything else.
        """
        # IAM reads either name of the audience.
        asked = {"scope": " ".join(scope), "audience": audience, "resource": audience if "://" in audience else ""}
        return await self._grant("refresh_token", refresh_token=refresh_token, **asked)

    async def exchange(self, access_token: str, *, scope: Iterable[str], audience: str) -> Grant:
        """Trade an access token for one with this scope, for this audience. Raises as `redeem` does."""
        return await self._grant(
            EXCHANGE, subject_token=access_token, subject_token_type=_ACCESS_TOKEN, scope=" ".join(scope), audience=audience
        )

    async def revoke(self, token: str) -> None:
        """Make a token worthless, and with a refresh token all that came of it. Raises as `redeem` does."""
        if address := (await self.metadata()).revocation_endpoint:
            await self._transport.post(address, {"token": token}, self._credentials())

    async def identify(self, grant: Grant, *, nonce: str) -> Person:
        """Return who has signed in, by the ID token of this sign-in.

        Raises
        ------
        TokenInvalid
            If anything about it does not hold.
        """
        if grant.id_token is None:
            raise TokenInvalid("ID token", "The provider sent none. Is openid among the scopes?")
        return await self._person(grant, await self._id_claims(grant.id_token, nonce))

    async def recognise(self, grant: Grant, subject: str) -> Person:
        """Return what is now known of somebody who has signed in before. Raises as `identify` does."""
        claims: Claims = {} if grant.id_token is None else await self._id_claims(grant.id_token, None)
        return await self._person(grant, {"sub": subject, **claims}, subject)

    async def access_claims(self, token: str) -> Claims | None:
        """Return the claims of an access token, or None if it is not one whose signature can be verified."""
        try:
            key = await self._keys.find(token, "access token")
            return verify_access_token(token, key, issuer=(await self.metadata()).issuer)
        except TokenInvalid:
            return None

    async def _person(self, grant: Grant, claims: Claims, subject: str | None = None) -> Person:
        userinfo = await self._transport.get((await self.metadata()).userinfo_endpoint, bearer=grant.access_token)
        if userinfo.get("sub") != claims["sub"] or (subject is not None and claims["sub"] != subject):
            raise TokenInvalid("userinfo", "It is about somebody else than the ID token.")
        access = await self.access_claims(grant.access_token)
        if access is not None and access["sub"] != claims["sub"]:
            raise TokenInvalid("access token", "It is about somebody else than the ID token.")

        def said(name: str) -> str:
            value = userinfo.get(name, claims.get(name))
            return value if isinstance(value, str) else ""

        return Person(
            subject=claims["sub"],
            username=said("preferred_username"),
            name=said("name"),
            email=said("email"),
            groups=groups(self._profile or profile_of(userinfo, access), userinfo, access),
        )

    async def _id_claims(self, token: str, nonce: str | None) -> Claims:
        key = await self._keys.find(token, "ID token")
        return verify_id_token(token, key, issuer=self.issuer, client=self.client, nonce=nonce)

    async def _grant(self, kind: str, **form: str) -> Grant:
        asked = {"grant_type": kind, **{name: value for name, value in form.items() if value}}
        began = time.time()
        reply = await self._transport.post((await self.metadata()).token_endpoint, asked, self._credentials())
        if not isinstance(reply.get("access_token"), str):
            raise IamUnreachable(self.issuer, "It granted something without an access token.", in_doubt=True)
        lifetime = _seconds(reply.get("expires_in"))
        return Grant(
            access_token=reply["access_token"],
            expires=began + lifetime,
            lifetime=lifetime,
            scope=frozenset(str(reply.get("scope") or form.get("scope", "")).split()),
            refresh_token=_text(reply.get("refresh_token")),
            id_token=_text(reply.get("id_token")),
        )

    def _credentials(self) -> tuple[str, str]:
        return self.client, self._secret()

    async def _fetch_keys(self) -> Mapping[str, Any]:
        return await self._transport.get((await self.metadata()).jwks_uri)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _UNKNOWN_LIFETIME
