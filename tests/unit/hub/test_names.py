"""Names in the hub, and whose they are."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from jupyter_dodas.errors import SignInRefused
from jupyter_dodas.hub.identities import Identities
from jupyter_dodas.hub.names import hub_name, system_names


@pytest.mark.parametrize(
    ("username", "name"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("a.b-c_d@cern.ch", "a.b-c_d@cern.ch"),
        ("x" * 63, "x" * 63),
        ("7of9", "7of9"),
        ("a+b", "a+b"),
    ],
)
def test_good_names(username: str, name: str) -> None:
    assert hub_name(username, {"root"}) == name


@pytest.mark.parametrize(
    "username",
    [
        "",
        "root",
        "Root",
        "../x",
        "..",
        ".",
        "a/b",
        "a\\b",
        "a b",
        " a",
        "a\n",
        "-a",
        "_a",
        "@a",
        "a..b",
        "a.",
        "ä",
        "\N{KELVIN SIGN}",
        "日本",
        "x" * 64,
        "a%2f",
        "a\0",
    ],
)
def test_bad_names_are_refused(username: str) -> None:
    with pytest.raises(SignInRefused) as raised:
        hub_name(username, {"root", "daemon"})
    assert raised.value.remedy
    assert len(raised.value.message) < 150


def test_the_accounts_of_the_system_are_reserved() -> None:
    assert {"root", "daemon", "nobody"} - system_names() <= {"nobody"}, "nobody has a large number on some systems"


def test_a_name_is_bound_once() -> None:
    engine = create_engine("sqlite://")
    with Session(engine) as db:
        names = Identities(db, "https://iam.example.org/")
        assert names.name_of("s1") is None
        names.bind("s1", "alice")
        names.bind("s1", "alice")
        with pytest.raises(SignInRefused, match="belongs to somebody else"):
            names.bind("s2", "alice")
        names.bind("s2", "bob")
        # The same issuer, however it is written; another one has other subjects.
        assert Identities(db, "https://iam.example.org").name_of("s1") == "alice"
        with pytest.raises(SignInRefused):
            Identities(db, "https://other.example.org").bind("s1", "alice")
    engine.dispose()
