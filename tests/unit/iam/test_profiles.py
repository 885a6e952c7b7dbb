"""Groups, from whatever stands where they should."""

from typing import Any

import pytest

from jupyter_dodas.iam.profiles import Profile, groups, profile_of


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (["cms", "cms/italy"], {"cms", "cms/italy"}),
        (["/cms", "/cms/italy"], {"cms", "cms/italy"}),
        (None, set()),
        ("cms", set()),
        ({"cms": True}, set()),
        (7, set()),
        ([["cms"], {"cms": 1}, None, 3, "atlas"], {"atlas"}),
        (["", "/", "//cms", "cms//x", "cms/", "..", "cms/../atlas", " cms", "c\nms", "c\0ms", "x" * 200], set()),
        (["cms-x", "Cms"], {"cms-x", "Cms"}),
    ],
)
def test_groups_are_what_is_a_list_of_paths(said: object, found: set[str]) -> None:
    assert groups(Profile.IAM, {"groups": said}, None) == found
    assert groups(Profile.WLCG, {}, {"wlcg.groups": said}) == found


def test_a_list_without_end_is_cut() -> None:
    assert len(groups(Profile.IAM, {"groups": [f"g{number}" for number in range(100_000)]}, None)) == 1000


@pytest.mark.parametrize(
    ("entitlement", "found"),
    [
        ("urn:geant:iam.example:group:cms#iam.example", {"cms"}),
        ("urn:geant:iam.example:group:cms:italy#iam.example", {"cms/italy"}),
        ("urn:geant:iam.example:sub:group:cms", {"cms"}),
        ("urn:geant:iam.example:group:data%20group#x", {"data group"}),
        ("urn:geant:iam.example:group:cms:role=manager#x", set()),
        ("urn:geant:iam.example:group:#x", set()),
        ("urn:geant:iam.example:res:cms", set()),
        ("cms", set()),
        ("urn:geant:x:group:..%2f..%2fetc#x", set()),
    ],
)
def test_entitlements_are_read_as_the_standard_writes_them(entitlement: str, found: set[str]) -> None:
    assert groups(Profile.AARC, {"eduperson_entitlement": [entitlement]}, None) == found
    assert groups(Profile.AARC, {"entitlements": [entitlement]}, None) == found


@pytest.mark.parametrize(
    ("userinfo", "access", "profile"),
    [
        ({"groups": ["cms"]}, None, Profile.IAM),
        ({"groups": ["cms"]}, {"sub": "s"}, Profile.IAM),
        ({"groups": ["cms"]}, {"wlcg.ver": "1.0"}, Profile.WLCG),
        ({"wlcg.ver": "1.0", "wlcg.groups": ["/cms"]}, None, Profile.IAM),
        ({"eduperson_entitlement": []}, None, Profile.AARC),
    ],
)
def test_only_a_verified_token_makes_a_profile_wlcg(
    userinfo: dict[str, Any], access: dict[str, Any] | None, profile: Profile
) -> None:
    assert profile_of(userinfo, access) is profile
