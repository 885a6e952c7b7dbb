"""Predictions of many rows: in pieces, two at a time, whose answers are read to where they belong."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.services.tfaas.client import Client
from jupyter_dodas.services.tfaas.inputs import arrays, rows_of
from jupyter_dodas.services.tfaas.versions import Version

__all__ = ["predicted"]

_PIECE: Final = 4 << 20
"""Bytes of rows in one request. While one is computed, another travels."""


def predicted(client: Client, version: Version, data: Any, *, nan: bool = False) -> Mapping[str, NDArray[Any]]:
    """Return the outputs of a version for some rows, by name.

    Parameters
    ----------
    data, nan
        See `jupyter_dodas.services.tfaas.inputs.arrays`.
    """
    made = arrays(data, version, nan=nan)
    if not version.rowwise:
        return client.infer(version.model, version.version, version.inputs, made).outputs
    rows, size = rows_of(made), sum(array.nbytes for array in made)
    outputs = {one.name: np.empty((rows, *(n or 0 for n in one.shape[1:])), one.dtype) for one in version.outputs}
    step = max(1, rows * _PIECE // size) if size else max(1, rows)

    def ask(first: int) -> None:
        piece = slice(first, first + step)
        places = {name: output[piece] for name, output in outputs.items()}
        _ask(client, version, [array[piece] for array in made], places)

    firsts = range(0, rows, step)
    if len(firsts) <= 1:
        for first in firsts:
            ask(first)
    else:
        with ThreadPoolExecutor(2, thread_name_prefix="dodas-predict") as threads:
            for _ in threads.map(ask, firsts):
                pass
    return outputs


def _ask(client: Client, version: Version, made: Sequence[NDArray[Any]], places: Mapping[str, NDArray[Any]]) -> None:
    answer = client.infer(version.model, version.version, version.inputs, made, into=places)
    for name, place in places.items():
        if (got := answer.outputs[name]) is not place:
            place[...] = got.reshape(place.shape)
