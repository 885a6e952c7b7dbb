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
    # What went too fast to be seen was there all the same.
    first = _ORDER.index(last.name) + 1 if last is not None else _ORDER.index(name)
    skipped = (Step(name=one, started=now, ended=now, usually=usually.get(one)) for one in _ORDER[first : _ORDER.index(name)])
    return (*ended(steps, now), *skipped, Step(name=name, started=now, usually=usually.get(name)))


def ended(steps: tuple[Step, ...], now: float) -> tuple[Step, ...]:
    """Return the steps when all that were begun are over."""
    return tuple(step if step.ended is not None else step.model_copy(update={"ended": now}) for step in steps)
