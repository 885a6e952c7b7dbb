"""The two messages of TFaaS in the format of Protocol Buffers: a row in, probabilities out.

``Row {repeated string key = 1; repeated float value = 2; string model = 3}``,
``Predictions {repeated Class {string label = 1; float probability = 2} prediction = 1}``.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from jupyter_dodas.errors import BadInput

__all__ = ["Row", "read_row", "write_predictions"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_SPARE: Final = (_VARINT, _FIXED64, _BYTES, _FIXED32)

_CLASS: Final = struct.Struct("<BBBf")
_FLOAT: Final = struct.Struct("<f")


@dataclass(slots=True)
class Row:
    """A request. Its numbers are little-endian float32, as they came."""

    keys: list[str] = field(default_factory=list)
    values: bytes = b""
    model: str = ""


def read_row(message: bytes) -> Row:
    """Read a message `Row`: packed values or single ones, in any order, with fields that are not ours left out.

    Raises
    ------
    BadInput
        If it is none.
    """
    row, values, place = Row(), bytearray(), 0
    try:
        while place < len(message):
            tag, place = _varint(message, place)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise BadInput("This is no row", cause="It holds a field with the number 0.", remedy=_REMEDY)
            begin, place = _extent(message, place, kind)
            part = message[begin:place]
            if number == 1 and kind == _BYTES:
                row.keys.append(part.decode())
            elif number == 2 and kind == _BYTES:
                if len(part) % 4:
                    raise BadInput("This is no row", cause="Its packed values are not whole numbers of 4 bytes.", remedy=_REMEDY)
                values += part
            elif number == 2 and kind == _FIXED32:
                values += part
            elif number == 3 and kind == _BYTES:
                row.model = part.decode()
            elif number in {1, 2, 3}:
                raise BadInput("This is no row", cause=f"Field {number} has another type.", remedy=_REMEDY)
    except UnicodeDecodeError:
        raise BadInput("This is no row", cause="A name in it is not UTF-8.", remedy=_REMEDY) from None
    row.values = bytes(values)
    return row


def write_predictions(probabilities: Iterable[float], labels: Iterable[str] = ()) -> bytes:
    """Write a message `Predictions`, with labels or, as TFaaS does, without."""
    names = iter(labels)
    written = []
    for probability in probabilities:
        label = next(names, "").encode()
        if label:
            inner = b"\x0a" + _varint_of(len(label)) + label + b"\x15" + _FLOAT.pack(probability)
            written.append(b"\x0a" + _varint_of(len(inner)) + inner)
        else:
            written.append(_CLASS.pack(0x0A, 5, 0x15, probability))
    return b"".join(written)


_REMEDY: Final = "Send a message tfaaspb.Row {repeated string key = 1; repeated float value = 2; string model = 3}."


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64 and place < len(message):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
    raise BadInput("This is no row", cause="A number in it does not end.", remedy=_REMEDY)


def _varint_of(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _extent(message: bytes, place: int, kind: int) -> tuple[int, int]:
    """Return where the content of a field begins and ends."""
    if kind == _VARINT:
        return place, _varint(message, place)[1]
    if kind == _BYTES:
        length, place = _varint(message, place)
    elif kind in _SPARE:
        length = 8 if kind == _FIXED64 else 4
    else:
        raise BadInput("This is no row", cause=f"It holds a field of the type {kind}, which there is not.", remedy=_REMEDY)
    if place + length > len(message):
        raise BadInput("This is no row", cause="It ends before its last field does.", remedy=_REMEDY)
    return place, place + length
