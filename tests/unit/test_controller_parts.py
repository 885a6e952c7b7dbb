"""The parts of the controller that only decide: the table, the queue, scaling, idleness, limits."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas import limits
from jupyter_dodas.controller.idle import idleness
from jupyter_dodas.controller.queue import WorkQueue
from jupyter_dodas.controller.scale import Patience, shares
from jupyter_dodas.controller.table import STEPS, Do, Seen, Wanted, wanted
from jupyter_dodas.options import GroupOptions, Options
from jupyter_dodas.services.base import Report
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Intent, Phase, PhaseChange


def test_the_table_is_total() -> None:
    assert set(STEPS) == set(itertools.product(Wanted, Seen))


def test_what_is_to_stop_ends_and_is_removed() -> None:
    for seen in Seen:
        step = STEPS[Wanted.STOP, seen]
        assert step.phase in {Phase.STOPPING, Phase.STOPPED}
        assert step.do in {(Do.END,), (Do.REMOVE,)}


def test_nothing_failed_is_started() -> None:
    assert all(Do.RUN not in STEPS[Wanted.FAIL, seen].do for seen in Seen)


SPEC = ClusterSpec(name="higgs", uid="1", kind="toy", owner="alice", created=0.0)
STATUS = ClusterStatus(uid="1")
FAILED = STATUS.model_copy(update={"phase": Phase.FAILED, "history": (PhaseChange(phase=Phase.FAILED, at=100.0),)})


@pytest.mark.parametrize(
    ("spec", "status", "now", "found"),
    [
        ({}, STATUS, 0, Wanted.RUN),
        ({"intent": Intent.STOP}, STATUS, 0, Wanted.STOP),
        ({"intent": Intent.STOP, "restarts": 1}, FAILED, 0, Wanted.STOP),
        ({"restarts": 1}, STATUS, 0, Wanted.RESTART),
        ({"restarts": 1}, FAILED, 101, Wanted.RESTART),
        ({}, FAILED, 101, Wanted.FAIL),
        ({}, FAILED, 161, Wanted.STOP),
        ({}, STATUS.model_copy(update={"expired": True}), 0, Wanted.STOP),
    ],
)
def test_what_is_wanted(spec: Mapping[str, Any], status: ClusterStatus, now: float, found: Wanted) -> None:
    assert wanted(SPEC.model_copy(update=spec), status, now, keep_failed=60) is found


async def taken(queue: WorkQueue, within: float = 5) -> str:
    async with asyncio.timeout(within):
        return await queue.get()


def empty(queue: WorkQueue) -> Any:
    return pytest.raises(TimeoutError)


@pytest.mark.anyio
async def test_the_queue_merges_and_hands_out_one_at_a_time() -> None:
    queue = WorkQueue()
    for name in ("a", "b", "a", "a"):
        queue.add(name)
    assert [await taken(queue), await taken(queue)] == ["a", "b"]
    queue.add("a")  # while somebody works on it
    with empty(queue):
        await taken(queue, 0.05)
    queue.done("a")
    assert await taken(queue) == "a"


@pytest.mark.anyio
async def test_the_earliest_of_several_times_counts() -> None:
    queue, loop = WorkQueue(), asyncio.get_running_loop()
    began = loop.time()
    queue.add_after("a", 30)
    queue.add_after("a", 0.02)
    queue.add_after("a", 60)
    assert await taken(queue) == "a"
    assert loop.time() - began >= 0.02
    queue.done("a")
    with empty(queue):
        await taken(queue, 0.05)


@pytest.mark.anyio
async def test_what_fails_comes_again_later_each_time() -> None:
    queue, loop = WorkQueue(), asyncio.get_running_loop()
    waits = []
    queue.add("a")
    for _ in range(3):
        began = loop.time()
        assert await taken(queue) == "a"
        waits.append(loop.time() - began)
        queue.done("a", failed=True)
    assert waits[1] >= 0.1
    assert waits[2] >= 0.2


def test_growing_is_at_once_and_shrinking_takes_patience() -> None:
    patience = Patience(5)
    assert patience.target("worker", current=1, wanted=4, now=0) == 4
    assert patience.target("worker", current=4, wanted=1, now=1) == 4
    assert patience.target("worker", current=4, wanted=1, now=5.9) == 4
    assert patience.look_at() == 6
    assert patience.target("worker", current=4, wanted=4, now=5.95) == 4  # work came back
    assert patience.target("worker", current=4, wanted=0, now=6) == 4
    assert patience.target("worker", current=4, wanted=0, now=11) == 0


def groups(**asked: Any) -> Mapping[str, GroupOptions]:
    return Options.model_validate(asked).all_groups()


@pytest.mark.parametrize(
    ("asked", "wants", "found"),
    [
        ({"workers": 3}, 9, {"worker": 3}),
        ({"adapt": [1, 4]}, 9, {"worker": 4}),
        ({"adapt": [1, 4]}, None, {"worker": 1}),
        ({"workers": 2, "groups": {"gpu": {"adapt": [0, 4]}}}, 5, {"worker": 2, "gpu": 3}),
        ({"adapt": [0, 2], "groups": {"gpu": {"adapt": [0, 4]}}}, 5, {"worker": 2, "gpu": 3}),
        ({"adapt": [0, 2], "groups": {"gpu": {"adapt": [1, 4]}}}, 0, {"worker": 0, "gpu": 1}),
    ],
)
def test_the_work_is_shared_among_groups(asked: Mapping[str, Any], wants: int | None, found: Mapping[str, int]) -> None:
    assert shares(groups(**asked), wants) == found


READY = STATUS.model_copy(update={"phase": Phase.READY, "ready_at": 0.0})


@pytest.mark.parametrize(
    ("report", "now", "keep", "stops_at", "expired"),
    [
        (Report(active=True), 10_000, None, None, False),
        (Report(), 100, None, None, False),
        (Report(), 3100, None, 3600, False),
        (Report(), 3600, None, 3600, True),
        (Report(last_active=100), 3600, None, None, False),
        (Report(), 3600, 9000, None, False),
        (Report(), 8500, 9000, 9000, False),
        (Report(), 9000, 9000, 9000, True),
    ],
)
def test_an_unused_cluster_is_warned_of_and_then_expires(
    report: Report, now: float, keep: float | None, stops_at: float | None, expired: bool
) -> None:
    found = idleness(READY, report, now, timeout=3600, warn_before=600, keep_until=keep)
    assert (found.stops_at, found.expired) == (stops_at, expired)


def test_an_unknown_state_is_not_idleness() -> None:
    assert idleness(READY, None, 10_000, timeout=3600, warn_before=600, keep_until=None).expired is False
    assert idleness(READY, Report(), 10_000, timeout=None, warn_before=600, keep_until=None).expired is False


def test_limits_tell_what_is_missing_and_what_can_never_be() -> None:
    bounds = Limits(workers=4, cores=8)
    two = limits.least(groups(workers=2, cores=2).values())
    assert limits.missing(bounds, limits.NOTHING, two) == {}
    assert limits.missing(bounds, two, two) == {}
    assert limits.missing(bounds, two + two, two) == {"workers": 2, "cores": 4}
    assert limits.never(bounds, limits.least(groups(workers=5).values())) == ("workers", 5, 4)
    assert limits.never(bounds, two) is None
    assert limits.fitting(bounds, two, GroupOptions(cores=3), 9) == 1
