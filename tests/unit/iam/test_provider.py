"""What a provider says is believed only if it is proved."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.utils import base64url_encode

from jupyter_dodas.errors import IamUnreachable, InvalidSetting, TokenInvalid
from jupyter_dodas.iam.keys import Keys
from jupyter_dodas.iam.provider import Person, Provider
from tests.unit.iam.forger import Forger

pytestmark = pytest.mark.anyio


@pytest.fixture
async def forger() -> AsyncIterator[Forger]:
    async with Forger() as made:
        yield made


async def signed_in(forger: Forger, nonce: str = "n") -> Person:
    grant = await forger.provider.redeem("code", verifier="v", back_to="http://127.0.0.1/")
    return await forger.provider.identify(grant, nonce=nonce)


async def test_who_signs_in_is_who_the_provider_proves(forger: Forger) -> None:
    person = await signed_in(forger)
    assert (person.subject, person.username, sorted(person.groups)) == ("s", "alice", ["cms"])


STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def unsigned(forger: Forger) -> str:
    return jwt.encode({**forger.claims, "iat": int(time.time()), "exp": int(time.time()) + 60}, "", "none", headers={"kid": "one"})


def hs256(forger: Forger) -> str:
    # Signed with the public key as if it were a secret: who mixes up the two kinds believes it. The library would not make it.
    public = (
        forger.keys["one"].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    shown = ({"alg": "HS256", "kid": "one"}, {**forger.claims, "iat": int(time.time()), "exp": int(time.time()) + 60})
    signed = ".".join(base64url_encode(json.dumps(part).encode()).decode() for part in shown)
    return f"{signed}.{base64url_encode(hmac.digest(public, signed.encode(), 'sha256')).decode()}"


FORGERIES: dict[str, tuple[Callable[[Forger], str], str]] = {
    "unsigned": (unsigned, "proves nothing"),
    "signed with the public key": (hs256, "proves nothing"),
    "signed by a stranger": (lambda it: it.sign(it.claims, STRANGER), "signature"),
    "another algorithm than its key's": (lambda it: it.sign(it.claims, algorithm="RS512"), "another way|signature|Its key"),
    "no token": (lambda it: "x.y", "not a signed token"),
    "empty": (lambda it: "", "sent none"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_id_token_is_refused(forger: Forger, forgery: str) -> None:
    make, why = FORGERIES[forgery]
    forger.id_token = make(forger)
    with pytest.raises(TokenInvalid, match=why) as raised:
        await signed_in(forger)
    if forger.id_token:
        assert forger.id_token not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another"}, "another client"),
        ({"aud": []}, "lacks a claim"),
        ({"aud": None}, "lacks a claim"),
        ({"aud": ["hub", "another"]}, "several clients"),
        ({"aud": ["hub", "another"], "azp": "another"}, "several clients"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "lacks a claim"),
        ({"iat": 4102444800}, "not valid yet"),
        ({"iss": "https://evil.example/"}, "another issuer"),
        ({"iss": None}, "lacks a claim"),
        ({"sub": ""}, "of nobody|do not hold"),
        ({"sub": None}, "lacks a claim"),
        ({"sub": "somebody-else"}, "somebody else"),
    ],
)
async def test_an_id_token_with_a_wrong_claim_is_refused(forger: Forger, change: dict[str, Any], why: str) -> None:
    forger.claims |= change
    with pytest.raises(TokenInvalid, match=why):
        await signed_in(forger)


async def test_userinfo_about_somebody_else_is_refused(forger: Forger) -> None:
    forger.userinfo["sub"] = "somebody-else"
    with pytest.raises(TokenInvalid, match="somebody else"):
        await signed_in(forger)


async def test_an_access_token_about_somebody_else_is_refused(forger: Forger) -> None:
    forger.access = {"sub": "somebody-else", "iss": forger.issuer}
    with pytest.raises(TokenInvalid, match="somebody else"):
        await signed_in(forger)


async def test_wlcg_groups_count_only_if_they_are_signed(forger: Forger) -> None:
    forger.access = {"sub": "s", "iss": forger.issuer, "wlcg.ver": "1.0", "wlcg.groups": ["/cms"]}
    forger.userinfo |= {"groups": ["admins"], "wlcg.groups": ["/admins"]}
    assert (await signed_in(forger)).groups == {"cms"}


async def test_a_new_key_is_fetched_once_for_however_many_tokens(forger: Forger) -> None:
    await signed_in(forger)
    forger.keys["two"] = STRANGER
    forger.headers["kid"] = "two"
    forger.id_token = forger.sign(forger.claims, STRANGER)
    await asyncio.gather(*(signed_in(forger) for _ in range(8)))
    assert forger.asked.count("/jwk") == 2


async def test_keys_that_nobody_has_are_no_storm_of_requests(forger: Forger) -> None:
    await signed_in(forger)
    tokens = []
    for number in range(50):
        forger.headers["kid"] = f"unknown-{number}"
        tokens.append(forger.sign(forger.claims))
    assert await asyncio.gather(*(forger.provider.access_claims(token) for token in tokens)) == [None] * 50
    assert forger.asked.count("/jwk") == 2


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"access_token": 1}', b"x" * (2 << 20), b'{"issuer": "x"}'], ids=repr
)
async def test_nonsense_is_an_outage_and_no_error_of_ours(forger: Forger, body: bytes) -> None:
    await forger.provider.metadata()
    forger.body = body
    with pytest.raises(IamUnreachable):
        await signed_in(forger)
    fresh = Provider(forger.issuer, "hub", lambda: "secret", patience=1.0)
    with pytest.raises(IamUnreachable):
        await fresh.metadata()
    await fresh.close()


async def test_a_provider_that_hangs_is_waited_for_once() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = Provider(f"http://127.0.0.1:{port}", "hub", lambda: "", patience=0.3)
    began = time.monotonic()
    outcomes = await asyncio.gather(*(provider.metadata() for _ in range(50)), return_exceptions=True)
    assert time.monotonic() - began < 3
    assert {type(outcome) for outcome in outcomes} == {IamUnreachable}
    await provider.close()
    server.close()


@pytest.mark.parametrize(
    "issuer", ["http://iam.example.org", "ftp://127.0.0.1", "iam.example.org", "", "http://127.0.0.1.evil.example"]
)
async def test_an_issuer_that_others_could_listen_to_is_refused(issuer: str) -> None:
    with pytest.raises(InvalidSetting):
        Provider(issuer, "hub", lambda: "")


async def test_the_document_of_another_issuer_is_refused(forger: Forger) -> None:
    document = forger.reply("/.well-known/openid-configuration").replace(b"/token", b"/t")
    forger.body = document.replace(f'"issuer": "{forger.issuer}/"'.encode(), b'"issuer": "https://evil.example"')
    with pytest.raises(InvalidSetting, match="not the issuer"):
        await forger.provider.metadata()


async def test_keys_of_kinds_that_are_not_known_do_no_harm(forger: Forger) -> None:
    good = jwt.algorithms.RSAAlgorithm.to_jwk(forger.keys["one"].public_key(), as_dict=True)

    async def fetch() -> dict[str, Any]:
        odd = [{"kty": "new", "kid": "a"}, {"kty": "oct", "k": "AAAA", "kid": "b"}, "x", None, {**good, "kid": "e", "use": "enc"}]
        return {"keys": [*odd, {**good, "kid": "one"}]}

    keys = Keys(fetch)
    assert (await keys.find(forger.sign(forger.claims), "ID token")).key_id == "one"
    forger.headers["kid"] = "e"
    with pytest.raises(TokenInvalid):
        await keys.find(forger.sign(forger.claims), "ID token")
