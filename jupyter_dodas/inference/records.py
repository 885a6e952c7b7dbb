"""What is known of a model: its signature, and of each version who made it, from what, and how it was found to be.

These are the words that store, converter, workers and protocols have in common. On disk and on the wire they are JSON.
"""

from typing import Any, Final, Literal

import msgspec

__all__ = ["DTYPES", "Check", "Engine", "Format", "Lineage", "Manifest", "Signature", "Tensor"]

Format = Literal["saved-model", "keras", "frozen-graph", "onnx", "tflite"]
"""What was uploaded."""

Engine = Literal["litert", "onnx", "tensorflow"]
"""What serves it."""

DTYPES: Final = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
"""NumPy's names of the element types that tensors can have."""


class Tensor(msgspec.Struct, frozen=True):
    """One input or output of a model.

    Parameters
    ----------
    name
        As the model has it.
    dtype
        One of `DTYPES`.
    shape
        None where the length is free. The first axis is that of rows, if it is free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Signature(msgspec.Struct, frozen=True):
    """What goes into a model and what comes out, in the order in which it is handed over.

    Parameters
    ----------
    independent
        Whether what comes out for a row was seen to depend on that row alone.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    independent: bool = True

    @property
    def rowwise(self) -> bool:
        """Whether rows of several requests may go through it together: they are independent, and the first axis alone is free."""
        free = (one.shape and one.shape[0] is None and None not in one.shape[1:] for one in (*self.inputs, *self.outputs))
        return self.independent and all(free)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How a version was found to be, before anybody could call it.

    Parameters
    ----------
    compared
        Rows on which engine and original were compared; 0 where what was uploaded is what the engine runs.
    tolerance
        The largest difference seen, relative to the largest output, or absolute where that is below 1.
    seconds
        What each step took, by its name.
    microseconds
        For one row, in the engine.
    memory
        Bytes that it took to open it and to run it once; for TensorFlow, all that such a process has.
    layers
        What held the sandbox: ``no-new-privs``, ``seccomp``, ``landlock``, ``rlimits``, ``deadline``, ...
    note
        Why it is served by another engine than the first choice, in a sentence; empty if it is not.
    """

    compared: int = 0
    tolerance: float = 0.0
    seconds: dict[str, float] = {}
    microseconds: float = 0.0
    memory: int = 0
    layers: tuple[str, ...] = ()
    note: str = ""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from.

    Parameters
    ----------
    owner
        Who uploaded it: `Caller.name`.
    created
        Seconds since 1970.
    packages
        Versions of packages where it was made, by name.
    metrics
        Numbers that its maker gives: ``{"auc": 0.92}``.
    note
        A sentence of its maker.
    """

    owner: str
    created: float
    packages: dict[str, str] = {}
    metrics: dict[str, float] = {}
    note: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model. It never changes.

    Parameters
    ----------
    model
        The name of the model: a letter or digit, then letters, digits, ``_``, ``-`` and ``.``, at most 64.
    version
        The first 12 hexadecimal digits of the SHA-256 of what it consists of.
    keys
        Names of the features of a row, in order, where they are known.
    labels
        Names of the classes, in the order of outputs, where they are known.
    channels
        Of the images that it takes: 1, 3 or 4; 0 if it takes none.
    params
        ``params.json`` of TFaaS, as uploaded.
    files
        SHA-256 of each file, by its path in the version's folder.
    """

    model: str
    version: str
    format: Format
    engine: Engine
    signature: Signature
    lineage: Lineage
    check: Check = Check()
    keys: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    channels: int = 0
    params: dict[str, Any] = {}
    files: dict[str, str] = {}
