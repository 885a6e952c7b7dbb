"""The secrets of a Spark cluster: one file of properties, which Spark reads itself, and what is proved with them.

Only the standard library is imported, since the controller is small.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["CORES", "FILE", "TOKEN", "bearer", "issue", "proof", "read"]

FILE: Final = "spark.conf"
"""Readable by the owner alone; processes are told its path, never what is in it."""

CORES: Final = "spark.dodas.cores"
TOKEN: Final = "spark.connect.authenticate.token"  # noqa: S105 - the name of it
_SECRET: Final = "spark.authenticate.secret"  # noqa: S105
_FILTER: Final = "org.apache.spark.ui.JWSFilter"
_KEY: Final = f"spark.{_FILTER}.param.secretKey"

Properties = Mapping[str, str]


def issue(*, cores: int) -> Mapping[str, bytes]:
    """Make the secrets of a new cluster, by file name.

    Parameters
    ----------
    cores
        Of each worker. No secret, but who holds a cluster's connection knows nothing else of its options.
    """
    properties = {
        "spark.authenticate": "true",
        _SECRET: secrets.token_hex(32),
        # Pages and REST of master, workers and applications ask for a token signed with the key.
        "spark.ui.filters": _FILTER,
        _KEY: base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode(),
        TOKEN: secrets.token_hex(32),
        CORES: str(cores),
    }
    return {FILE: "".join(f"{name} {value}\n" for name, value in properties.items()).encode()}


def read(folder: Path) -> Properties:
    """Return the properties of a cluster's file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    lines = (folder / FILE).read_text("utf-8").splitlines()
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def bearer(properties: Properties, until: float) -> str:
    """Return the value of an ``Authorization`` header that opens the pages of a cluster.

    Parameters
    ----------
    until
        When it loses its worth, in Unix seconds.
    """
    key = _decode(properties[_KEY])
    signed = f"{_encode(_compact({'alg': 'HS256'}))}.{_encode(_compact({'exp': int(until)}))}"
    return f"Bearer {signed}.{_encode(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def proof(properties: Properties, challenge: str, request: str) -> str:
    """Return what proves that a request comes from someone who holds the secrets."""
    return hmac.new(properties[_SECRET].encode(), f"{challenge} {request}".encode(), hashlib.sha256).hexdigest()


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
