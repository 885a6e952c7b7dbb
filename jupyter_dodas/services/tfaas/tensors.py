"""Tensors on the wire: the binary form of the Open Inference Protocol V2. A few lines of JSON, then the numbers as they are."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.errors import DodasError
from jupyter_dodas.services.tfaas.versions import Tensor

__all__ = ["DATATYPES", "HEADER", "question", "raw", "shapes"]

HEADER: Final = "Inference-Header-Content-Length"
"""Says how many bytes of a body are JSON."""

DATATYPES: Final[Mapping[str, str]] = {
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    "bool": "BOOL",
}
"""The protocol's names of types, by NumPy's."""

_DTYPES: Final = {datatype: name for name, datatype in DATATYPES.items()}


def question(inputs: Sequence[Tensor], arrays: Sequence[NDArray[Any]]) -> tuple[bytes, list[memoryview]]:
    """Return the JSON of a request and the numbers that follow it, which are not copied."""
    parts = [raw(array.astype(array.dtype.newbyteorder("<"), copy=False)) for array in arrays]
    described = [
        {
            "name": wanted.name,
            "shape": list(array.shape),
            "datatype": DATATYPES[wanted.dtype],
            "parameters": {"binary_data_size": part.nbytes},
        }
        for wanted, array, part in zip(inputs, arrays, parts, strict=True)
    ]
    head = {"inputs": described, "parameters": {"binary_data_output": True}}
    return json.dumps(head, separators=(",", ":")).encode(), parts


def raw(array: NDArray[Any]) -> memoryview:
    """Return the memory of a contiguous array, as bytes."""
    return memoryview(array.reshape(-1).view(np.uint8)) if array.size else memoryview(bytearray())  # type: ignore[arg-type]


def shapes(head: bytes) -> tuple[str | None, list[tuple[str, np.dtype[Any], tuple[int, ...]]]]:
    """Return, of the JSON of an answer, the version that gave it, and name, type and shape of each output.

    Raises
    ------
    DodasError
        If it is no such answer.
    """
    try:
        told = json.loads(head)
        found = [
            (one["name"], np.dtype(_DTYPES[one["datatype"]]).newbyteorder("<"), tuple(map(int, one["shape"])))
            for one in told["outputs"]
        ]
        sizes = [one["parameters"]["binary_data_size"] for one in told["outputs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DodasError(
            "The endpoint gave an answer that cannot be read",
            cause=f"{type(error).__name__}: {error}",
            remedy="Look whether it has the same version of jupyter-dodas as this process.",
        ) from error
    for (name, dtype, shape), size in zip(found, sizes, strict=True):
        if size != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
            raise DodasError(f"The endpoint gave {size} bytes for {name!r} of the shape {shape}", cause="", remedy="")
    return told.get("model_version"), found
