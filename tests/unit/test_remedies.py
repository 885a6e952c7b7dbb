"""Remedies that a program can follow: options with which what was refused would do."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas import limits, registry
from jupyter_dodas.aio.checking import checked
from jupyter_dodas.errors import AlreadyExists, DodasError, InvalidOption, QuotaExceeded
from jupyter_dodas.options import GroupOptions, Options, validate
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import check_name

GIB = 2**30


def put(options: dict[str, Any], retry: Any) -> dict[str, Any]:
    """Do what a program does with a remedy."""
    made = {**options, "groups": {name: dict(group) for name, group in options.get("groups", {}).items()}}
    for path, value in retry.items():
        *within, option = path.split(".")
        (made["groups"][within[1]] if within else made)[option] = value
    return made


@pytest.mark.parametrize(
    ("bounds", "options", "retry"),
    [
        ({"workers": 18}, {"workers": 20}, {"workers": 18}),
        ({"cores": 9}, {"workers": 20, "cores": 2}, {"workers": 4}),
        ({"memory": 8 * GIB}, {"workers": 20}, {"workers": 4}),
        ({"workers": 4}, {"adapt": [6, 9]}, {"adapt": {"minimum": 4, "maximum": 9}}),
        ({"workers": 4}, {"workers": 1, "groups": {"gpu": {"workers": 9}}}, {"groups.gpu.workers": 3}),
        ({"cores": 4}, {"workers": 1, "cores": 16}, {"cores": 4}),
        ({"cores": 4, "memory": GIB}, {"workers": 2, "cores": 16}, {"cores": 2, "memory": GIB // 2}),
        ({"clusters": 0}, {}, {}),
        ({"workers": 0}, {"workers": 1}, {}),
    ],
)
def test_what_can_never_fit_is_refused_with_what_can(bounds: dict[str, int], options: dict[str, Any], retry: object) -> None:
    with pytest.raises(QuotaExceeded) as caught:
        checked("toy", options, Limits.model_validate(bounds))
    assert caught.value.retry == retry
    if retry:
        checked("toy", put(options, retry), Limits.model_validate(bounds))


GROUPS = st.builds(
    GroupOptions, workers=st.integers(0, 50), cores=st.integers(1, 8), memory=st.integers(1, 40).map(lambda n: n * GIB // 8)
)


@given(
    main=GROUPS,
    others=st.dictionaries(st.sampled_from(["cpu", "gpu"]), GROUPS),
    cores=st.none() | st.integers(0, 100),
    memory=st.none() | st.integers(1, 100).map(lambda n: n * GIB),
    workers=st.none() | st.integers(0, 40),
    held=st.builds(limits.Share, cores=st.integers(0, 20), memory=st.integers(0, 20).map(lambda n: n * GIB)),
)
def test_less_fits_beside_what_is_taken(
    main: GroupOptions, others: dict[str, GroupOptions], cores: int, memory: int, workers: int, held: limits.Share
) -> None:
    bounds = Limits(cores=cores, memory=memory, workers=workers)
    asked = Options.model_validate({**main.model_dump(), "groups": {name: group.model_dump() for name, group in others.items()}})
    if not limits.missing(bounds, held, limits.least(asked.all_groups().values())):
        return
    retry = limits.less(bounds, held, asked.all_groups())
    if retry:
        less = Options.model_validate(put(asked.model_dump(), retry))
        assert not limits.missing(bounds, held, limits.least(less.all_groups().values()))
        assert limits.least(less.all_groups().values()).workers > 0


@given(limit=st.none() | st.integers(0, 60), taken=st.integers(0, 60), workers=st.integers(0, 60))
def test_as_many_fit_as_there_is_room_for(limit: int | None, taken: int, workers: int) -> None:
    fits = limits.fitting(Limits(cores=limit), limits.Share(cores=taken), GroupOptions(cores=3), workers)
    assert fits == (workers if limit is None else min(workers, max(0, limit - taken) // 3))


@pytest.mark.parametrize(
    ("kind", "options", "retry"),
    [
        ("toy", {"workers": -1}, {"workers": 0}),
        ("toy", {"memory": "1 MB"}, {"memory": 64 * 2**20}),
        ("toy", {"groups": {"gpu": {"cores": 0}}}, {"groups.gpu.cores": 1}),
        ("toy", {"workers": "many"}, {}),
        ("dask", {"memory": "64 MiB", "groups": {"gpu": {}}}, {"memory": 128 * 2**20}),
        ("dask", {"groups": {"gpu": {"memory": "64 MiB"}}}, {"groups.gpu.memory": 128 * 2**20}),
        ("spark", {"driver_memory": "100 MiB", "memory": "64 MiB"}, {"driver_memory": 512 * 2**20, "memory": 512 * 2**20}),
    ],
)
def test_what_is_too_small_is_refused_with_what_would_do(kind: str, options: dict[str, Any], retry: object) -> None:
    model = registry.service(kind).Options
    with pytest.raises(InvalidOption) as caught:
        validate(model, kind, options)
    assert caught.value.retry == retry
    if retry:
        validate(model, kind, put(options, retry))


@pytest.mark.parametrize(
    ("name", "other"),
    [("higgs", "higgs-2"), ("higgs-2", "higgs-3"), ("higgs-0", "higgs-0-2"), ("x" * 40, f"{'x' * 30}-2"), ("a-b", "a-b-2")],
)
def test_a_name_that_is_taken_is_refused_with_the_next(name: str, other: str) -> None:
    assert AlreadyExists(name).retry == {"name": check_name(other)}


def test_a_name_that_cannot_be_is_refused_with_one_that_can() -> None:
    with pytest.raises(DodasError) as caught:
        check_name("My Higgs")
    assert caught.value.retry == {"name": "my-higgs"}
