"""What server and worker say to each other: frames with raw tensors, over one stream socket.

A frame is a header of 16 bytes and a body. The server sends batches (`PREDICT`), the worker answers each, in order, with `RESULT`,
`FLAWED` (a result with numbers that are not finite, and how many), or `ERROR`; before the first it says `READY` or `FAILED`. Parts
of a body are little-endian, in C order, and begin at multiples of 16, so that arrays can be laid over them where they lie.

Where a model is rowwise the signature and the number of rows say how long each part is; otherwise the body begins with shapes.
"""

import struct
from collections.abc import Sequence
from math import prod
from typing import Final, TypeAlias

import msgspec

from jupyter_dodas.inference.records import Tensor

__all__ = [
    "ERROR",
    "FAILED",
    "FLAWED",
    "HEADER",
    "MOST",
    "PREDICT",
    "READY",
    "RESULT",
    "SIZES",
    "Buffer",
    "Failure",
    "Shapes",
    "frame",
    "pack",
    "padded",
    "row_bytes",
    "sizes",
    "unpack",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
Shapes: TypeAlias = Sequence[tuple[int, ...]]

HEADER: Final = struct.Struct("<IIIHBx")
"""Length of the body, rows, number of the batch, number of shapes at the beginning of the body (0: rowwise), kind."""
PREDICT, RESULT, FLAWED, ERROR, READY, FAILED = range(6)
MOST: Final = 1 << 28
"""Bytes of a body at most: whoever reads makes room for it before it is there."""
SIZES: Final = {
    **dict.fromkeys(("int8", "uint8", "bool"), 1),
    **dict.fromkeys(("float16", "int16", "uint16"), 2),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float64", "int64", "uint64"), 8),
}
"""Bytes of one element."""
_PADDING: Final = tuple(bytes(count) for count in range(16))
_RANK: Final = struct.Struct("<Q")


class Failure(msgspec.Struct, frozen=True):
    """Why there is no result: the body of `ERROR` and `FAILED`."""

    message: str
    cause: str = ""


def padded(size: int) -> int:
    """Return how many bytes a part of this size takes in a body."""
    return size + 15 & -16


def row_bytes(tensor: Tensor) -> int:
    """Return the bytes of one row of a tensor whose first axis alone is free."""
    return prod(length or 0 for length in tensor.shape[1:]) * SIZES[tensor.dtype]


def sizes(tensors: Sequence[Tensor], rows: int, shapes: Shapes) -> list[int]:
    """Return the bytes of each part of a body."""
    if not shapes:
        return [row_bytes(tensor) * rows for tensor in tensors]
    return [prod(shape) * SIZES[tensor.dtype] for tensor, shape in zip(tensors, shapes, strict=True)]


def frame(kind: int, number: int, body: bytes = b"", *, rows: int = 0) -> bytes:
    """Return a frame with one part."""
    padding = _PADDING[-len(body) & 15]
    return HEADER.pack(len(body) + len(padding), rows, number, 0, kind) + body + padding


def pack(kind: int, number: int, rows: int, parts: Sequence[Sequence[Buffer]], shapes: Shapes = ()) -> list[Buffer]:
    """Return the pieces of a frame, in order.

    Parameters
    ----------
    parts
        Of each tensor its pieces, for example one for each row.
    shapes
        Of each tensor, where the model is not rowwise.
    """
    pieces: list[Buffer] = [b""]
    length = 0
    for shape in shapes:
        described = _RANK.pack(len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        pieces.append(described)
        length += len(described)
    if padding := -length & 15:
        pieces.append(_PADDING[padding])
        length += padding
    for part in parts:
        pieces += part
        length += (size := sum(map(len, part)))
        if padding := -size & 15:
            pieces.append(_PADDING[padding])
            length += padding
    pieces[0] = HEADER.pack(length, rows, number, len(shapes), kind)
    return pieces


def unpack(body: memoryview, count: int, rows: int, tensors: Sequence[Tensor]) -> tuple[list[memoryview], list[tuple[int, ...]]]:
    """Return the parts of a body and their shapes, which are none where the model is rowwise.

    Raises
    ------
    ValueError
        If the body is not as long as it says.
    """
    shapes, position = [], 0
    for _ in range(count):
        (rank,) = _RANK.unpack_from(body, position)
        position += 8
        if rank > 32:
            raise ValueError("a shape has more than 32 axes")
        shapes.append(struct.unpack_from(f"<{rank}Q", body, position))
        position += 8 * rank
    position = padded(position)
    parts = []
    for size in sizes(tensors, rows, shapes):
        parts.append(body[position : position + size])
        if len(parts[-1]) != size:
            raise ValueError("a tensor is cut short")
        position += padded(size)
    return parts, shapes
