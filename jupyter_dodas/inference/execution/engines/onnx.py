"""ONNX Runtime, on one thread."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from jupyter_dodas.inference.execution.engines import Array
from jupyter_dodas.inference.records import Manifest

__all__ = ["Model"]


class Model:
    """A model in the file ``engine/model.onnx``."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # What batches of changing sizes leave in the arena would grow for ever.
        options.enable_mem_pattern = False
        options.log_severity_level = 4
        file = folder / "engine" / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = [tensor.name for tensor in manifest.signature.inputs]
        self._outputs = [tensor.name for tensor in manifest.signature.outputs]

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """See `Runnable`."""
        outputs: Sequence[Array] = self._session.run(self._outputs, dict(zip(self._inputs, inputs, strict=True)))
        return outputs
