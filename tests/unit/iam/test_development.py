"""The development IAM keeps the rules of a real one, and serves this machine only."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_dodas.errors import IamRefused, InvalidSetting
from jupyter_dodas.iam.development.__main__ import check_host
from jupyter_dodas.iam.development.grants import Grants
from jupyter_dodas.iam.development.state import StateFile
from jupyter_dodas.iam.provider import Provider
from tests.unit.iam.served import BACK, SCOPE, USERS, Served, served

pytestmark = pytest.mark.anyio


@pytest.fixture
async def iam(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        yield made


def change(iam: Served, before: str, after: str) -> None:
    text = (iam.folder / "users.toml").read_text()
    assert before in text
    (iam.folder / "users.toml").write_text(text.replace(before, after, 1))


async def test_a_sign_in_says_who_it_was(iam: Served) -> None:
    grant = await iam.session()
    person = await iam.provider.identify(grant, nonce="n")
    assert (person.username, sorted(person.groups)) == ("alice", ["cms"])
    assert "eyJ" not in repr(grant)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"redirect_uri": "https://evil.example/"}, "400"),
        ({"redirect_uri": BACK + "/x"}, "400"),
        ({"client_id": "nobody"}, "400"),
        ({"code_challenge_method": "plain"}, f"{BACK}?error=invalid_request"),
        ({"code_challenge": ""}, f"{BACK}?error=invalid_request"),
        ({"response_type": "token"}, f"{BACK}?error=unsupported_response_type"),
        ({"scope": "openid admin"}, f"{BACK}?error=invalid_scope"),
        ({"prompt": "none"}, f"{BACK}?error=login_required"),
        ({"user": "nobody"}, f"{BACK}?error=access_denied"),
    ],
)
async def test_a_request_that_is_not_in_order_gives_no_code(iam: Served, changed: dict[str, str], told: str) -> None:
    said = await iam.sign_in(**changed)
    assert said.startswith(told)
    assert "code=" not in said
    assert told == "400" or said.endswith("state=s")


async def test_a_code_needs_its_verifier_its_address_and_its_client_and_works_once(iam: Served) -> None:
    for wrong in ({"verifier": "w" * 43}, {"verifier": ""}, {"back_to": BACK + "/"}):
        code = httpx.URL(await iam.sign_in()).params["code"]
        with pytest.raises(IamRefused, match="invalid_grant"):
            await iam.redeem(code, **wrong)
    code = httpx.URL(await iam.sign_in()).params["code"]
    first = await iam.redeem(code)
    for _ in range(2):
        with pytest.raises(IamRefused, match="invalid_grant"):
            await iam.redeem(code)
    assert not (await iam.introspect(first.access_token))["active"], "what came of a code that was used twice is revoked"


async def test_a_refresh_token_that_comes_again_ends_the_whole_family(iam: Served) -> None:
    first = (await iam.session()).refresh_token
    assert first is not None
    second = (await iam.provider.renew(first)).refresh_token
    assert second is not None
    assert second != first
    with pytest.raises(IamRefused, match="invalid_grant"):
        await iam.provider.renew(first)
    with pytest.raises(IamRefused, match="invalid_grant"):
        await iam.provider.renew(second)


async def test_refresh_tokens_can_be_reused_if_the_file_says_so(iam: Served) -> None:
    (iam.folder / "users.toml").write_text('refresh_tokens = "reused"\n' + USERS)
    token = (await iam.session()).refresh_token
    assert token is not None
    for _ in range(3):
        assert (await iam.provider.renew(token)).refresh_token == token


async def test_a_refresh_narrows_and_never_widens(iam: Served) -> None:
    token = (await iam.session()).refresh_token or ""
    narrow = await iam.provider.renew(token, scope=["storage.read:/cms/mc"], audience="https://storage.example.org")
    assert narrow.scope == {"storage.read:/cms/mc"}
    claims = await iam.provider.access_claims(narrow.access_token)
    assert claims is not None
    assert claims["aud"] == "https://storage.example.org"
    for wide in ("storage.read:/", "storage.read:/cms-x", "compute.read"):
        with pytest.raises(IamRefused, match="invalid_scope"):
            await iam.provider.renew(narrow.refresh_token or "", scope=[wide])
    again = await iam.provider.renew(narrow.refresh_token or "")
    assert again.scope == set(SCOPE.split()), "a narrow token leaves the session as wide as it was"


async def test_an_exchange_keeps_to_the_rules_of_iam(iam: Served) -> None:
    token = (await iam.session()).access_token
    given = await iam.provider.exchange(token, scope=["storage.read:/cms"], audience="https://storage.example.org")
    claims = await iam.provider.access_claims(given.access_token)
    assert claims is not None
    assert claims["act"] == {"sub": "hub"}
    assert given.refresh_token is None
    with pytest.raises(IamRefused, match="access_denied"):
        await iam.provider.exchange(token, scope=["offline_access"], audience="x")
    with pytest.raises(IamRefused, match="invalid_scope"):
        await iam.provider.exchange(token, scope=["compute.read"], audience="x")
    other = Provider(iam.issuer, "other", lambda: "top")
    with pytest.raises(IamRefused, match="invalid_scope"):
        await other.exchange(token, scope=["email"], audience="x")
    await other.close()


async def test_what_is_revoked_is_worth_nothing(iam: Served) -> None:
    grant = await iam.session()
    assert (await iam.introspect(grant.access_token))["active"]
    assert (await iam.introspect(grant.refresh_token or ""))["active"]
    await iam.provider.revoke(grant.refresh_token or "")
    assert not (await iam.introspect(grant.access_token))["active"]
    with pytest.raises(IamRefused):
        await iam.provider.renew(grant.refresh_token or "")
    kept = json.loads((iam.folder / "state.json").read_bytes())
    assert not kept["families"], "nor is it kept"
    assert not kept["access"]
    for _ in range(2):
        with pytest.raises(IamRefused, match="invalid_grant"):
            await iam.provider.renew(grant.refresh_token or "")


async def test_a_suspended_user_is_nobody_from_that_moment(iam: Served) -> None:
    grant = await iam.session()
    change(iam, 'groups = ["cms"]', 'groups = ["cms"]\nsuspended = true')
    assert (await iam.sign_in()).startswith(f"{BACK}?error=access_denied")
    assert not (await iam.introspect(grant.access_token))["active"]
    with pytest.raises(IamRefused, match="invalid_grant"):
        await iam.provider.renew(grant.refresh_token or "")


async def test_a_file_that_is_being_written_is_passed_over(iam: Served) -> None:
    change(iam, "[users.alice]", "[users.alice")
    assert (await iam.session()).refresh_token
    change(iam, "[users.alice", "[users.bob]\n[users.alice]")
    assert "code=" in await iam.sign_in(user="bob")


async def test_new_keys_sign_and_old_ones_still_verify(iam: Served) -> None:
    before = await iam.session()
    iam.grants.file.turn_keys()
    after = await iam.session()
    fresh = Provider(iam.issuer, "hub", lambda: "top")
    assert await fresh.access_claims(before.access_token)
    assert await fresh.access_claims(after.access_token)
    await fresh.close()


async def test_a_restart_forgets_nothing_and_the_file_is_its_owners_alone(iam: Served) -> None:
    grant = await iam.session()
    file = iam.folder / "state.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (grant.refresh_token or "").partition(".")[2] not in file.read_text()
    again = Grants(iam.issuer, iam.grants.directory, StateFile(file))
    assert again.userinfo(grant.access_token)
    assert again.refreshable("hub", grant.refresh_token or "")


@pytest.mark.parametrize(
    ("profile", "scope", "userinfo"),
    [
        ("iam", "openid profile", {"groups": ["cms"], "organisation_name": "development"}),
        ("wlcg", "openid profile wlcg.groups", {"wlcg.groups": ["/cms"]}),
        ("wlcg", "openid profile wlcg.groups:/shifts wlcg.groups", {"wlcg.groups": ["/shifts", "/cms"]}),
        ("wlcg", "openid profile", {}),
        ("aarc", "openid profile", {"eduperson_entitlement": ["urn:geant:iam.localhost:group:cms#development"]}),
    ],
)
async def test_each_profile_tells_groups_in_its_own_way(iam: Served, profile: str, scope: str, userinfo: dict[str, Any]) -> None:
    (iam.folder / "users.toml").write_text(f'profile = "{profile}"\n' + USERS)
    grant = await iam.session(scope=scope)
    found = iam.grants.userinfo(grant.access_token)
    assert found is not None
    assert {name: value for name, value in found.items() if name not in {"sub", "name", "preferred_username"}} == userinfo


async def test_the_page_needs_no_script_and_shows_names_as_text(iam: Served) -> None:
    async with httpx.AsyncClient() as browser:
        asked = {"client_id": "hub", "redirect_uri": BACK, "response_type": "code", "scope": "openid", "state": '"><script>'}
        page = await browser.get(f"{iam.issuer}authorize", params={**asked, "code_challenge": "x", "code_challenge_method": "S256"})
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "&lt;b&gt;Alice&lt;/b&gt;" in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert (await browser.get(f"{iam.issuer}jwk", headers={"Host": "evil.example"})).status_code == 421


async def test_a_client_must_show_its_secret(iam: Served) -> None:
    wrong = Provider(iam.issuer, "hub", lambda: secrets.token_hex(4))
    with pytest.raises(IamRefused, match="invalid_client"):
        await wrong.renew("x")
    await wrong.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "localhost", "example.org", ""])
def test_it_listens_on_this_machine_only(host: str) -> None:
    with pytest.raises(InvalidSetting, match="does not listen"):
        check_host(host)


def test_the_command_refuses_a_network_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "users.toml").write_text("[users.alice]\n")
    command = [sys.executable, "-m", "jupyter_dodas.iam.development", "--users", "users.toml", "--port", "1", "--host", "0.0.0.0"]
    ran = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "It asks for no password" in ran.stderr
    assert "Traceback" not in ran.stderr
