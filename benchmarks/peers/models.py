"""Make the models of the benchmark: TFaaS's own network of 42 features, and a convolutional one for images of 28 x 28.

    python models.py FOLDER

writes each as ``NAME.keras`` and ``NAME.onnx``, and the first with other weights as ``other``. In a process of its own, since it
takes TensorFlow.
"""

import sys
from pathlib import Path

import keras
import tensorflow as tf
import tf2onnx
from keras import layers


def tabular() -> keras.Model:
    """42 x 128 x 128 x 128 x 64 x 64 x 1, as in the README of TFaaS."""
    hidden = [layers.Dense(width, activation="relu") for width in (128, 128, 128, 64, 64)]
    return keras.Sequential([keras.Input((42,), name="features"), *hidden, layers.Dense(1, activation="sigmoid")])


def image() -> keras.Model:
    """A small network for handwritten digits."""
    parts = [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu")]
    ends = [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28, 1), name="image"), *parts, *ends])


def main() -> None:
    """Write them."""
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(1)
    for name, model in (("tabular", tabular()), ("image", image()), ("other", tabular())):
        model.save(folder / f"{name}.keras")
        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="x")]
        tf2onnx.convert.from_function(tf.function(model), signature, opset=17, output_path=str(folder / f"{name}.onnx"))


if __name__ == "__main__":
    main()
