"""What the provider must not forget when it is started again: its keys, and what it has granted. One file, for its owner alone."""

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel

__all__ = ["Access", "Family", "State", "StateFile", "digest"]

_KEYS: Final = 3
"""Keys that are published: the one that signs, and those before it, whose tokens still last."""


class Access(BaseModel):
    """An access token that was given."""

    client: str
    user: str
    scope: list[str]
    family: str
    groups: list[str]
    expires: float


class Family(BaseModel):
    """A sign-in, and everything that came of it. Its refresh token is known by a hash."""

    client: str
    user: str
    scope: list[str]
    signed_in: int
    refresh: str = ""
    audience: str = ""
    expires: float
    revoked: bool = False


class SigningKey(BaseModel):
    """A private key, and the name that tokens call it by."""

    name: str
    pem: str


class State(BaseModel):
    """Everything that is kept."""

    keys: list[SigningKey] = []
    families: dict[str, Family] = {}
    access: dict[str, Access] = {}


class StateFile:
    """The state and its file.

    Parameters
    ----------
    path
        Where it is kept; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state = State.model_validate_json(path.read_bytes()) if path.exists() else State()
        if not self.state.keys:
            self.turn_keys()
        self._load_keys()

    def turn_keys(self) -> None:
        """Sign with a new key from now on."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.state.keys = [SigningKey(name=f"rsa-{secrets.token_hex(4)}", pem=pem), *self.state.keys][:_KEYS]
        self._load_keys()
        self.save()

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a signed token."""
        name, key = next(iter(self._keys.items()))
        return jwt.encode(claims, key, "RS256", headers={"kid": name})

    def verify(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token of ours that lasts, or None."""
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            found: dict[str, Any] = jwt.decode(token, key.public_key(), ["RS256"], options={"verify_aud": False})
        except (jwt.InvalidTokenError, KeyError):
            return None
        return found

    def public_keys(self) -> dict[str, Any]:
        """Return the key set that everybody may read."""
        made = {name: jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) for name, key in self._keys.items()}
        shown = [
            {"kty": it["kty"], "n": it["n"], "e": it["e"], "kid": name, "use": "sig", "alg": "RS256"} for name, it in made.items()
        ]
        return {"keys": shown}

    def save(self) -> None:
        """Write the file anew, without what has expired or was revoked: what is not known is worth nothing either."""
        now = time.time()
        families = {name: it for name, it in self.state.families.items() if it.expires > now and not it.revoked}
        self.state.families = families
        self.state.access = {name: it for name, it in self.state.access.items() if it.expires > now and it.family in families}
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.state.model_dump_json())
        beside.replace(self._path)

    def _load_keys(self) -> None:
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        for kept in self.state.keys:
            key = serialization.load_pem_private_key(kept.pem.encode(), password=None)
            assert isinstance(key, rsa.RSAPrivateKey)
            self._keys[kept.name] = key


def digest(token: str) -> str:
    """Return what a token is known by."""
    return hashlib.sha256(token.encode()).hexdigest()
