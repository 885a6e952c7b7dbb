"""What the hub's policy lets a server ask for."""

import pytest

from jupyter_dodas.errors import IamRefused
from jupyter_dodas.hub.tokens import TokenRequest, permitted

POLICY = {"https://a": ["storage.read:/cms", "compute.read"], "https://b": ["storage.modify:/"]}


@pytest.mark.parametrize(
    ("audience", "scopes", "given"),
    [
        ("", (), ("https://a", ("compute.read", "storage.read:/cms"))),
        ("https://b", (), ("https://b", ("storage.modify:/",))),
        ("https://a", ("storage.read:/cms",), ("https://a", ("storage.read:/cms",))),
        ("https://a", ("storage.read:/cms/mc", "storage.read:/cms/mc"), ("https://a", ("storage.read:/cms/mc",))),
        ("https://b", ("storage.modify:/x/y",), ("https://b", ("storage.modify:/x/y",))),
    ],
)
def test_what_is_listed_is_given(audience: str, scopes: tuple[str, ...], given: tuple[str, tuple[str, ...]]) -> None:
    found = permitted(POLICY, TokenRequest(audience=audience, scopes=scopes))
    assert (found.audience, found.scopes) == given


@pytest.mark.parametrize(
    ("audience", "scope"),
    [
        ("https://c", "compute.read"),
        ("https://a/", "compute.read"),
        ("https://b", "compute.read"),
        ("https://a", "storage.read:/"),
        ("https://a", "storage.read:/cms-x"),
        ("https://a", "storage.read:/cms/../x"),
        ("https://a", "storage.read:/cms//x"),
        ("https://a", "storage.modify:/cms"),
        ("https://a", "compute.read:/x"),
        ("https://a", "compute.readx"),
        ("https://a", "offline_access"),
    ],
)
def test_what_is_not_listed_is_refused(audience: str, scope: str) -> None:
    with pytest.raises(IamRefused, match="access_denied"):
        permitted(POLICY, TokenRequest(audience=audience, scopes=(scope,)))


def test_an_empty_policy_gives_nothing() -> None:
    with pytest.raises(IamRefused, match="is empty"):
        permitted({}, TokenRequest())
