"""Whether a token is what it should be: signed by the provider, for us, of now."""

from collections.abc import Mapping
from typing import Any, Final

import jwt

from jupyter_dodas.errors import TokenInvalid
from jupyter_dodas.iam.discovery import same_issuer
from jupyter_dodas.iam.keys import ALGORITHMS

__all__ = ["Claims", "verify_access_token", "verify_id_token"]

_LEEWAY: Final = 30
"""Seconds by which the clocks of provider and hub may differ."""

Claims = Mapping[str, Any]
"""What a token says, by name."""


def verify_id_token(token: str, key: jwt.PyJWK, *, issuer: str, client: str, nonce: str | None) -> Claims:
    """Return the claims of an ID token.

    Parameters
    ----------
    token
        As the provider gave it.
    key
        The provider's, by the name in the token.
    issuer, client
        Who must have issued it, and for whom.
    nonce
        What was sent along when the sign-in began; None for a token that came with a refresh.

    Raises
    ------
    TokenInvalid
        With what is wrong. Never with the token.
    """
    kind = "ID token"
    claims = _decoded(token, key, kind, issuer, require=["exp", "iat", "sub", "iss", "aud"], audience=client)
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client:
        raise TokenInvalid(kind, "It is for several clients, and was not given to this one.")
    if nonce is not None and claims.get("nonce") != nonce:
        raise TokenInvalid(kind, "It does not belong to this sign-in: its nonce is another.")
    return claims


def verify_access_token(token: str, key: jwt.PyJWK, *, issuer: str) -> Claims:
    """Return the claims of an access token that is a JWT. Raises as `verify_id_token` does.

    For whom it is says the caller: the hub also handles tokens for others.
    """
    return _decoded(token, key, "access token", issuer, require=["exp", "sub", "iss"], audience=None)


def _decoded(token: str, key: jwt.PyJWK, kind: str, issuer: str, *, require: list[str], audience: str | None) -> Claims:
    algorithms = [key.algorithm_name] if key.algorithm_name in ALGORITHMS else []
    options: dict[str, Any] = {"require": require, "verify_aud": audience is not None}
    try:
        claims: Claims = jwt.decode(token, key.key, algorithms, audience=audience, leeway=_LEEWAY, options=options)  # type: ignore[arg-type]
    except jwt.InvalidTokenError as error:
        raise TokenInvalid(kind, _WORDS.get(type(error), "Its signature or its claims do not hold.")) from None
    if not same_issuer(claims["iss"], issuer):
        raise TokenInvalid(kind, "It is of another issuer.")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise TokenInvalid(kind, "It says of nobody whose it is.")
    return claims


_WORDS: Final[Mapping[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "It has expired. If that happens often, the clocks differ.",
    jwt.ImmatureSignatureError: "It is not valid yet: the clocks differ.",
    jwt.InvalidAudienceError: "It is for another client.",
    jwt.InvalidSignatureError: "Its signature is not that of the provider.",
    jwt.InvalidAlgorithmError: "It is signed in another way than its key says.",
    jwt.MissingRequiredClaimError: "It lacks a claim that it must have.",
}
