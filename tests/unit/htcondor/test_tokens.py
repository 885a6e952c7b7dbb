"""Tokens that are made here are those that HTCondor makes; that it takes them is shown with its daemons."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jupyter_dodas.services.htcondor import tokens

KEY = bytes(range(64))
DOMAIN = "higgs.0123456789ab"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]
    return read[0], read[1]


def test_a_token_says_who_where_and_what_for() -> None:
    token = tokens.mint(KEY, DOMAIN, f"user@{DOMAIN}", ("READ", "WRITE"), lifetime=60, now=1000.5)
    header, claims = parts(token)
    assert header == {"alg": "HS256", "kid": "POOL"}
    assert len(claims.pop("jti")) == 32
    assert claims == {"iat": 1000, "exp": 1060, "iss": DOMAIN, "sub": f"user@{DOMAIN}", "scope": "condor:/READ condor:/WRITE"}


def test_a_token_without_a_bound_has_none() -> None:
    _, claims = parts(tokens.mint(KEY, DOMAIN, f"condor@{DOMAIN}"))
    assert claims.keys() == {"iat", "iss", "jti", "sub"}


def test_a_signature_is_that_of_the_derived_key() -> None:
    """Against the primitives of another library."""
    signed, _, signature = tokens.mint(KEY, DOMAIN, "somebody").rpartition(".")
    plain = bytes(byte ^ b"\xde\xad\xbe\xef"[number % 4] for number, byte in enumerate(KEY))
    derived = HKDF(hashes.SHA256(), 32, b"htcondor", b"master jwt").derive(plain + plain)
    wanted = base64.urlsafe_b64encode(hmac.new(derived, signed.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    assert signature == wanted


@pytest.mark.parametrize("name", ["higgs", "h"])
def test_pools_of_one_name_are_told_apart(name: str) -> None:
    assert tokens.domain(name, "a" * 32) != tokens.domain(name, "b" * 32)
    assert tokens.domain(name, "0123456789abcdef") == f"{name}.0123456789ab"


def test_every_key_is_new() -> None:
    assert tokens.new_key() != tokens.new_key()
    assert len(tokens.new_key()) >= 32
