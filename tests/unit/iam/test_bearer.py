"""A program's token: from the hub, kept and renewed, or from where WLCG's discovery looks."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_dodas.errors import IamRefused, IamUnreachable, MissingSoftware, NotSupported
from jupyter_dodas.iam import token
from jupyter_dodas.iam.bearer import TokenSource, discovered
from jupyter_dodas.iam.mandate import Mandate
from tests.unit.iam.desk import Desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def test_a_token_is_asked_for_once_and_renewed_when_half_of_it_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = TokenSource(desk.url, "key"), time.time
    assert [source.token("a", ["x", "y"]), source.token("a", ["y", "x", "x"]), source.token("b")] == ["t1", "t1", "t2"]
    assert desk.asked[0] == {"audience": "a", "scopes": ["x", "y"]}
    monkeypatch.setattr(time, "time", lambda: real() + 1700)
    assert source.token("a", ["x", "y"]) == "t1"
    monkeypatch.setattr(time, "time", lambda: real() + 1900)
    assert source.token("a", ["x", "y"]) == "t3"


def test_no_proxy_for_the_world_sees_what_is_for_the_hub(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Desk()
    try:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert TokenSource(desk.url, "key").token() == "t1"
        assert (len(desk.asked), proxy.asked) == (1, [])
    finally:
        proxy.close()


def test_the_token_for_the_hub_goes_nowhere_else(desk: Desk) -> None:
    other = Desk()
    try:
        desk.status, desk.location = 302, f"{other.url}/dodas/token"
        with pytest.raises(IamRefused, match="The hub replied 302"):
            TokenSource(desk.url, "key").token()
        assert other.asked == []
    finally:
        other.close()


@pytest.mark.parametrize("address", ["file:///etc", "ftp://127.0.0.1/", "/etc", "", "http://10.0.0.1/x?", "http://10.0.0.1/x#"])
def test_a_mandate_leads_to_a_hub_and_to_nothing_else(address: str) -> None:
    assert Mandate.of_bytes(Mandate(address, "key").to_bytes()) is None
    assert Mandate.of_bytes(Mandate("http://127.0.0.1:8081/hub/api", "key").to_bytes()) is not None


def test_what_still_lasts_is_given_while_the_hub_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    source, real = TokenSource(desk.url, "key"), time.time
    assert source.token() == "t1"
    desk.status = 503
    monkeypatch.setattr(time, "time", lambda: real() + 3000)
    assert source.token() == "t1"
    monkeypatch.setattr(time, "time", lambda: real() + 3700)
    with pytest.raises(IamUnreachable):
        source.token()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b'{"message": "not on the list"}', IamRefused),
        (400, b"<html>", IamRefused),
        (404, b"{}", MissingSoftware),
        (502, b"", IamUnreachable),
        (200, b"{", IamUnreachable),
    ],
)
def test_what_goes_wrong_is_an_error_of_ours(desk: Desk, status: int, body: bytes, error: type[Exception]) -> None:
    desk.status, desk.body = status, body
    with pytest.raises(error) as raised:
        TokenSource(desk.url, "key").token()
    assert "key" not in str(raised.value).split()


def test_a_notebook_of_a_hub_asks_its_hub(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_URL", desk.url + "/")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "key")
    assert token(scopes=["x"]) == token(scopes=["x"]) == "t1"


def test_without_a_hub_it_lies_where_others_put_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"bt_u{os.getuid()}").write_text("runtime\n")
    (tmp_path / "file").write_text(" file \n")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert discovered(environ) == "runtime"
    environ["BEARER_TOKEN_FILE"] = str(tmp_path / "file")
    assert discovered(environ) == "file"
    environ["BEARER_TOKEN"] = "variable"
    assert discovered(environ) == "variable"
    for name in ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "BEARER_TOKEN", "BEARER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert token() == "runtime"
    with pytest.raises(NotSupported) as raised:
        token(audience="https://a")
    assert "BEARER_TOKEN_FILE" in raised.value.remedy
