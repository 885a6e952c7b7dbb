"""A change of a spec."""

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_dodas.errors import DodasError, InvalidOption, UnknownOption
from jupyter_dodas.server.clusters import patched
from jupyter_dodas.spec import Intent, Record
from jupyter_dodas.views import ClusterPatch

Make = Callable[..., Record]

NOW = 1_000_000.0
YEAR = 8760 * 3600


def change(record: Record, **fields: Any) -> Any:
    return patched(record.spec, ClusterPatch.model_validate(fields), NOW)


def test_nothing_asked_is_nothing_changed(record: Make) -> None:
    made = record(groups={"gpu": {"workers": 1}})
    assert change(made) == made.spec
    assert change(made, groups={"gpu": {}}) == made.spec


def test_a_number_ends_adapting(record: Make) -> None:
    options = change(record(adapt=[0, 4]), workers=3).options
    assert (options["workers"], options["adapt"]) == (3, None)


@pytest.mark.parametrize("bounds", [[1, 5], {"minimum": 1, "maximum": 5}])
def test_bounds_begin_adapting(record: Make, bounds: object) -> None:
    assert change(record(), adapt=bounds).options["adapt"] == {"minimum": 1, "maximum": 5}


def test_null_ends_adapting(record: Make) -> None:
    assert change(record(adapt=[0, 4], workers=7), adapt=None).options["adapt"] is None


def test_a_group_changes_by_itself(record: Make) -> None:
    options = change(record(workers=3, groups={"gpu": {"workers": 1, "gpus": 2}}), groups={"gpu": {"workers": 4}}).options
    assert options["workers"] == 3
    assert options["groups"]["gpu"]["workers"] == 4
    assert options["groups"]["gpu"]["gpus"] == 2


def test_keeping_and_letting_go(record: Make) -> None:
    kept = change(record(), keep_until=NOW + YEAR)
    assert kept.keep_until == NOW + YEAR
    assert patched(kept, ClusterPatch(keep_until=None), NOW).keep_until is None


def test_a_restart_is_counted_and_takes_back_a_stop(record: Make) -> None:
    made = record()
    stopped = made.spec.model_copy(update={"intent": Intent.STOP})
    spec = patched(stopped, ClusterPatch(restart=True), NOW)
    assert (spec.restarts, spec.intent) == (1, Intent.RUN)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"keep_until": NOW + YEAR + 1}, InvalidOption), ({"groups": {"cpu": {"workers": 1}}}, UnknownOption)],
)
def test_what_cannot_be(record: Make, fields: dict[str, Any], kind: type[DodasError]) -> None:
    with pytest.raises(kind):
        change(record(), **fields)


def test_what_the_limits_never_give(record: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_LIMITS_WORKERS", "3")
    with pytest.raises(DodasError) as caught:
        change(record(), workers=4)
    assert caught.value.code == "quota-exceeded"
