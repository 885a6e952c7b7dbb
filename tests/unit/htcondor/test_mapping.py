"""Bundles of calls: none is lost, and no more jobs than it takes to keep all slots busy."""

import pickle
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import JobHeld
from jupyter_dodas.services.htcondor.futures import JobFuture, JobResult, Work
from jupyter_dodas.services.htcondor.mapping import Results, Values, bundles
from jupyter_dodas.services.htcondor.matching import Why
from jupyter_dodas.services.htcondor.states import State


class Nobody:
    """Follows nothing."""

    def state(self, future: JobFuture) -> State:
        return State.IDLE

    def remove(self, futures: Sequence[JobFuture]) -> None:
        pass

    def why(self, job: str) -> Why:
        return Why(job, "waiting", "")


@given(calls=st.integers(0, 3000), slots=st.integers(0, 200), size=st.none() | st.integers(1, 3000))
def test_every_call_is_in_one_bundle(calls: int, slots: int, size: int | None) -> None:
    made = bundles(calls, slots, size)
    assert sum(made) == calls
    assert all(made)
    assert size is not None or len(made) <= max(2 * max(slots, 1), 0)


def test_two_slots_get_four_jobs_and_the_last_are_the_smallest() -> None:
    assert bundles(1000, 2) == [350, 350, 150, 150]
    assert bundles(3, 2) == [1, 1, 1]
    assert bundles(10, 2, 4) == [4, 4, 2]


def future(job: str) -> JobFuture:
    from pathlib import Path

    made = JobFuture(Nobody(), Work({}, Path(), (), lambda left: left))
    made._named(job)
    return made


def values(job: str, *given: object) -> Values:
    """What a job has left whose calls gave, or raised, this."""
    kinds = ["raised" if isinstance(one, Exception) else "value" for one in given]
    return Values([(kind, pickle.dumps(one), "words") for kind, one in zip(kinds, given, strict=True)], job)


def test_what_the_calls_of_a_job_gave_is_a_list_of_it() -> None:
    whole = values("1.0", 1, [2], 3)
    assert whole == [1, [2], 3]
    assert (whole[-1], whole[:2], len(whole), repr(whole)) == (3, [1, [2]], 3, "[1, [2], 3]")
    part = values("1.0", 1, ValueError("unlucky"))
    assert part[0] == 1
    assert repr(part) == "[1, ValueError('unlucky')]"
    with pytest.raises(ValueError, match="unlucky"):
        list(part)


def test_results_come_in_order_and_errors_in_their_place() -> None:
    first, second = future("1.0"), future("1.1")
    second.set_result(values("1.1", 3, 4))
    first.set_result(values("1.0", 1, ValueError("unlucky")))
    results = Results([first, second], [2, 2])
    assert len(results) == 4
    assert next(results) == 1
    with pytest.raises(ValueError, match="unlucky"):
        next(results)
    assert list(results) == [3, 4]
    assert len(results) == 0


def test_a_bundle_whose_job_failed_fails_each_of_its_calls() -> None:
    first, second = future("1.0"), future("1.1")
    first.set_exception(RuntimeError("gone"))
    second.set_result(values("1.1", 3))
    results = Results([first, second], [2, 1])
    for _ in range(2):
        with pytest.raises(RuntimeError):
            next(results)
    assert list(results) == [3]


def test_a_held_bundle_can_be_asked_again() -> None:
    one = future("1.0")
    results = Results([one], [1])
    one._hold(JobHeld("held"))
    with pytest.raises(JobHeld):
        next(results)
    one._hold(None)
    one.set_result(values("1.0", 5))
    assert next(results) == 5


def test_a_held_job_says_so_and_may_still_end_well() -> None:
    one = future("1.0")
    one._hold(JobHeld("held"))
    with pytest.raises(JobHeld):
        one.result(5)
    assert not one.done()
    one.set_result(JobResult("1.0", 0))
    assert one.result().code == 0
