"""TensorFlow itself, on one thread, for what no other engine takes: it calls the signature of a SavedModel."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from jupyter_dodas.inference.execution.engines import Array
from jupyter_dodas.inference.records import Manifest

__all__ = ["Model"]

tf.config.threading.set_inter_op_parallelism_threads(1)
tf.config.threading.set_intra_op_parallelism_threads(1)


class Model:
    """A model in the folder ``engine/saved_model``."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        self._model = tf.saved_model.load(str(folder / "engine" / "saved_model"))
        signatures = self._model.signatures
        self._call = signatures["serving_default"] if "serving_default" in signatures else next(iter(signatures.values()))
        self._inputs = [tensor.name for tensor in manifest.signature.inputs]
        self._outputs = [tensor.name for tensor in manifest.signature.outputs]

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """See `Runnable`."""
        outputs = self._call(**dict(zip(self._inputs, map(tf.constant, inputs), strict=True)))
        return [outputs[name].numpy() for name in self._outputs]
