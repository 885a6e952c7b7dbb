"""What the controller wants to know of a server, taken from its parts; see `jupyter_dodas.inference.control.Fleet`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from jupyter_dodas.inference.control import Work
from jupyter_dodas.inference.execution.plane import Plane
from jupyter_dodas.inference.replicas.keeping import Keeping

__all__ = ["Changes", "Replicas"]

_LOOKS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Changes:
    """Counts what is asked beside predictions with rows: uploads and changes, no looks, which pages and monitors take all day."""

    def __init__(self) -> None:
        self.done = self.underway = 0

    @contextmanager
    def count(self, method: str) -> Iterator[None]:
        """Count a request with this method, for as long as the context lasts."""
        if method in _LOOKS:
            yield
            return
        self.underway += 1
        try:
            yield
        finally:
            self.underway -= 1
            self.done += 1


class Replicas:
    """The replicas of a server, as its controller sees them."""

    def __init__(self, plane: Plane, keeping: Keeping, changes: Changes) -> None:
        self._plane, self._keeping, self._changes = plane, keeping, changes

    def work(self) -> Work:
        """See `Fleet`."""
        answered, underway = self._plane.load()
        return Work(answered + self._changes.done, underway, self._changes.underway)

    def replicas(self) -> Mapping[str, int]:
        """See `Fleet`. One answers once the server has what it has kept."""
        return {name: count for name, count in self._plane.replicas.replicas().items() if self._keeping.kept(name)}

    def retire(self, name: str) -> None:
        """See `Fleet`."""
        self._plane.replicas.retire(name)

    def resume(self, name: str) -> None:
        """See `Fleet`."""
        self._plane.replicas.resume(name)
