"""Steps: the named parts of a launch, with what they took and what they usually take. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Final

from jupyter_dodas.services.base import Role
from jupyter_dodas.spec import ClusterStatus, Condition, Receipt, Step

__all__ = ["Durations", "steps"]

_REMEMBERED: Final = 20


class Durations:
    """How long each step of each kind took lately."""

    def __init__(self, receipts: Iterable[Receipt]) -> None:
        self._seen: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        for receipt in receipts:
            self.add(receipt)

    def add(self, receipt: Receipt) -> None:
        """Learn from a cluster that has ended."""
        for step, seconds in receipt.steps.items():
            self._seen[receipt.kind, step].append(seconds)

    def usually(self, kind: str, step: str) -> float | None:
        """Return the median in seconds; None if it was never seen."""
        seen = self._seen.get((kind, step))
        return sorted(seen)[len(seen) // 2] if seen else None


def steps(status: ClusterStatus, roles: Sequence[Role], durations: Durations, kind: str, now: float) -> tuple[Step, ...]:
    """Bring the steps of a launch up to date. Once it was complete they stay as they are."""
    if status.steps and all(step.ended is not None for step in status.steps):
        return status.steps
    known = {step.name: step for step in status.steps}
    began = now if not known else min(step.started for step in known.values())
    found = []
    for role in roles:
        name = role.step or f"{role.name.capitalize()} answers"
        step = known.get(name) or Step(name=name, started=began, usually=durations.usually(kind, name))
        own = [i for i in status.instances.values() if i.role == role.name]
        wanted = sum(status.targets.values()) if role.scaled else 1
        ready = sum(i.condition is Condition.READY for i in own)
        if step.ended is None and (ready >= wanted or status.ready_at is not None):
            step = step.model_copy(update={"ended": now})
        found.append(step)
    return tuple(found)
