"""Tensors of the Open Inference Protocol: as JSON, flat or nested, or as bytes behind it; checked against what a model takes."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from typing import Any, Final

import msgspec
import numpy as np

from jupyter_dodas.errors import BadInput, did_you_mean
from jupyter_dodas.inference.execution.frames import Buffer
from jupyter_dodas.inference.http.intake import shown
from jupyter_dodas.inference.records import Signature, Tensor

__all__ = ["DATATYPES", "Given", "take"]

DATATYPES: Final[Mapping[str, str]] = {
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "bool": "BOOL",
}
"""The protocol's names of our dtypes."""


class Given(msgspec.Struct):
    """An input as a request has it."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] = {}


def take(signature: Signature, given: Sequence[Given], binary: memoryview) -> tuple[int, list[Buffer], list[tuple[int, ...]]]:
    """Return the rows, and of each input of the model bytes and shape. What came as bytes is not copied.

    Parameters
    ----------
    signature
        What the model takes.
    given
        The inputs of the request.
    binary
        What stands behind its JSON.

    Raises
    ------
    BadInput
        With the first thing that does not fit.
    """
    parts = _cut(given, binary)
    by_name = {one.name: (one, part) for one, part in zip(given, parts, strict=True)}
    known = [tensor.name for tensor in signature.inputs]
    if len(by_name) != len(given) or by_name.keys() != set(known):
        odd = [name for name in by_name if name not in known]
        what = f"an unknown one, {odd[0]!r}" if odd else "one twice" if len(by_name) != len(given) else "not all of them"
        hint = did_you_mean(odd[0], known) if odd else ""
        raise BadInput(f"The request has {what} of the inputs", cause=hint, remedy=f"The model takes {_listed(signature.inputs)}.")
    buffers: list[Buffer] = []
    shapes: list[tuple[int, ...]] = []
    for tensor in signature.inputs:
        one, part = by_name[tensor.name]
        _check(tensor, one)
        buffers.append(_numbers(tensor, one) if part is None else _sized(tensor, one, part))
        shapes.append(tuple(one.shape))
    rows = shapes[0][0] if shapes[0] else 1
    if signature.rowwise and any(shape[0] != rows for shape in shapes):
        raise BadInput(
            "The inputs differ in their rows", cause=f"They have {', '.join(str(shape[0]) for shape in shapes)}.", remedy=_SAME
        )
    return rows, buffers, shapes


_SAME: Final = "Send as many rows of each input."


def _cut(given: Sequence[Given], binary: memoryview) -> list[memoryview | None]:
    """Return of each input what stands for it behind the JSON, if anything does."""
    parts: list[memoryview | None] = []
    begin = 0
    for one in given:
        size = one.parameters.get("binary_data_size")
        if size is None:
            parts.append(None)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or begin + size > len(binary):
            raise BadInput(
                f"The binary data of {one.name!r} is not all there",
                cause=f"binary_data_size says {size!r}, {len(binary) - begin} bytes are left behind the JSON.",
                remedy="Send the sum of the sizes behind the JSON, whose length Inference-Header-Content-Length says.",
            )
        parts.append(binary[begin : begin + size])
        begin += size
    if begin != len(binary):
        raise BadInput(
            f"{len(binary) - begin} bytes too many stand behind the JSON",
            cause="No input has them by its binary_data_size.",
            remedy="Check the sizes, and Inference-Header-Content-Length.",
        )
    return parts


def _check(tensor: Tensor, one: Given) -> None:
    wanted = DATATYPES[tensor.dtype]
    if one.datatype != wanted:
        raise BadInput(
            f"{tensor.name!r} takes {wanted}, not {one.datatype[:20]}", cause=f"It is {shown(tensor)}.", remedy="Convert it first."
        )
    fits = len(one.shape) == len(tensor.shape) and all(
        length == fixed if fixed is not None else length > 0 for length, fixed in zip(one.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise BadInput(
            f"{tensor.name!r} cannot have the shape {one.shape[:16]}",
            cause=f"It is {shown(tensor)}.",
            remedy="n is any number from 1 on; the others are as they are.",
        )


def _sized(tensor: Tensor, one: Given, part: memoryview) -> memoryview:
    dtype = np.dtype(tensor.dtype)
    size = prod(one.shape) * dtype.itemsize
    if len(part) != size:
        raise BadInput(
            f"{tensor.name!r} has {len(part)} bytes of binary data",
            cause=f"{one.shape} of {one.datatype} are {size}.",
            remedy="Send little-endian numbers in C order, without padding.",
        )
    values = np.frombuffer(part, dtype)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise _not_finite(tensor)
    if dtype.kind == "b" and values.view("u1").max() > 1:
        raise BadInput(f"{tensor.name!r} takes 0 and 1", cause=f"It is {shown(tensor)}.", remedy="Send a byte of these for each.")
    return part


def _numbers(tensor: Tensor, one: Given) -> bytes:
    if one.data is msgspec.UNSET:
        raise BadInput(
            f"{tensor.name!r} has no data", remedy="Give them as `data`, or as `binary_data_size` and bytes behind the JSON."
        )
    raw, dtype = bytes(one.data), np.dtype(tensor.dtype)
    # Only as deep as a tensor of this rank may be, so that nothing of a hostile depth is ever built.
    depth = _depth(raw)
    if depth not in {1, len(tensor.shape)}:
        raise BadInput(
            f"The data of {tensor.name!r} are not a list of numbers",
            cause=f"It is {shown(tensor)}.",
            remedy="Send them flat or nested.",
        )
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            values = np.array(_decoder(dtype.kind, depth).decode(raw), dtype)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise BadInput(
            f"The data of {tensor.name!r} do not fit",
            cause=f"It is {shown(tensor)}: {error}.",
            remedy="Send numbers within its range.",
        ) from None
    if values.size != prod(one.shape) or (depth > 1 and values.shape != tuple(one.shape)):
        raise BadInput(
            f"The data of {tensor.name!r} are not of the shape {one.shape}",
            cause=f"They are {values.size} numbers.",
            remedy="Send as many as the shape says.",
        )
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise _not_finite(tensor)
    return values.tobytes()


def _depth(raw: bytes) -> int:
    """Return how many lists begin at the beginning, 17 if they are more than 16."""
    depth = 0
    for byte in raw[:256]:
        if byte == 0x5B:
            depth += 1
            if depth > 16:
                break
        elif byte not in b" \t\r\n":
            break
    return depth


@cache
def _decoder(kind: str, depth: int) -> msgspec.json.Decoder[Any]:
    of: Any = {"f": float, "b": bool}.get(kind, int)
    for _ in range(depth):
        of = list[of]
    return msgspec.json.Decoder(of)


def _not_finite(tensor: Tensor) -> BadInput:
    return BadInput(
        f"{tensor.name!r} has a number that is not finite",
        cause=f"NaN and infinity, or one too large for {tensor.dtype}.",
        remedy="Replace what is missing before it is sent.",
    )


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.name} as {DATATYPES[tensor.dtype]} ({shown(tensor)})" for tensor in tensors)
