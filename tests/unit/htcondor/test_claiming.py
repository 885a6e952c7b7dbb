"""Who fetches what a job has left: few conditions for many jobs, and no claim that is for ever."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.services.htcondor.claiming import is_free, spans
from jupyter_dodas.services.htcondor.submitting import TAKEN

ME, OTHER = "0" * 16, "1" * 16


@given(st.sets(st.tuples(st.integers(1, 3), st.integers(0, 20)), max_size=40))
def test_spans_are_of_these_jobs_and_no_others(jobs: set[tuple[int, int]]) -> None:
    found = []
    for span in spans([f"{cluster}.{process}" for cluster, process in jobs]):
        match = re.fullmatch(r"ClusterId == (\d+) && ProcId >= (\d+) && ProcId <= (\d+)", span)
        assert match is not None
        cluster, first, last = map(int, match.groups())
        found += [(cluster, process) for process in range(first, last + 1)]
    assert sorted(found) == sorted(jobs)


def test_jobs_in_a_row_are_one_span() -> None:
    assert [*spans([f"7.{process}" for process in reversed(range(100))])] == ["ClusterId == 7 && ProcId >= 0 && ProcId <= 99"]


@pytest.mark.parametrize(
    ("taken", "free"),
    [
        (None, True),
        (f"{ME} {time.time() + 999:.0f}", True),
        (f"{OTHER} {time.time() + 999:.0f}", False),
        (f"{OTHER} {time.time() - 1:.0f}", True),
        ("nonsense", True),
    ],
    ids=["nobody's", "mine", "another's", "of one that was killed", "unreadable"],
)
def test_whose_it_is(taken: str | None, free: bool) -> None:
    assert is_free({TAKEN: taken}, ME) is free
