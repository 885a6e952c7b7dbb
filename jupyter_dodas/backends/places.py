"""Backends by name."""

from collections.abc import Callable, Mapping
from typing import Final

from jupyter_dodas.backends.base import Backend
from jupyter_dodas.errors import InvalidOption, did_you_mean
from jupyter_dodas.settings import Settings

__all__ = ["backend"]


def _local(settings: Settings) -> Backend:
    from jupyter_dodas.backends.local.backend import LocalBackend

    return LocalBackend(settings)


_BACKENDS: Final[Mapping[str, Callable[[Settings], Backend]]] = {"local": _local}


def backend(settings: Settings, name: str | None = None) -> Backend:
    """Return the backend of this name, by default the one that the settings name.

    Raises
    ------
    InvalidOption
        If there is none.
    """
    name = name or settings.backend
    if name not in _BACKENDS:
        raise InvalidOption(
            f"There is no backend {name!r}", cause=did_you_mean(name, _BACKENDS), remedy=f"Backends: {', '.join(_BACKENDS)}."
        )
    return _BACKENDS[name](settings)
