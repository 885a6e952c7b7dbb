"""How clusters are shown to people: as text in a terminal, as HTML in a notebook, and while they start."""

import time
from collections.abc import Sequence

from jupyter_dodas import limits, spec
from jupyter_dodas.display import html, text
from jupyter_dodas.display.progress import in_notebook, progress
from jupyter_dodas.display.quota import table
from jupyter_dodas.display.view import MARKS, view
from jupyter_dodas.spec import Phase, Record

__all__ = ["Logs", "Quota", "Receipt", "bundle_of_many", "bundle_of_one", "in_notebook", "progress"]


class Logs(dict[str, str]):
    """Logs by instance, shown one after another."""

    def __repr__(self) -> str:
        return "\n\n".join(f"── {name} ──\n{said.rstrip() or '(nothing)'}" for name, said in self.items()) or "No logs."


class Quota(limits.Quota):
    """What a user may hold, and holds, shown as a table."""

    @classmethod
    def of(cls, found: limits.Quota) -> "Quota":
        """Return a quota that notebooks show so."""
        return cls(**vars(found))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": table(self)}


class Receipt(spec.Receipt):
    """What a cluster took, shown as a sentence."""

    @classmethod
    def of(cls, taken: spec.Receipt | None) -> "Receipt | None":
        """Return a receipt that notebooks show so."""
        return cls.model_validate(taken.model_dump()) if taken is not None else None

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        sentence = text.receipt(self)
        mark = MARKS[Phase.STOPPED]
        return {"text/plain": text.line(mark, sentence), "text/html": html.line(mark, sentence)}


def bundle_of_one(state: Record | str) -> dict[str, str]:
    """Return the representations of one cluster; of one that is gone, only the name is known."""
    if isinstance(state, str):
        mark, sentence = MARKS[Phase.STOPPED], f"{state} has stopped"
        return {"text/plain": text.line(mark, sentence), "text/html": html.line(mark, sentence)}
    shown = view(state, time.time())
    return {"text/plain": text.card(shown), "text/html": html.card(shown)}


def bundle_of_many(states: Sequence[Record]) -> dict[str, str]:
    """Return the representations of several clusters."""
    now = time.time()
    shown = [view(state, now) for state in states]
    return {"text/plain": text.table(shown), "text/html": html.table(shown)}
