"""Signed words that open a dashboard: a code that a browser uses once, and the cookie that it gets for it.

Both are made from the dashboard's secret, so that whoever holds it can make a code without a call, and a restarted scheduler
still knows its cookies. A word is ``expiry.nonce.signature``; what it is for is part of what is signed.
"""

import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["DASHBOARD", "LIFETIME", "Purpose", "Word", "make", "read"]

DASHBOARD: Final = "dashboard.token"
"""The file of what opens the dashboard: as a bearer token, or as the key of one-time sign-in codes."""


class Purpose(StrEnum):
    """What a word is for."""

    CODE = "code"
    COOKIE = "cookie"


LIFETIME: Final = {Purpose.CODE: 60, Purpose.COOKIE: 12 * 3600}
"""Seconds that a word is good for."""

_SKEW: Final = 5.0
"""Seconds that the clocks of the maker and the reader may differ."""


@dataclass(frozen=True)
class Word:
    """A word whose signature is right and whose time has not passed.

    Parameters
    ----------
    nonce
        Tells it apart from all others.
    made, expires
        Unix seconds.
    """

    nonce: str
    made: float
    expires: float


def make(secret: bytes, purpose: Purpose, now: float) -> str:
    """Make a word at the time `now`, in Unix seconds."""
    body = f"{int(now) + LIFETIME[purpose]}.{secrets.token_urlsafe(16)}"
    return f"{body}.{_sign(secret, purpose, body)}"


def read(secret: bytes, purpose: Purpose, text: str, now: float) -> Word | None:
    """Read a word at the time `now`; None if it was not made with this secret for this purpose, or has expired."""
    body, _, signature = text.rpartition(".")
    if not hmac.compare_digest(_sign(secret, purpose, body).encode(), signature.encode()):
        return None
    expiry, _, nonce = body.partition(".")
    word = Word(nonce, made=int(expiry) - LIFETIME[purpose], expires=int(expiry))
    return word if word.made - _SKEW <= now < word.expires else None


def _sign(secret: bytes, purpose: Purpose, body: str) -> str:
    return hmac.digest(secret, f"{purpose}.{body}".encode(), "sha256").hex()
