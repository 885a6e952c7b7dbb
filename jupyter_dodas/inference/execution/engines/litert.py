"""LiteRT, on one thread.

One interpreter serves batches of all sizes: to resize it costs some microseconds, less than rows that only fill up a batch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from jupyter_dodas.inference.execution.engines import Array
from jupyter_dodas.inference.records import Manifest, Tensor

__all__ = ["Model"]


class Model:
    """A model in the file ``engine/model.tflite``."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        self._interpreter = Interpreter(model_path=str(folder / "engine" / "model.tflite"), num_threads=1)
        signatures: Mapping[str, Mapping[str, Any]] = self._interpreter._get_full_signature_list()  # noqa: SLF001 - the public one has no indices
        named = next(iter(signatures.values()), {})
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._inputs = _indices(manifest.signature.inputs, inputs, named.get("inputs", {}))
        self._outputs = _indices(manifest.signature.outputs, outputs, named.get("outputs", {}))
        self._interpreter.allocate_tensors()
        self._shapes = [tuple(_detail(inputs, index)["shape"]) for index in self._inputs]

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """See `Runnable`."""
        shapes = [array.shape for array in inputs]
        if shapes != self._shapes:
            self._resize(shapes)
        for index, array in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        # Until all of it has gone well, nothing is known of the shapes that it has.
        self._shapes = []
        for index, shape in zip(self._inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes


def _indices(tensors: Sequence[Tensor], details: Sequence[Mapping[str, Any]], named: Mapping[str, int]) -> list[int]:
    """Find tensors by their names in the signature of the file, by their own, or by their order."""
    known = {str(detail["name"]): int(detail["index"]) for detail in details} | dict(named)
    if all(tensor.name in known for tensor in tensors):
        return [known[tensor.name] for tensor in tensors]
    return [int(detail["index"]) for detail in details]


def _detail(details: Sequence[Mapping[str, Any]], index: int) -> Mapping[str, Any]:
    return next(detail for detail in details if detail["index"] == index)
