"""Look: from what the runner and the service say now, to what each instance is and what the cluster is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jupyter_dodas.backends.base import InstanceState, Running
from jupyter_dodas.controller.table import Seen
from jupyter_dodas.options import GroupOptions
from jupyter_dodas.services.base import Report, Role, Service
from jupyter_dodas.spec import LIVE, ClusterStatus, Condition, InstanceStatus, Usage

__all__ = ["LEAVING", "Facts", "Look", "look", "seen"]

LEAVING: Final = frozenset({Condition.DRAINING, Condition.ENDING})

_STABLE: Final = 60.0
"""Seconds after which a death counts as the first one again."""

_ANSWER: Final = 120.0
"""Seconds within which a part must answer after its start."""

_LONGEST_WAIT: Final = 60.0

_GONE: Final = Running(InstanceState.ENDED, "nobody saw how")
"""What ended while no controller was there. It is simply started again, unless nothing is."""


@dataclass(frozen=True)
class Facts:
    """All that is known when a cluster is looked at."""

    status: ClusterStatus
    running: Mapping[str, Running]
    report: Report
    roles: tuple[Role, ...]
    groups: Mapping[str, GroupOptions]
    epoch: str
    now: float
    tries: int = Service.tries


@dataclass(frozen=True)
class Look:
    """What became of the instances.

    Parameters
    ----------
    forget
        Instances that have ended and are accounted for; the runner can let go of them.
    silent
        Instances that run but do not answer in time, and are to be ended.
    """

    instances: Mapping[str, InstanceStatus]
    usage: Usage
    forget: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


def look(facts: Facts) -> Look:
    """Bring the instances of a status up to date."""
    instances: dict[str, InstanceStatus] = {}
    usage = facts.status.usage
    forget = [name for name in facts.running if name not in facts.status.instances and _ended(facts, name)]
    silent = []
    for name, instance in facts.status.instances.items():
        running = facts.running.get(name)
        if running is None:
            if instance.condition is Condition.READY and facts.tries == 1:
                instances[name] = _died(instance, _GONE, facts.now)
            elif instance.condition not in LEAVING:
                instances[name] = instance
        elif running.state is InstanceState.ENDED:
            forget.append(name)
            if instance.condition is Condition.WAITING:
                instances[name] = instance  # accounted for before; only the runner has not heard of it yet
                continue
            usage = _add(usage, instance, running, facts.now)
            if instance.condition not in LEAVING:
                instances[name] = _died(instance, running, facts.now)
        else:
            instances[name] = now = _answering(name, instance, facts)
            if now.condition is Condition.STARTING and not running.pending and _silent_for(now, running, facts.now) > _ANSWER:
                silent.append(name)
    return Look(instances, usage, tuple(forget), tuple(silent))


def _silent_for(instance: InstanceStatus, running: Running, now: float) -> float:
    """Seconds for which it could have answered."""
    return now - max(instance.since, running.began or 0.0)


def _ended(facts: Facts, name: str) -> bool:
    return facts.running[name].state is InstanceState.ENDED


def _answering(name: str, instance: InstanceStatus, facts: Facts) -> InstanceStatus:
    """Tell by the service's report whether a running instance answers."""
    answers = name in facts.report.ready
    change: dict[str, object] = {}
    if answers and instance.condition in (Condition.STARTING, Condition.WAITING):
        change = {"condition": Condition.READY, "since": facts.now, "retry_at": None}
    elif not answers and instance.condition is Condition.READY and facts.report.ready:
        change = {"condition": Condition.STARTING, "since": facts.now}
    elif instance.condition is Condition.READY and instance.failures and facts.now - instance.since > _STABLE:
        change = {"failures": 0}
    return instance.model_copy(update=change) if change else instance


def _died(instance: InstanceStatus, running: Running, now: float) -> InstanceStatus:
    """It ended unasked: it waits a little, longer each time, and is started again."""
    lived = instance.condition is Condition.READY and now - instance.since > _STABLE
    failures = 1 if lived else instance.failures + 1
    # At once the first time: a killed worker should be back before anybody misses it.
    wait = 0.0 if failures == 1 else min(_LONGEST_WAIT, 0.25 * 4 ** (failures - 2))
    return instance.model_copy(
        update={
            "condition": Condition.WAITING,
            "since": now,
            "failures": failures,
            "retry_at": now + wait,
            "last_exit": running.exit,
            "drain_until": None,
        }
    )


def _add(usage: Usage, instance: InstanceStatus, running: Running, now: float) -> Usage:
    held = instance.cores * max(0.0, now - (instance.started or now))
    return usage.model_copy(
        update={
            "cpu_seconds": usage.cpu_seconds + running.cpu_seconds,
            "peak_memory": max(usage.peak_memory, running.peak_memory),
            "core_seconds": usage.core_seconds + held,
        }
    )


def seen(facts: Facts, instances: Mapping[str, InstanceStatus], targets: Mapping[str, int]) -> Seen:
    """Sum up the instances. Limits are not its business."""
    status = facts.status
    if status.epoch not in ("", facts.epoch) and (status.phase in LIVE or instances):
        return Seen.LOST
    if not instances and not facts.running:
        return Seen.ABSENT
    staying = {name: i for name, i in instances.items() if i.condition not in LEAVING}
    core = [i for i in staying.values() if i.group is None]
    workers = [i for i in staying.values() if i.group is not None]
    hopeless = [i for i in core if i.failures >= facts.tries]
    if status.ready_at is None:
        hopeless += [i for i in workers if i.failures >= facts.tries]
    if hopeless:
        return Seen.BROKEN
    if status.ready_at is None and _held(facts):
        return Seen.HELD
    complete = len(core) == sum(not role.scaled for role in facts.roles) and all(_up(i) for i in core)
    if status.ready_at is None:
        filled = all(sum(i.group == group and _up(i) for i in workers) >= wanted for group, wanted in targets.items())
        return Seen.READY if complete and filled else Seen.PARTIAL
    # Workers that were just added are no wound; those that died are.
    return Seen.READY if complete and all(_up(i) or not i.failures for i in workers) else Seen.HURT


def _held(facts: Facts) -> bool:
    return bool(facts.running) and all(running.state is InstanceState.WAITING for running in facts.running.values())


def _up(instance: InstanceStatus) -> bool:
    return instance.condition is Condition.READY
