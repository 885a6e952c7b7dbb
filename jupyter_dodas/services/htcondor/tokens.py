"""Tokens of a pool: who may do what, signed with the pool's own key.

They are HTCondor's IDTOKENS: JSON Web Tokens by HMAC, whose key is derived from the file of the signing key. Only the manager holds
that; whoever else has a token can do what stands in it, and cannot make another one.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final
from uuid import uuid4

__all__ = ["DAEMON", "KEY", "PAGE_TOKEN", "USER", "USER_TOKEN", "WORKER", "WORKER_TOKEN", "domain", "mint", "new_key"]

KEY: Final = "POOL"
"""Name of the file of the signing key, and of the key itself in every token."""
USER_TOKEN: Final = "user.token"  # noqa: S105 - the name of a file
"""Opens the queue: submits, looks, removes."""
WORKER_TOKEN: Final = "worker.token"  # noqa: S105 - the name of a file
"""Lets a worker join, and nothing else."""
PAGE_TOKEN: Final = "page.token"  # noqa: S105 - the name of a file
"""Opens the page."""

DAEMON: Final = "condor"
USER: Final = "user"
WORKER: Final = "worker"

_SCRAMBLE: Final = bytes.fromhex("deadbeef")
_HASH: Final = hashlib.sha256


def domain(name: str, uid: str) -> str:
    """Return the domain of trust of a pool: what it is called, and of all that ever were called so, which one it is."""
    return f"{name}.{uid[:12]}"


def new_key() -> bytes:
    """Return a new signing key, as it stands in its file."""
    return secrets.token_bytes(64)


def mint(
    key: bytes,
    domain: str,
    identity: str,
    scopes: Sequence[str] = (),
    lifetime: float | None = None,
    now: float | None = None,
) -> str:
    """Sign a token.

    Parameters
    ----------
    key
        The content of the key's file.
    domain
        Of the pool; it is the issuer.
    identity
        Whom it makes of its bearer: ``user@higgs.0123456789ab``.
    scopes
        Authorizations that it is good for, such as ``READ``; by default all that the identity has.
    lifetime
        Seconds; by default it is good for as long as the key.
    now
        Unix seconds.
    """
    issued = int(time.time() if now is None else now)
    claims: dict[str, Any] = {"iat": issued, "iss": domain, "jti": uuid4().hex, "sub": identity}
    if lifetime is not None:
        claims["exp"] = issued + int(lifetime)
    if scopes:
        claims["scope"] = " ".join(f"condor:/{scope}" for scope in scopes)
    signed = f"{_part({'alg': 'HS256', 'kid': KEY})}.{_part(claims)}"
    signature = hmac.digest(_derived(key), signed.encode(), _HASH)
    return f"{signed}.{_base64(signature)}"


def _derived(key: bytes) -> bytes:
    """Derive what signs, as HTCondor does: from what its scrambled file holds, twice, since the key was a password once."""
    held = bytes(byte ^ mask for byte, mask in zip(key, cycle(_SCRAMBLE), strict=False))
    extracted = hmac.digest(b"htcondor", held * 2, _HASH)
    return hmac.digest(extracted, b"master jwt\x01", _HASH)


def _part(content: object) -> str:
    return _base64(json.dumps(content, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
