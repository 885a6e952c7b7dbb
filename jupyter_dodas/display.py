"""How clusters are shown to people: as text in a terminal, as HTML in a notebook."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

from jupyter_dodas.spec import Record

__all__ = ["Logs", "bundle_of_many", "bundle_of_one", "progress"]


class Logs(dict[str, str]):
    """Logs by instance, shown one after another."""

    def __repr__(self) -> str:
        return "\n".join(f"== {name} ==\n{text}" for name, text in self.items())


def bundle_of_one(state: Record | str) -> dict[str, str]:
    """Return the representations of one cluster; of one that is gone, only the name is known."""
    return {"text/plain": state if isinstance(state, str) else f"{state.name} {state.status.phase}"}


def bundle_of_many(states: Sequence[Record]) -> dict[str, str]:
    """Return the representations of several clusters."""
    return {"text/plain": "\n".join(f"{r.name} {r.spec.kind} {r.status.phase}" for r in states)}


@contextmanager
def progress(follower: Callable[[Record], None] | None) -> Generator[Callable[[Record], None] | None, None, None]:
    """Return something that shows a launch where somebody can see it, or the follower that is given."""
    yield follower
