"""Models for the tests, made by TensorFlow in a process of its own: ``python making.py FOLDER``.

======================== ============================================================================================
``net``                  9 features to 1: ``.keras``, SavedModel (``net/``), ``.pb`` (frozen), ``.onnx``, ``.tflite``
``cnn``                  images 28 x 28 x 1 to 10 classes: ``.keras``, SavedModel, ``.onnx``, ``.tflite``
``log``                  the logarithm of 1 feature, so that NaN comes of what is negative: SavedModel, ``.onnx``, ``.tflite``
``fill``                 fills a square as wide as its 1 feature says: SavedModel, ``.tflite``
``endless``              counts to its 1 feature, for ever where that is above 2**24: SavedModel, ``.tflite``
``two``                  float32 ``a`` (3) and int32 ``b`` (2) to float32 ``total`` (1) and int64 ``twice`` (2): SavedModel,
                         ``.onnx``, ``.tflite``
``gram``                 a matrix of any shape times its transposed, which is no matter of rows: SavedModel, ``.onnx``
======================== ============================================================================================

``net.npz`` and ``cnn.npz`` hold ``x`` and what Keras makes of it, ``y``.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["main"]

layers = keras.layers


def main() -> None:
    """Make all of them."""
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(7)
    net = keras.Sequential([layers.Input((9,)), layers.Dense(16, activation="relu"), layers.Dense(1, activation="sigmoid")])
    cnn = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    for name, model in (("net", net), ("cnn", cnn)):
        rows = np.random.default_rng(7).normal(size=(64, *model.input_shape[1:])).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=rows, y=np.asarray(model(rows)))
        model.save(folder / f"{name}.keras")
        model.export(str(folder / name), verbose=False)
        _tflite(folder, name)
        _onnx(folder, name, tf.function(lambda x, model=model: {"y": model(x)}), [tf.TensorSpec((None, *rows.shape[1:]), name="x")])
    frozen = convert_variables_to_constants_v2(tf.function(net).get_concrete_function(tf.TensorSpec((None, 9), name="x")))
    tf.io.write_graph(frozen.graph, str(folder), "net.pb", as_text=False)
    column = [tf.TensorSpec((None, 1), name="x")]
    _save(folder, "log", lambda x: {"y": tf.math.log(x)}, column, "onnx", "tflite")
    _save(folder, "fill", lambda x: {"y": _filled(x)}, column, "tflite")
    _save(folder, "endless", lambda x: {"y": _counted(x)}, column, "tflite")
    both = [tf.TensorSpec((None, 3), name="a"), tf.TensorSpec((None, 2), tf.int32, name="b")]
    _save(folder, "two", _two, both, "onnx", "tflite")
    matrix = [tf.TensorSpec((None, None), name="x")]
    _save(folder, "gram", lambda x: {"y": tf.matmul(x, x, transpose_b=True)}, matrix, "onnx")


def _filled(x: Any) -> Any:
    side = tf.cast(tf.reduce_max(x), tf.int32)
    return x + tf.reduce_max(tf.fill([side, side], x[0, 0]))


def _counted(x: Any) -> Any:
    last = tf.reduce_max(x)
    return x * 0 + tf.while_loop(lambda count: count < last, lambda count: (count + 1,), (tf.constant(0.0),))[0]


def _two(a: Any, b: Any) -> Any:
    return {"total": tf.reduce_sum(a, axis=1, keepdims=True), "twice": tf.cast(b, tf.int64) * 2}


def _save(folder: Path, name: str, function: Any, given: Sequence[Any], *formats: str) -> None:
    module = tf.Module()
    module.call = tf.function(function, input_signature=given)
    tf.saved_model.save(module, str(folder / name), signatures={"serving_default": module.call})
    if "tflite" in formats:
        _tflite(folder, name)
    if "onnx" in formats:
        _onnx(folder, name, module.call, given)


def _tflite(folder: Path, name: str) -> None:
    (folder / f"{name}.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / name)).convert())


def _onnx(folder: Path, name: str, function: Any, given: Sequence[Any]) -> None:
    tf2onnx.convert.from_function(function, input_signature=given, output_path=str(folder / f"{name}.onnx"))


if __name__ == "__main__":
    main()
