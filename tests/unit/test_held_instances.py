"""Instances that their place has not let in, or not begun: the controller waits for them, and says why."""

from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas.backends.base import InstanceState, Running
from jupyter_dodas.controller.look import Facts, look, seen
from jupyter_dodas.controller.plan import Shrink, plan
from jupyter_dodas.controller.problems import first
from jupyter_dodas.controller.table import STEPS, Do, Seen, Wanted
from jupyter_dodas.limits import NOTHING
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Report, Role
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterStatus, Condition, InstanceStatus, Phase, Problem

NOW = 1000.0
QUOTA = Problem(code="quota", message="hub waits")
HELD = Running(InstanceState.WAITING, pending=True, trouble=QUOTA)
LONG_AGO = 500.0


def facts(running: Mapping[str, Running], **status: Any) -> Facts:
    """A hub and a worker that were asked for long ago, and do not answer."""
    known = {"condition": Condition.STARTING, "since": LONG_AGO, "started": LONG_AGO}
    instances = {"hub": InstanceStatus(role="hub", **known), "worker-1": InstanceStatus(role="worker", group="worker", **known)}
    return Facts(
        status=ClusterStatus(uid="1", epoch="life", phase=Phase.STARTING, instances=instances, **status),
        running=running,
        report=Report(),
        roles=(Role("hub"), Role("worker", scaled=True)),
        groups=Options(workers=1).all_groups(),
        epoch="life",
        now=NOW,
    )


@pytest.mark.parametrize(
    ("running", "silent"),
    [
        (Running(InstanceState.RUNNING), True),
        (Running(InstanceState.RUNNING, pending=True), False),
        (Running(InstanceState.RUNNING, began=NOW - 200), True),
        (Running(InstanceState.RUNNING, began=NOW - 10), False),
        (HELD, False),
    ],
)
def test_only_who_has_begun_is_blamed_for_silence(running: Running, silent: bool) -> None:
    assert look(facts({"hub": running})).silent == (("hub",) if silent else ())


def test_a_cluster_of_which_nothing_is_let_in_is_pending_and_tried_again() -> None:
    held = facts({"hub": HELD, "worker-1": HELD})
    instances = look(held).instances
    assert instances == held.status.instances
    assert seen(held, instances, {"worker": 1}) is Seen.HELD
    step = STEPS[Wanted.RUN, Seen.HELD]
    assert (step.phase, step.do) == (Phase.PENDING, (Do.RUN,))
    planned = plan(held, instances, {"worker": 1}, {"worker": Shrink.ANY}, (), Limits(), NOTHING)
    assert planned.start == ("hub", "worker-1")


@pytest.mark.parametrize(
    ("running", "status"),
    [
        ({"hub": HELD, "worker-1": Running(InstanceState.RUNNING)}, {}),
        ({"hub": HELD, "worker-1": HELD}, {"ready_at": 900.0}),
    ],
)
def test_one_of_which_something_runs_or_ran_is_not(running: Mapping[str, Running], status: Mapping[str, Any]) -> None:
    held = facts(running, **status)
    assert seen(held, look(held).instances, {"worker": 1}) is not Seen.HELD


def test_the_first_trouble_is_told() -> None:
    held = facts({"hub": Running(InstanceState.RUNNING), "worker-1": HELD})
    assert first(held.running, held.status.instances) == QUOTA
    assert first({"hub": Running(InstanceState.RUNNING)}, held.status.instances) is None
