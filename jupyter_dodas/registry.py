"""Kinds by name, found among the entry points of what is installed."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from jupyter_dodas.errors import UnknownKind

if TYPE_CHECKING:
    from jupyter_dodas.services.base import Service

__all__ = ["face", "is_hidden", "kinds", "service"]


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"jupyter_dodas.{group}")}


def kinds() -> tuple[str, ...]:
    """Names of every kind that is installed."""
    return tuple(sorted(_found("services")))


@cache
def service(kind: str) -> "Service":
    """Return the service of a kind.

    Raises
    ------
    UnknownKind
        With the kind that may have been meant.
    """
    point = _found("services").get(kind)
    if point is None:
        raise UnknownKind(kind, kinds())
    made: Service = point.load()()
    return made


def is_hidden(kind: str) -> bool:
    """Whether lists and limits leave clusters of a kind out."""
    return kind in _found("services") and service(kind).hidden


def face(kind: str) -> type[Any] | None:
    """Return the Python face of a kind, a subclass of `jupyter_dodas.aio.Cluster`; None if it has no verbs of its own."""
    point = _found("faces").get(kind)
    return point.load() if point is not None else None
