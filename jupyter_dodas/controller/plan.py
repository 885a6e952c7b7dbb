"""Plan: which instances there should be, which one is drained, which is started again. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from jupyter_dodas.backends.base import InstanceState
from jupyter_dodas.controller.look import LEAVING, Facts
from jupyter_dodas.limits import Share, fitting
from jupyter_dodas.services.base import Role
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import Condition, InstanceStatus

__all__ = ["DRAIN", "Plan", "Shrink", "plan"]

DRAIN: Final = 600.0
"""Seconds that a busy worker has to finish before it is ended all the same."""


class Shrink(Enum):
    """Who may be taken when there are too many."""

    IDLE_ONLY = auto()
    """Only workers that do nothing: the work decided."""
    ANY = auto()
    """The idle first, then busy ones, which finish: the user decided."""


@dataclass(frozen=True)
class Plan:
    """What the instances are to be, and what makes them so.

    Parameters
    ----------
    start
        Instances to apply, in this order.
    drain
        Instances that the service is to free of work.
    end
        Instances to delete politely.
    short
        Workers that the limits do not let start now.
    """

    instances: Mapping[str, InstanceStatus]
    start: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    short: int = 0


def plan(
    facts: Facts,
    instances: Mapping[str, InstanceStatus],
    targets: Mapping[str, int],
    shrink: Mapping[str, Shrink],
    drained: Collection[str],
    limits: Limits,
    taken: Share,
) -> Plan:
    """Compare what there is with the targets.

    Parameters
    ----------
    drained
        Instances that the service has freed.
    taken
        What the user's other clusters hold.
    """
    after = dict(instances)
    for name in _due_to_end(facts, after, drained):
        after[name] = _now(after[name], Condition.ENDING, facts.now)
    short = 0
    for role in facts.roles:
        if not role.scaled:
            if role.name not in after and _answer(after, role.after):
                after[role.name] = InstanceStatus(role=role.name, since=facts.now)
            continue
        for group, target in targets.items():
            short += _resize(facts, after, role, group, target, shrink[group], limits, taken)
    start = [name for name, i in after.items() if _to_start(facts, name, i)]
    for name in start:
        if after[name].condition is Condition.WAITING:
            after[name] = _now(after[name], Condition.STARTING, facts.now)
    draining = tuple(name for name, i in after.items() if i.condition is Condition.DRAINING)
    end = tuple(name for name, i in after.items() if i.condition is Condition.ENDING and name in facts.running)
    return Plan(
        {name: i for name, i in after.items() if i.condition is not Condition.ENDING or name in facts.running},
        tuple(start),
        draining,
        end,
        short,
    )


def _due_to_end(facts: Facts, instances: Mapping[str, InstanceStatus], drained: Collection[str]) -> list[str]:
    return [
        name
        for name, i in instances.items()
        if i.condition is Condition.DRAINING and (name in drained or (i.drain_until is not None and facts.now >= i.drain_until))
    ]


def _resize(
    facts: Facts,
    instances: dict[str, InstanceStatus],
    role: Role,
    group: str,
    target: int,
    shrink: Shrink,
    limits: Limits,
    taken: Share,
) -> int:
    """Add or drain workers of one group, in place. Returns how many the limits hold back."""
    members = {name: i for name, i in instances.items() if i.group == group and i.condition not in LEAVING}
    options = facts.groups[group]
    if len(members) < target:
        if not _answer(instances, role.after):
            return 0
        own = sum((Share(0, 1, i.cores, i.memory) for i in instances.values() if i.group is not None), Share(clusters=1))
        fits = fitting(limits, taken + own, options, target - len(members))
        for name in _free_names(group, instances, facts, fits):
            instances[name] = InstanceStatus(
                role=role.name, group=group, since=facts.now, cores=options.cores, memory=int(options.memory)
            )
        return target - len(members) - fits
    for name in _victims(members, len(members) - target, facts.report.busy, shrink):
        condition = Condition.DRAINING if members[name].condition is Condition.READY else Condition.ENDING
        instances[name] = _now(members[name], condition, facts.now).model_copy(update={"drain_until": facts.now + DRAIN})
    return 0


def _free_names(group: str, instances: Mapping[str, InstanceStatus], facts: Facts, count: int) -> list[str]:
    names: list[str] = []
    number = 0
    while len(names) < count:
        number += 1
        if (name := f"{group}-{number}") not in instances and name not in facts.running:
            names.append(name)
    return names


def _victims(members: Mapping[str, InstanceStatus], count: int, busy: Collection[str], shrink: Shrink) -> list[str]:
    """Those not yet up first, then the idle, then the busy; among equals the youngest name."""

    def worth(name: str) -> tuple[bool, bool, int]:
        return (members[name].condition is Condition.READY, name in busy, -int(name.rpartition("-")[2]))

    ranked = sorted(members, key=worth)
    if shrink is Shrink.IDLE_ONLY:
        ranked = [name for name in ranked if name not in busy]
    return ranked[:count]


def _answer(instances: Mapping[str, InstanceStatus], roles: Collection[str]) -> bool:
    return all(any(i.role == role and i.condition is Condition.READY for i in instances.values()) for role in roles)


def _to_start(facts: Facts, name: str, instance: InstanceStatus) -> bool:
    if instance.condition is Condition.WAITING:
        return instance.retry_at is None or facts.now >= instance.retry_at
    # Noted but not there: a controller was killed between the two, or the place did not take it.
    running = facts.running.get(name)
    missing = running is None or running.state is InstanceState.WAITING
    return instance.condition in (Condition.STARTING, Condition.READY) and missing


def _now(instance: InstanceStatus, condition: Condition, now: float) -> InstanceStatus:
    return instance.model_copy(update={"condition": condition, "since": now})
