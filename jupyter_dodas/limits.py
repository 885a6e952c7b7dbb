"""Limits: who may start, who waits, and what can never be. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from jupyter_dodas.options import GroupOptions
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterStatus

__all__ = ["NOTHING", "Allowance", "Quota", "Share", "fitting", "held", "least", "less", "missing", "never", "of_group", "words"]

_STEP: Final = 64 * 2**20
"""Of suggested sizes; no worker has less memory."""

_NAMES: Final = ("clusters", "workers", "cores", "memory")


@dataclass(frozen=True)
class Share:
    """An amount of each thing that is limited."""

    clusters: int = 0
    workers: int = 0
    cores: int = 0
    memory: int = 0

    def __add__(self, other: "Share") -> "Share":
        # `dataclasses.astuple` would make deep copies, and a sum over all clusters is part of every change that a screen shows.
        return Share(
            self.clusters + other.clusters, self.workers + other.workers, self.cores + other.cores, self.memory + other.memory
        )


NOTHING: Final = Share()


def of_group(group: GroupOptions, workers: int) -> Share:
    """What a number of workers of a group take."""
    return Share(0, workers, workers * group.cores, workers * int(group.memory))


def least(groups: Iterable[GroupOptions]) -> Share:
    """What a cluster takes at the least: with this it can start."""
    return sum((of_group(group, group.bounds()[0]) for group in groups), Share(clusters=1))


def held(status: ClusterStatus) -> Share:
    """What a cluster holds now."""
    workers = [instance for instance in status.instances.values() if instance.group is not None]
    if not status.instances:
        return NOTHING
    return Share(1, len(workers), sum(w.cores for w in workers), sum(w.memory for w in workers))


def missing(limits: Limits, taken: Share, asked: Share) -> Mapping[str, int]:
    """Return by how much the limits are passed, by what is limited; empty if it fits."""
    total = taken + asked
    return {
        name: over for name in _NAMES if (limit := getattr(limits, name)) is not None and (over := getattr(total, name) - limit) > 0
    }


def never(limits: Limits, asked: Share) -> tuple[str, int, int] | None:
    """Return what can never fit, how much of it was asked for, and the limit; None if it can."""
    for name in missing(limits, NOTHING, asked):
        return name, getattr(asked, name), getattr(limits, name)
    return None


def fitting(limits: Limits, taken: Share, group: GroupOptions, workers: int) -> int:
    """How many of these workers fit."""
    return bisect_left(range(1, workers + 1), True, key=lambda number: bool(missing(limits, taken, of_group(group, number))))


def less(limits: Limits, taken: Share, groups: Mapping[str, GroupOptions]) -> Mapping[str, Any]:
    """Return options with which a cluster fits beside what is taken, by their paths: fewer workers, else smaller ones.

    Empty if it takes more than one group to give way.
    """
    by_number = sorted(groups, key=lambda name: groups[name].bounds()[0], reverse=True)
    for smaller in (_fewer, _smaller):
        for name in by_number:
            beside = taken + least(group for other, group in groups.items() if other != name)
            if found := smaller(limits, beside, groups[name]):
                return {f"{'' if name == 'worker' else f'groups.{name}.'}{option}": value for option, value in found.items()}
    return {}


def _fewer(limits: Limits, beside: Share, group: GroupOptions) -> Mapping[str, Any]:
    asked = group.bounds()[0]
    fits = fitting(limits, beside, group, asked)
    if not 0 < fits < asked:
        return {}
    return {"adapt": {"minimum": fits, "maximum": group.adapt.maximum}} if group.adapt else {"workers": fits}


def _smaller(limits: Limits, beside: Share, group: GroupOptions) -> Mapping[str, Any]:
    workers = group.bounds()[0]
    if not workers:
        return {}
    room = {
        name: (limit - getattr(beside, name)) // workers
        for name in ("cores", "memory")
        if (limit := getattr(limits, name)) is not None
    }
    cores = min(group.cores, room.get("cores", group.cores))
    memory = min(int(group.memory), room.get("memory", int(group.memory)) // _STEP * _STEP)
    asked = replace(of_group(group, workers), cores=workers * cores, memory=workers * memory)
    if cores < 1 or memory < _STEP or missing(limits, beside, asked):
        return {}
    changed = {"cores": (cores, group.cores), "memory": (memory, int(group.memory))}
    return {option: fits for option, (fits, was) in changed.items() if fits != was}


def words(what: str, amount: int) -> str:
    """Say an amount of what is limited."""
    return f"{amount / 2**30:.1f} GiB" if what == "memory" else str(amount)


class Allowance(BaseModel):
    """What a user may hold, and who says so. A hub writes it where the place of a user is, see `Ground.prepare`."""

    # What a newer hub has to say beyond this changes nothing here.
    model_config = ConfigDict(frozen=True, extra="ignore")

    limits: Limits = Limits()
    groups: tuple[str, ...] = Field(default=(), description="Groups of the identity provider that give it.")
    enforced: bool = Field(default=False, description="Whether somebody that the user cannot change sees to it.")

    def within(self, own: Limits) -> "Allowance":
        """Return it with what the user has set for herself, as far as that is less."""
        said = {name: (getattr(self.limits, name), getattr(own, name)) for name in _NAMES}
        lower = {name: min((one for one in both if one is not None), default=None) for name, both in said.items()}
        return self.model_copy(update={"limits": Limits.model_validate(lower)})


@dataclass(frozen=True)
class Quota:
    """What a user may hold, and holds.

    Parameters
    ----------
    enforced
        Whether somebody that the user cannot change sees to it; otherwise it is a guard rail.
    groups
        The groups of the identity provider that give it.
    """

    limits: Limits
    used: Share
    enforced: bool
    groups: Sequence[str] = ()

    def rows(self) -> list[tuple[str, int, int | None]]:
        """What, how much of it is used, and the limit."""
        return [(name, getattr(self.used, name), getattr(self.limits, name)) for name in _NAMES]
