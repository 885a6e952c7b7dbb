"""What executes a model in a worker: one module for each engine, imported only where it is used."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from jupyter_dodas.inference.records import Engine, Manifest

__all__ = ["Array", "Runnable", "load"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Runnable(Protocol):
    """A model that has been opened. One thread uses it."""

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Return its outputs, in the order of the signature."""
        ...


def load(engine: Engine) -> Callable[[Manifest, Path], Runnable]:
    """Import an engine, and return what opens a version with it, given its folder."""
    opens: Callable[[Manifest, Path], Runnable] = import_module(f"{__name__}.{engine}").Model
    return opens
