"""What a model takes, checked before anything is asked of it: so many numbers of such a kind, by name where names are known."""

import struct
from collections.abc import Sequence
from itertools import chain
from math import isfinite, prod
from typing import Any, Final

import msgspec
import numpy as np
import orjson

from jupyter_dodas.errors import BadInput, did_you_mean
from jupyter_dodas.inference.execution.frames import Buffer
from jupyter_dodas.inference.records import DTYPES, Manifest, Tensor

__all__ = ["NUMBERS", "Intake", "numbers", "shown"]

NUMBERS: Final = dict(zip(DTYPES, "fdebhiqBHIQ?", strict=True))
"""The letter of `struct` for each dtype."""

_ORDERS: Final = 64
"""Orders of features of one version that are kept."""

_NAMES: Final = msgspec.json.Decoder(list[str])


class Intake:
    """How rows of one version are read, made once for all of its requests.

    Attributes
    ----------
    width
        Numbers of a row, over all inputs; None if a row may have any number.
    plain
        Whether it has one input, of floats, and one output, and rows of several requests may go together.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._inputs = manifest.signature.inputs
        self._widths = [_width(tensor) for tensor in self._inputs]
        self.width: Final = None if None in self._widths else sum(width for width in self._widths if width is not None)
        self._packs = [_packing(tensor, width) for tensor, width in zip(self._inputs, self._widths, strict=True)]
        signature = manifest.signature
        single = signature.rowwise and len(signature.inputs) == len(signature.outputs) == 1
        self.plain: Final = single and signature.inputs[0].dtype in _FLOATS
        self._output: Final = np.dtype(signature.outputs[0].dtype)
        self._pack = self._packs[0] if self.plain else None
        self._orders: dict[bytes, tuple[int, ...] | None] = {b"": None, b"null": None, b"[]": None}

    def order(self, keys: bytes) -> tuple[int, ...] | None:
        """Return the places in which a request has the features that the model wants, None if it has them in order.

        Parameters
        ----------
        keys
            The names, as the JSON of the request has them.

        Raises
        ------
        BadInput
            If one is missing, unknown or there twice.
        """
        try:
            return self._orders[keys]
        except KeyError:
            pass
        order = None
        if self._manifest.keys:
            try:
                order = _order(_NAMES.decode(keys), self._manifest.keys)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise BadInput("`keys` are names of features", remedy='Send them as ["pt", "eta"], or leave them out.') from None
        if len(self._orders) < _ORDERS:
            self._orders[keys] = order
        return order

    def named(self, keys: Sequence[str]) -> tuple[int, ...] | None:
        """Return the order, as `order` does, of names that are read already."""
        return _order(keys, self._manifest.keys) if keys and self._manifest.keys else None

    def row(self, values: Sequence[float]) -> bytes:
        """Return a row of a model that is `plain`.

        Raises
        ------
        BadInput
            If there are too few or too many numbers, or one is too large for its type.
        """
        assert self._pack is not None
        try:
            return self._pack.pack(*values)
        except (struct.error, OverflowError) as error:
            raise self._explained(values, error) from None

    def finish(self, output: bytes) -> bytes:
        """Return the body of the reply for the output of such a row: a flat list and a newline."""
        return numbers(output, self._output) + b"\n"

    def parts(self, values: Sequence[float]) -> tuple[list[bytes], list[tuple[int, ...]]]:
        """Return a row of any model: what goes into each input, and the shapes with one row. Raises as `row` does."""
        widths = self._fitted(len(values))
        parts, shapes, begin = [], [], 0
        for tensor, pack, width in zip(self._inputs, self._packs, widths, strict=True):
            part = values[begin : begin + width]
            begin += width
            try:
                form = struct.Struct(f"<{width}{NUMBERS[tensor.dtype]}") if pack is None else pack
                parts.append(form.pack(*(part if tensor.dtype in _FLOATS else _whole(part, tensor))))
            except (struct.error, OverflowError) as error:
                raise self._explained(values, error) from None
            shapes.append(_shape(tensor, width))
        return parts, shapes

    def describe(self) -> str:
        """Say in a sentence what a row is."""
        names = self._manifest.keys
        if names and self.width == len(names):
            return f"A row of {self._manifest.model!r} is {self.width} numbers: {_few(names)}."
        shapes = " and ".join(f"{tensor.name} {shown(tensor)}" for tensor in self._inputs)
        if self.width is None:
            return f"{self._manifest.model!r} takes {shapes}."
        return f"A row of {self._manifest.model!r} is {self.width} numbers: {shapes}."

    def _fitted(self, given: int) -> list[int]:
        """Return the widths of the inputs for so many numbers: one of which the width is free takes what is left."""
        free = [place for place, width in enumerate(self._widths) if width is None]
        known = sum(width for width in self._widths if width is not None)
        widths = [width or 0 for width in self._widths]
        if len(free) == 1:
            tensor, left = self._inputs[free[0]], given - known
            unit = prod(length for length in tensor.shape if length is not None)
            if left > 0 and tensor.shape[1:].count(None) == 1 and left % unit == 0:
                widths[free[0]] = left
                return widths
        if free or given != known:
            raise self._explained([0.0] * given, None)
        return widths

    def _explained(self, values: Sequence[float], error: Exception | None) -> BadInput:
        if self.width is not None and len(values) != self.width:
            few = "few" if len(values) < self.width else "many"
            return BadInput(f"Too {few} numbers: {len(values)}", cause=self.describe(), remedy=_BY_V2)
        if self.width is None:
            return BadInput(f"{len(values)} numbers do not fit", cause=self.describe(), remedy=_BY_V2)
        dtypes = " and ".join(sorted({tensor.dtype for tensor in self._inputs}))
        return BadInput(
            "A number does not fit", cause=f"{self.describe()} They are {dtypes}: {error}.", remedy="Send numbers within its range."
        )


def shown(tensor: Tensor) -> str:
    """Write dtype and shape as people write them."""
    return f"{tensor.dtype}[{', '.join('n' if length is None else str(length) for length in tensor.shape)}]"


def numbers(part: Buffer, dtype: np.dtype[Any]) -> bytes:
    """Write numbers as a flat list in JSON, each in the shortest form that is the same number of its dtype."""
    return orjson.dumps(np.frombuffer(part, dtype), option=orjson.OPT_SERIALIZE_NUMPY)


_BY_V2: Final = "Send one row. Many at once go by POST /v2/models/NAME/infer."
_FLOATS: Final = {"float16", "float32", "float64"}


def _width(tensor: Tensor) -> int | None:
    """Return how many numbers one row has; a first axis that is free is that of rows."""
    rest = tensor.shape[1:] if tensor.shape and tensor.shape[0] is None else tensor.shape
    return None if None in rest else prod(length for length in rest if length is not None)


def _shape(tensor: Tensor, width: int) -> tuple[int, ...]:
    known = prod(length for length in tensor.shape if length is not None)
    rest = tuple(width // known if length is None else length for length in tensor.shape[1:])
    return (1, *rest) if tensor.shape and tensor.shape[0] is None else tuple(length or 0 for length in tensor.shape)


def _packing(tensor: Tensor, width: int | None) -> struct.Struct | None:
    # Little-endian, since only such a `struct` refuses what is too large for a float32 instead of making it infinite.
    return None if width is None else struct.Struct(f"<{width}{NUMBERS[tensor.dtype]}")


def _whole(values: Sequence[float], tensor: Tensor) -> list[int]:
    if not all(isfinite(value) and value == int(value) for value in values):
        raise BadInput(
            f"{tensor.name!r} takes whole numbers", cause=f"It is {shown(tensor)}.", remedy="Send numbers without a fraction."
        )
    if tensor.dtype == "bool" and not all(value in {0, 1} for value in values):
        raise BadInput(f"{tensor.name!r} takes 0 and 1", cause=f"It is {shown(tensor)}.", remedy="Send one of these for each.")
    return [int(value) for value in values]


def _order(given: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...] | None:
    if tuple(given) == tuple(wanted):
        return None
    places = {name: place for place, name in enumerate(given)}
    missing = [name for name in wanted if name not in places]
    unknown = [name for name in given if name not in set(wanted)]
    twice = [name for name in places if list(given).count(name) > 1] if len(places) != len(given) else []
    if not (missing or unknown or twice):
        return tuple(places[name] for name in wanted)
    what = [
        f"{problem} {_few(names)}"
        for problem, names in (("missing", missing), ("unknown", unknown), ("given twice", twice))
        if names
    ]
    hint = did_you_mean(unknown[0], missing) if unknown else ""
    raise BadInput(
        f"The features are not those of the model: {'; '.join(what)}", cause=hint, remedy=f"It takes {', '.join(chain(wanted))}."
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])} ... {names[-1]}"
