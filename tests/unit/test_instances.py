"""What becomes of instances: the controller's look at them, and its plan for them. All of it only decides."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.backends.base import InstanceState, Running
from jupyter_dodas.controller.look import Facts, look, seen
from jupyter_dodas.controller.plan import DRAIN, Plan, Shrink, plan
from jupyter_dodas.controller.problems import broken
from jupyter_dodas.controller.table import Seen
from jupyter_dodas.limits import NOTHING, Share
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Report, Role
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterStatus, Condition, InstanceStatus, Phase

NOW = 1000.0
ROLES = (Role("hub", ports=("work",)), Role("worker", scaled=True))
RUNS = Running(InstanceState.RUNNING)
KILLED = Running(InstanceState.ENDED, "killed by SIGKILL", cpu_seconds=2.0, peak_memory=100)


def hub(condition: Condition = Condition.READY, **known: Any) -> InstanceStatus:
    return InstanceStatus(role="hub", condition=condition, **{"since": 900.0, "started": 900.0, **known})


def worker(condition: Condition = Condition.READY, group: str = "worker", **known: Any) -> InstanceStatus:
    return InstanceStatus(
        role="worker", group=group, condition=condition, **{"since": 900.0, "started": 900.0, "cores": 2, **known}
    )


def facts(
    instances: Mapping[str, InstanceStatus],
    *,
    running: Mapping[str, Running] | None = None,
    report: Report | None = None,
    options: Mapping[str, Any] | None = None,
    **status: Any,
) -> Facts:
    """All instances run, and those that are ready say so, unless told otherwise."""
    ready = frozenset(name for name, instance in instances.items() if instance.condition is Condition.READY)
    return Facts(
        status=ClusterStatus(uid="1", epoch="life", phase=Phase.READY, instances=instances, **{"ready_at": 901.0, **status}),
        running=dict.fromkeys(instances, RUNS) if running is None else running,
        report=Report(ready=ready) if report is None else report,
        roles=ROLES,
        groups=Options.model_validate(options or {}).all_groups(),
        epoch="life",
        now=NOW,
    )


# -- looking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [{"hub": KILLED}, {}])
def test_what_is_never_started_again_has_failed_with_its_first_death(running: Mapping[str, Running]) -> None:
    known = replace(facts({"hub": hub()}, running=running), tries=1)
    found = look(known).instances
    assert seen(known, found, {"worker": 0}) is Seen.BROKEN
    assert broken("higgs", "hub", found["hub"], "", was_ready=True).message.startswith("hub of 'higgs' has ended: ")


def test_what_is_started_again_has_not() -> None:
    known = facts({"hub": hub()}, running={"hub": KILLED})
    assert seen(known, look(known).instances, {"worker": 0}) is Seen.HURT


@pytest.mark.parametrize(
    ("before", "running", "answers", "after"),
    [
        (Condition.STARTING, RUNS, True, Condition.READY),
        (Condition.STARTING, RUNS, False, Condition.STARTING),
        (Condition.READY, RUNS, True, Condition.READY),
        (Condition.READY, RUNS, False, Condition.STARTING),
        (Condition.DRAINING, RUNS, True, Condition.DRAINING),
        (Condition.ENDING, RUNS, True, Condition.ENDING),
        (Condition.STARTING, KILLED, False, Condition.WAITING),
        (Condition.READY, KILLED, True, Condition.WAITING),
        (Condition.DRAINING, KILLED, False, None),
        (Condition.ENDING, KILLED, False, None),
        (Condition.WAITING, KILLED, False, Condition.WAITING),
        (Condition.STARTING, None, False, Condition.STARTING),
        (Condition.WAITING, None, False, Condition.WAITING),
        (Condition.DRAINING, None, False, None),
        (Condition.ENDING, None, False, None),
    ],
)
def test_what_becomes_of_a_worker(before: Condition, running: Running | None, answers: bool, after: Condition | None) -> None:
    known = facts(
        {"hub": hub(), "worker-1": worker(before)},
        running={"hub": RUNS} | ({"worker-1": running} if running else {}),
        report=Report(ready=frozenset({"hub"} | ({"worker-1"} if answers else set()))),
    )
    found = look(known)
    assert (found.instances["worker-1"].condition if "worker-1" in found.instances else None) is after
    assert found.forget == (("worker-1",) if running is KILLED else ())


def test_nothing_is_concluded_from_silence_while_nobody_answers() -> None:
    found = look(facts({"hub": hub(), "worker-1": worker()}, report=Report()))
    assert {name: i.condition for name, i in found.instances.items()} == {"hub": Condition.READY, "worker-1": Condition.READY}


def test_who_does_not_answer_in_time_is_ended() -> None:
    silent, slow = worker(Condition.STARTING, since=NOW - 121), worker(Condition.STARTING, since=NOW - 119)
    assert look(facts({"worker-1": silent, "worker-2": slow})).silent == ("worker-1",)


def test_each_death_in_a_row_is_waited_longer_for_and_a_long_life_starts_anew() -> None:
    def died(failures: int, since: float = NOW - 1, condition: Condition = Condition.STARTING) -> InstanceStatus:
        known = facts({"worker-1": worker(condition, failures=failures, since=since)}, running={"worker-1": KILLED})
        return look(known).instances["worker-1"]

    waits = [(died(failures).failures, (died(failures).retry_at or 0) - NOW) for failures in range(8)]
    assert waits == [(1, 0.0), (2, 0.25), (3, 1.0), (4, 4.0), (5, 16.0), (6, 60.0), (7, 60.0), (8, 60.0)]
    assert died(3, since=NOW - 61, condition=Condition.READY).failures == 1
    assert died(3, since=NOW - 59, condition=Condition.READY).failures == 4
    assert died(0).last_exit == "killed by SIGKILL"


def test_what_ended_is_accounted_for_once() -> None:
    started = worker(Condition.READY, started=NOW - 50)
    known = facts({"worker-1": started, "worker-2": worker(Condition.WAITING)}, running={"worker-1": KILLED, "worker-2": KILLED})
    found = look(known)
    assert (found.usage.cpu_seconds, found.usage.peak_memory, found.usage.core_seconds) == (2.0, 100, 100.0)
    assert set(found.forget) == {"worker-1", "worker-2"}


def test_time_held_is_counted_from_the_start_also_if_it_fell_silent_meanwhile() -> None:
    silent = look(facts({"hub": hub(), "worker-1": worker()}, report=Report(ready=frozenset({"hub"})))).instances
    found = look(facts(silent, running={"hub": RUNS, "worker-1": KILLED}))
    assert found.usage.core_seconds == 2 * 100.0


def test_strangers_that_have_ended_are_forgotten_and_those_that_run_are_left() -> None:
    known = facts({}, running={"worker-8": KILLED, "worker-9": RUNS})
    assert look(known).forget == ("worker-8",)


HEALTHY = {"hub": hub(), "worker-1": worker()}


@pytest.mark.parametrize(
    ("instances", "change", "targets", "found"),
    [
        ({}, {}, {"worker": 1}, Seen.ABSENT),
        (HEALTHY, {}, {"worker": 1}, Seen.READY),
        (HEALTHY, {"ready_at": None}, {"worker": 1}, Seen.READY),
        (HEALTHY, {"ready_at": None}, {"worker": 2}, Seen.PARTIAL),
        (HEALTHY, {}, {"worker": 2}, Seen.READY),
        ({"hub": hub(Condition.STARTING), "worker-1": worker()}, {}, {"worker": 1}, Seen.HURT),
        ({"hub": hub(), "worker-1": worker(Condition.WAITING, failures=1)}, {}, {"worker": 1}, Seen.HURT),
        ({"hub": hub(), "worker-1": worker(Condition.STARTING)}, {}, {"worker": 1}, Seen.READY),
        ({"hub": hub(Condition.WAITING, failures=4)}, {}, {"worker": 0}, Seen.BROKEN),
        ({"hub": hub(Condition.WAITING, failures=3)}, {}, {"worker": 0}, Seen.HURT),
        ({"hub": hub(), "worker-1": worker(Condition.WAITING, failures=4)}, {"ready_at": None}, {"worker": 1}, Seen.BROKEN),
        ({"hub": hub(), "worker-1": worker(Condition.WAITING, failures=9)}, {}, {"worker": 1}, Seen.HURT),
        (HEALTHY, {"epoch": "another"}, {"worker": 1}, Seen.LOST),
        ({}, {"epoch": "another"}, {"worker": 1}, Seen.LOST),
        ({}, {"epoch": "another", "phase": Phase.PENDING}, {"worker": 1}, Seen.ABSENT),
        ({}, {"epoch": "another", "phase": Phase.FAILED}, {"worker": 1}, Seen.ABSENT),
    ],
)
def test_what_a_cluster_looks_like(
    instances: Mapping[str, InstanceStatus], change: Mapping[str, Any], targets: Mapping[str, int], found: Seen
) -> None:
    known = facts(instances)
    known = Facts(**{**vars(known), "status": known.status.model_copy(update=change)})
    assert seen(known, instances, targets) is found


# -- planning ---------------------------------------------------------------------------------------------------------


def planned(known: Facts, targets: Mapping[str, int], shrink: Shrink = Shrink.ANY, **given: Any) -> Plan:
    return plan(
        known,
        known.status.instances,
        targets,
        dict.fromkeys(targets, shrink),
        given.get("drained", ()),
        given.get("limits", Limits()),
        given.get("taken", NOTHING),
    )


def conditions(found: Plan) -> Mapping[str, Condition]:
    return {name: instance.condition for name, instance in found.instances.items()}


def test_a_new_cluster_starts_all_at_once() -> None:
    found = planned(facts({}, running={}, ready_at=None), {"worker": 2})
    assert found.start == ("hub", "worker-1", "worker-2")
    assert (found.instances["worker-1"].cores, found.instances["worker-1"].memory) == (1, 2 * 2**30)


def test_who_waits_for_others_is_started_after_them() -> None:
    known = facts({}, running={})
    known = Facts(**{**vars(known), "roles": (ROLES[0], Role("worker", scaled=True, after=("hub",)))})
    assert planned(known, {"worker": 2}).start == ("hub",)


def test_what_is_to_start_is_started_again_if_a_controller_was_killed_before_it_did() -> None:
    known = facts({"hub": hub(Condition.STARTING), "worker-1": worker(Condition.STARTING)}, running={"hub": RUNS})
    assert planned(known, {"worker": 1}).start == ("worker-1",)


def test_the_dead_wait_for_their_time() -> None:
    def starts(retry_at: float) -> tuple[str, ...]:
        dead = worker(Condition.WAITING, retry_at=retry_at, failures=2)
        return planned(facts({"hub": hub(), "worker-1": dead}, running={"hub": RUNS}), {"worker": 1}).start

    assert starts(NOW + 0.1) == ()
    assert starts(NOW) == ("worker-1",)


def test_a_name_is_used_again_only_when_nobody_has_it() -> None:
    known = facts({"hub": hub(), "worker-2": worker()}, running={"hub": RUNS, "worker-2": RUNS, "worker-1": KILLED})
    assert planned(known, {"worker": 3}).start == ("worker-3", "worker-4")


@pytest.mark.parametrize(
    ("busy", "shrink", "leaving"),
    [
        ((), Shrink.ANY, {"worker-3": Condition.DRAINING, "worker-4": Condition.ENDING}),
        ({"worker-3"}, Shrink.ANY, {"worker-2": Condition.DRAINING, "worker-4": Condition.ENDING}),
        ({"worker-1", "worker-2", "worker-3"}, Shrink.ANY, {"worker-3": Condition.DRAINING, "worker-4": Condition.ENDING}),
        ({"worker-1", "worker-2", "worker-3"}, Shrink.IDLE_ONLY, {"worker-4": Condition.ENDING}),
        ({"worker-1", "worker-3"}, Shrink.IDLE_ONLY, {"worker-2": Condition.DRAINING, "worker-4": Condition.ENDING}),
    ],
)
def test_who_goes_first(busy: set[str], shrink: Shrink, leaving: Mapping[str, Condition]) -> None:
    """Those who are not up yet, then the idle, then the youngest; the busy only if the user wants it, and drained."""
    instances = {"hub": hub(), **{f"worker-{n}": worker() for n in (1, 2, 3)}, "worker-4": worker(Condition.STARTING)}
    ready = frozenset(instances) - {"worker-4"}
    found = planned(facts(instances, report=Report(ready=ready, busy=frozenset(busy))), {"worker": 2}, shrink)
    assert {name: c for name, c in conditions(found).items() if c in set(leaving.values()) - {Condition.READY}} == leaving
    assert found.drain == tuple(name for name, c in leaving.items() if c is Condition.DRAINING)
    assert found.end == ("worker-4",)


def test_the_drained_one_is_the_one_that_ends() -> None:
    draining = {f"worker-{n}": worker(Condition.DRAINING, drain_until=NOW + 5) for n in (1, 2)}
    found = planned(facts({"hub": hub(), **draining}), {"worker": 0}, drained={"worker-2"})
    assert (found.end, found.drain) == (("worker-2",), ("worker-1",))


def test_who_is_not_drained_in_time_ends_all_the_same() -> None:
    late = worker(Condition.DRAINING, drain_until=NOW)
    assert planned(facts({"hub": hub(), "worker-1": late}), {"worker": 0}).end == ("worker-1",)
    assert planned(facts({"hub": hub(), "worker-1": worker()}), {"worker": 0}).instances["worker-1"].drain_until == NOW + DRAIN


def test_limits_hold_workers_back() -> None:
    known = facts({"hub": hub(), "worker-1": worker()})
    found = planned(known, {"worker": 5}, limits=Limits(workers=6), taken=Share(1, 3, 3, 0))
    assert (found.start, found.short) == (("worker-2", "worker-3"), 2)
    assert planned(known, {"worker": 5}, limits=Limits(workers=4), taken=Share(1, 9, 9, 0)).start == ()


@given(
    names=st.dictionaries(
        st.integers(1, 9).map("worker-{}".format), st.tuples(st.sampled_from(Condition), st.sampled_from([RUNS, KILLED, None]))
    ),
    target=st.integers(0, 9),
    shrink=st.sampled_from(Shrink),
    bound=st.none() | st.integers(0, 9),
    busy=st.sets(st.integers(1, 9).map("worker-{}".format)),
)
def test_a_plan_comes_to_rest_and_keeps_to_the_rules(
    names: Mapping[str, tuple[Condition, Running | None]], target: int, shrink: Shrink, bound: int | None, busy: set[str]
) -> None:
    instances = {"hub": hub(), **{name: worker(condition) for name, (condition, _) in names.items()}}
    running = {"hub": RUNS, **{name: state for name, (_, state) in names.items() if state}}
    known = facts(instances, running=running, report=Report(ready=frozenset(instances), busy=frozenset(busy)))
    looked = look(known)
    bounds = Limits(workers=bound)
    found = plan(known, looked.instances, {"worker": target}, {"worker": shrink}, (), bounds, NOTHING)
    staying = {n for n, i in found.instances.items() if i.group and i.condition not in (Condition.DRAINING, Condition.ENDING)}
    before = {n for n, i in looked.instances.items() if i.group and i.condition not in (Condition.DRAINING, Condition.ENDING)}
    assert len(staying) <= max(target, len(before)), "more than was there, and than is wanted"
    assert len(staying) >= min(target, len(before)), "fewer than was there, and than is wanted"
    if shrink is Shrink.IDLE_ONLY:
        assert not (before - staying) & busy, "the work decided, and the busy must go"
    if bound is not None:
        assert len(staying) <= max(bound, len(before))
        assert not staying - before or len([n for n, i in found.instances.items() if i.group]) <= bound
    assert not set(found.start) & set(found.end)
    assert set(found.start) <= found.instances.keys()
    again = Facts(**{**vars(known), "status": known.status.model_copy(update={"instances": found.instances})})
    twice = plan(again, found.instances, {"worker": target}, {"worker": shrink}, (), bounds, NOTHING)
    assert twice.instances.keys() == found.instances.keys(), "a plan for a plan is another one"
