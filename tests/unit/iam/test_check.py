"""`dodas iam check` says what is wrong, and nothing when nothing is."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jupyter_dodas.checks import Check, Verdict
from jupyter_dodas.cli import main
from jupyter_dodas.iam.check import examine
from tests.unit.iam.served import BACK, SCOPE, Served, served


@pytest.fixture
async def iam(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        (tmp_path / "secret").chmod(0o600)
        yield made


async def look(iam: Served, **changed: str) -> dict[str, Check]:
    scope = changed.pop("scope", SCOPE).split()
    secret = iam.folder / changed.pop("secret", "secret")
    asked = {"issuer": iam.issuer, "client": "hub", "callback": BACK, **changed}
    return {check.about: check for check in await examine(**asked, secret_file=secret, scope=scope)}


@pytest.mark.anyio
async def test_all_is_well(iam: Served) -> None:
    found = await look(iam)
    assert {check.verdict for check in found.values()} == {Verdict.OK}
    assert set(found) == {"Secret", "Issuer", "Keys", "Client", "Sessions", "Exchange", "Callback"}


@pytest.mark.parametrize(
    ("changed", "about", "verdict", "words"),
    [
        ({"issuer": "http://iam.example.org"}, "Issuer", Verdict.BAD, "must be https"),
        ({"issuer": "http://127.0.0.1:9/"}, "Issuer", Verdict.BAD, "does not answer"),
        ({"client": "nobody"}, "Client", Verdict.BAD, "does not know this client"),
        ({"secret": "none"}, "Secret", Verdict.BAD, "No such file"),
        ({"secret": "empty"}, "Secret", Verdict.BAD, "is empty"),
        ({"secret": "wrong"}, "Client", Verdict.BAD, "does not know this client and secret"),
        ({"callback": BACK + "/"}, "Callback", Verdict.BAD, "will not send people back"),
        ({"callback": ""}, "Callback", Verdict.WARN, "Not looked at"),
        ({"scope": "openid profile"}, "Scopes", Verdict.WARN, "offline_access is not asked for"),
        ({"scope": SCOPE + " magic"}, "Scopes", Verdict.WARN, "no scope magic"),
        ({"scope": SCOPE + " magic"}, "Callback", Verdict.BAD, "invalid_scope"),
    ],
)
@pytest.mark.anyio
async def test_what_is_wrong_is_said_with_a_remedy(
    iam: Served, changed: dict[str, str], about: str, verdict: Verdict, words: str
) -> None:
    for name, content in (("wrong", "another"), ("empty", "")):
        (iam.folder / name).write_text(content)
    found = (await look(iam, **changed))[about]
    assert (found.verdict, words in found.message) == (verdict, True), found.message
    assert found.remedy


@pytest.mark.parametrize(
    ("grants", "about", "verdict"),
    [
        ('["authorization_code"]', "Sessions", Verdict.WARN),
        ('["refresh_token"]', "Client", Verdict.BAD),
        ('["authorization_code", "refresh_token"]', "Exchange", Verdict.OK),
    ],
)
@pytest.mark.anyio
async def test_grants_that_are_off_are_told(iam: Served, grants: str, about: str, verdict: Verdict) -> None:
    file = iam.folder / "users.toml"
    file.write_text(file.read_text().replace("[clients.hub]", f"[clients.hub]\ngrants = {grants}"))
    found = (await look(iam))[about]
    assert (found.verdict, "is off" in found.message) == (verdict, True)


@pytest.mark.anyio
async def test_a_secret_that_others_can_read_is_told(iam: Served) -> None:
    (iam.folder / "secret").chmod(0o644)
    found = (await look(iam))["Secret"]
    assert (found.verdict, found.remedy) == (Verdict.WARN, f"chmod 600 {iam.folder / 'secret'}")


def test_the_command_says_it_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "iam",
        "check",
        "--issuer",
        "http://iam.example.org",
        "--client-id",
        "hub",
        "--secret-file",
        str(tmp_path / "none"),
    ]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "it must be https" in said
    assert "hint: Write the client's secret into that file." in said
    assert main([*arguments, "--json"]) == 1
    assert [one["verdict"] for one in json.loads(capsys.readouterr().out)] == ["bad", "bad"]
    assert main(["iam", "check"]) == 2
