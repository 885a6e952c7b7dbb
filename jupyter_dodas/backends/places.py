"""Backends by name."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from jupyter_dodas.backends.base import Backend, Tenure
from jupyter_dodas.errors import InvalidOption, did_you_mean
from jupyter_dodas.settings import Settings

__all__ = ["backend", "tenure"]


def _local(settings: Settings) -> Backend:
    from jupyter_dodas.backends.local.backend import LocalBackend

    return LocalBackend(settings)


def _kubernetes(settings: Settings) -> Backend:
    from jupyter_dodas.backends.kubernetes.backend import KubernetesBackend

    return KubernetesBackend(settings)


_BACKENDS: Final[Mapping[str, Callable[[Settings], Backend]]] = {"local": _local, "kubernetes": _kubernetes}


def _local_tenure(settings: Settings, arguments: Sequence[str]) -> AbstractAsyncContextManager[Tenure]:
    from jupyter_dodas.backends.local.tenure import tenure

    return tenure(settings, arguments)


def _kubernetes_tenure(settings: Settings, arguments: Sequence[str]) -> AbstractAsyncContextManager[Tenure]:
    from jupyter_dodas.backends.kubernetes.tenure import tenure

    return tenure(settings, arguments)


_TENURES: Final[Mapping[str, Callable[[Settings, Sequence[str]], AbstractAsyncContextManager[Tenure]]]] = {
    "local": _local_tenure,
    "kubernetes": _kubernetes_tenure,
}


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


def tenure(settings: Settings, name: str, arguments: Sequence[str]) -> AbstractAsyncContextManager[Tenure]:
    """Take charge of a place, as its controller does.

    Parameters
    ----------
    arguments
        What whoever starts the controller tells it.
    """
    return _TENURES[name](settings, arguments)
