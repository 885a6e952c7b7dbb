"""What was uploaded, opened: what goes in and out of it, and a way to call it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jupyter_dodas.inference.records import Engine, Signature

__all__ = ["Array", "Original"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Original:
    """A model as it was uploaded.

    Parameters
    ----------
    signature
        As it is declared: what is free in it may turn out not to be.
    call
        Returns its outputs, in order, for its inputs, in order.
    engine
        What serves it as it is.
    files
        What that engine needs: paths by their names in ``engine/``. A folder is taken with all that is in it.
    function
        Of TensorFlow: its signature as a concrete function; None for other originals.
    saved_model
        Of TensorFlow: the folder, and the name of the signature in it.
    loaded
        What keeps the variables of the function alive.
    resize
        Whether a first axis of length 1 may be free in truth: in TFLite files it usually is.
    """

    signature: Signature
    call: Callable[[Sequence[Array]], Sequence[Array]]
    engine: Engine
    files: dict[str, Path]
    function: Any = None
    saved_model: tuple[Path, str] | None = None
    loaded: Any = None
    resize: bool = False

    @property
    def compares(self) -> bool:
        """Whether another engine is to serve it if possible, so that the two are to be compared."""
        return self.function is not None
