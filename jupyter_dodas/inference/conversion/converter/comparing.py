"""Rows to try a model with, what it makes of them, and how far an engine is from that.

The rows are random, but always the same: the same upload is judged in the same way again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from jupyter_dodas.errors import ModelRefused
from jupyter_dodas.inference.conversion.converter.original import Array, Original
from jupyter_dodas.inference.execution.engines import Runnable
from jupyter_dodas.inference.records import Signature, Tensor

__all__ = ["TOLERANCE", "Rows", "difference", "rows"]

TOLERANCE: Final = 1e-4
"""Up to which an engine may differ, relative to the largest output, or absolute where that is below 1."""

_BATCHES: Final = ((1, 1.0), (2, 1.0), (7, 1.0), (64, 1.0), (16, 100.0), (3, 0.0))
"""Rows in a batch, and how large the numbers in them are."""
_MOST: Final = 2_000_000
"""Numbers in a batch: of large rows there are fewer."""
_FREE: Final = 8
"""How long an axis that is free, but not that of rows, is made."""


@dataclass(frozen=True)
class Rows:
    """Batches, and what the original makes of them.

    Parameters
    ----------
    signature
        With the shapes that were seen.
    """

    signature: Signature
    inputs: Sequence[Sequence[Array]]
    outputs: Sequence[Sequence[Array]]

    @property
    def count(self) -> int:
        """How many rows there are in all."""
        return sum(len(batch[0]) if batch and batch[0].ndim else 1 for batch in self.inputs)


def rows(original: Original, examples: Sequence[Array] | None) -> Rows:
    """Call the original with random rows, and with the examples.

    Raises
    ------
    ModelRefused
        If it takes none of them, or if the examples do not fit.
    """
    signature = _seen(original)
    generator = np.random.default_rng(20)
    batches = [_batch(signature, count, scale, generator) for count, scale in _BATCHES]
    if not _free(signature):
        batches = batches[:2] + batches[-2:]
    inputs, outputs, failure = [], [], None
    for batch in batches:
        try:
            outputs.append(_called(original, batch))
            inputs.append(batch)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a model need not take random numbers
            failure = error
    if examples is not None:
        batch = _fitting(examples, signature)
        outputs.append(_called(original, batch))
        inputs.append(batch)
    if not inputs:
        raise ModelRefused(
            "The model fails on every row that it was tried with",
            cause=" ".join(str(failure).split())[:500],
            remedy="Upload examples with it: rows that it takes.",
        ) from failure
    return Rows(_independent(original, signature, inputs), inputs, outputs)


def difference(chosen: Runnable, rows: Rows) -> float:
    """Return the largest difference between what an engine gives and what the original gave."""
    return max(
        _apart(expected, found)
        for inputs, outputs in zip(rows.inputs, rows.outputs, strict=True)
        for expected, found in zip(outputs, chosen.run(inputs), strict=True)
    )


def _apart(expected: Array, found: Array) -> float:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        raise ValueError(f"it gives {found.dtype}{list(found.shape)} in place of {expected.dtype}{list(expected.shape)}")
    a, b = expected.astype(np.float64), found.astype(np.float64)
    usual = np.isfinite(a)
    if not ((usual == np.isfinite(b)).all() and np.array_equal(a[~usual], b[~usual], equal_nan=True)):
        return math.inf
    if not usual.any():
        return 0.0
    return float(np.abs(a[usual] - b[usual]).max() / max(1.0, float(np.abs(a[usual]).max())))


def _called(original: Original, batch: Sequence[Array]) -> list[Array]:
    try:
        return [np.array(output) for output in original.call(batch)]
    except Exception as error:
        # TensorFlow has an error of its own for this, after ten seconds in which it hopes for memory: once is enough.
        if type(error).__name__ == "ResourceExhaustedError":
            raise MemoryError from error
        raise


def _seen(original: Original) -> Signature:
    """Return the signature with what is only seen when it is called: free lengths that are not free, and the other way round."""
    signature = original.signature
    if original.resize and not _free(signature) and all(one.shape and one.shape[0] == 1 for one in signature.inputs):
        loose = msgspec.structs.replace(
            signature, inputs=tuple(msgspec.structs.replace(one, shape=(None, *one.shape[1:])) for one in signature.inputs)
        )
        return _refined(original, loose) or signature
    return (_refined(original, signature) if _free(signature) else None) or signature


def _refined(original: Original, signature: Signature) -> Signature | None:
    generator = np.random.default_rng(20)
    shapes = []
    for count in (2, 3):
        try:
            shapes.append([output.shape for output in _called(original, _batch(signature, count, 0.0, generator))])
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - then it stays as it is declared
            return None
    outputs = []
    for tensor, two, three in zip(signature.outputs, *shapes, strict=True):
        if len(two) != len(three):
            return None
        others = any(length is None for one in signature.inputs for length in one.shape[1:])
        known = [
            None if a != b or (others and declared is None) else a
            for a, b, declared in zip(two, three, tensor.shape or two, strict=False)
        ]
        outputs.append(Tensor(tensor.name, tensor.dtype, tuple(known)))
        if original.resize and (not two or (two[0], three[0]) != (2, 3)):
            return None
    return msgspec.structs.replace(signature, outputs=tuple(outputs))


def _independent(original: Original, signature: Signature, inputs: Sequence[Sequence[Array]]) -> Signature:
    """Say of the signature whether rows go through the model without meeting each other."""
    if not signature.rowwise:
        return signature
    batch = max((each for each in inputs if len(each[0]) <= 16), key=lambda each: len(each[0]), default=inputs[0])
    together = _called(original, batch)
    again = _called(original, batch)
    if any(_apart(a, b) > TOLERANCE for a, b in zip(together, again, strict=True)):
        return signature  # it draws lots; that is no meeting of rows
    for row in range(min(3, len(batch[0]))):
        try:
            alone = _called(original, [array[row : row + 1] for array in batch])
        except Exception:  # noqa: BLE001 - what is fine together is not fine alone
            return msgspec.structs.replace(signature, independent=False)
        if any(
            out.shape[0] != len(batch[0]) or _apart(out[row : row + 1], one) > TOLERANCE
            for out, one in zip(together, alone, strict=True)
        ):
            return msgspec.structs.replace(signature, independent=False)
    return signature


def _free(signature: Signature) -> bool:
    return all(one.shape and one.shape[0] is None for one in signature.inputs)


def _batch(signature: Signature, count: int, scale: float, generator: np.random.Generator) -> list[Array]:
    shapes = [_shape(one, count) for one in signature.inputs]
    most = max((math.prod(shape[1:]) for shape in shapes), default=1)
    count = max(1, min(count, _MOST // max(1, most)))
    return [_random(_shape(one, count), np.dtype(one.dtype), scale, generator) for one in signature.inputs]


def _shape(tensor: Tensor, count: int) -> tuple[int, ...]:
    return tuple((_FREE if axis else count) if length is None else length for axis, length in enumerate(tensor.shape))


def _random(shape: tuple[int, ...], dtype: "np.dtype[np.generic]", scale: float, generator: np.random.Generator) -> Array:
    if dtype.kind == "f":
        return (generator.standard_normal(shape) * scale).astype(dtype)
    if dtype == np.uint8:
        return generator.integers(0, 256 if scale else 1, shape, dtype=np.uint8)
    return generator.integers(0, 2 if scale else 1, shape).astype(dtype)  # numbers of classes or words are small


def _fitting(examples: Sequence[Array], signature: Signature) -> list[Array]:
    found = []
    for array, tensor in zip(examples, signature.inputs, strict=True):
        fits = array.ndim == len(tensor.shape) and all(
            want in (None, have) for want, have in zip(tensor.shape, array.shape, strict=True)
        )
        if not fits or array.dtype.kind not in "fiub" or not array.size:
            raise ModelRefused(
                "The examples do not fit the model",
                cause=f"{tensor.name!r} takes {tensor.dtype}{_words(tensor.shape)}; there are {array.dtype}{_words(array.shape)}.",
                remedy="Give rows as the model takes them.",
            )
        found.append(np.ascontiguousarray(array[:4096], np.dtype(tensor.dtype)))
    return found


def _words(shape: Sequence[int | None]) -> str:
    return f"({', '.join('n' if length is None else str(length) for length in shape)})"
