"""The steps that people follow while something is made: named, dated, with what they usually take."""

from collections.abc import Mapping
from typing import Final

from jupyter_dodas.spec import Step

__all__ = ["advance", "ended"]

_ORDER: Final = ("Queued", "Machines", "Kubernetes")


def advance(steps: tuple[Step, ...], name: str, now: float, usually: Mapping[str, float]) -> tuple[Step, ...]:
    """Return the steps when one of this name is under way. Nobody is shown how something goes back."""
    last = steps[-1] if steps else None
    if last is not None and last.ended is None and _ORDER.index(name) <= _ORDER.index(last.name):
        return steps
    return (*ended(steps, now), Step(name=name, started=now, usually=usually.get(name)))


def ended(steps: tuple[Step, ...], now: float) -> tuple[Step, ...]:
    """Return the steps when all that were begun are over."""
    return tuple(step if step.ended is not None else step.model_copy(update={"ended": now}) for step in steps)
