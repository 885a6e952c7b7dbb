"""Limits by group: of several the most generous, and everybody else's for what they do not say."""

from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas.display import quota as words
from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.hub.limits import GroupLimits
from jupyter_dodas.limits import Allowance, Quota, Share
from jupyter_dodas.settings import Limits

GIB = 2**30
TABLE = {
    "cms": {"cores": 32, "memory": "96 GiB"},
    "cms/italy": {"cores": 64},
    "admins": {"cores": None, "clusters": 9},
    "*": {"cores": 4, "memory": "8 GiB", "clusters": 2},
}


@pytest.mark.parametrize(
    ("groups", "limits", "givers"),
    [
        ((), {"cores": 4, "memory": 8 * GIB, "clusters": 2}, ()),
        (("atlas",), {"cores": 4, "memory": 8 * GIB, "clusters": 2}, ()),
        (("cms",), {"cores": 32, "memory": 96 * GIB, "clusters": 2}, ("cms",)),
        (("cms", "cms/italy"), {"cores": 64, "memory": 96 * GIB, "clusters": 2}, ("cms", "cms/italy")),
        (("cms/italy",), {"cores": 64, "memory": 8 * GIB, "clusters": 2}, ("cms/italy",)),
        (("cms", "admins"), {"cores": None, "memory": 96 * GIB, "clusters": 9}, ("admins", "cms")),
        (("cms-x",), {"cores": 4, "memory": 8 * GIB, "clusters": 2}, ()),
    ],
)
def test_each_thing_is_what_the_most_generous_group_gives(
    groups: tuple[str, ...], limits: Mapping[str, Any], givers: tuple[str, ...]
) -> None:
    assert GroupLimits(TABLE).of(groups) == Allowance(limits=Limits(**limits), groups=givers)


def test_without_a_row_for_everybody_else_nothing_is_limited() -> None:
    assert GroupLimits({"cms": {"cores": 1}}).of(["atlas"]) == Allowance()
    assert GroupLimits({}).of(["cms"]) == Allowance()


@pytest.mark.parametrize(
    ("table", "where"), [({"cors": 1}, ": cors:"), ({"cores": -1}, ": cores:"), ({"memory": "much"}, ": memory:"), (3, ":")]
)
def test_a_row_that_is_none_is_told(table: Any, where: str) -> None:
    with pytest.raises(InvalidSetting, match=f"limits of cms in DodasSpawner.limits will not do{where} "):
        GroupLimits({"atlas": {"cores": 1}, "cms": table})


def test_a_user_can_set_herself_less_and_not_more() -> None:
    given = Allowance(limits=Limits(cores=8, workers=4), groups=("cms",), enforced=True)
    own = Limits(cores=100, workers=2, clusters=1)
    assert given.within(own) == given.model_copy(update={"limits": Limits(cores=8, workers=2, clusters=1)})


def test_it_is_told_in_words() -> None:
    quota = Quota(Limits(cores=32, memory=96 * GIB), Share(1, 7, 14, 38 * GIB), True, ("cms",))
    assert words.used(quota) == "Group cms: 14 of 32 cores, 38 GiB of 96 GiB"
    assert words.free(quota) == "18 cores and 58 GiB free"
    assert words.free(Quota(Limits(cores=1), Share(), False)) == "1 core free"
    assert words.used(Quota(Limits(), Share(), False)) == words.free(Quota(Limits(), Share(), False)) == ""
