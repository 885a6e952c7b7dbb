"""Models that are out of the ordinary, made by TensorFlow in a process of its own: ``python strange.py FOLDER``.

Some are well meant and need another engine than LiteRT, or are seldom; those in ``hostile/`` are not.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["main"]


def spec(*shape: int | None, dtype: Any = tf.float32, name: str = "x") -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name)


ROWS = spec(None, 3)


def main() -> None:
    """Make all of them."""
    folder = Path(sys.argv[1])
    (hostile := folder / "hostile").mkdir(parents=True)
    for name, (function, given) in GRAPHS.items():
        _save(folder / name, function, given)
    for name, (function, given) in HOSTILE.items():
        _save(hostile / name, function, given)
    _signatures(folder)
    _hidden(hostile)
    _frozen(folder, hostile)
    _keras(folder, hostile)
    _onnx(folder, hostile)
    _tflite(folder, hostile)


def _normalised(x: Any) -> Any:
    return {"y": x - tf.reduce_mean(x, axis=0, keepdims=True)}


def _noisy(x: Any) -> Any:
    return {"y": x + tf.random.uniform(tf.shape(x))}


def _looked_up(x: Any) -> Any:
    return {"y": tf.gather(tf.constant(np.arange(20, dtype=np.float32).reshape(5, 4)), x[:, 0])}


GRAPHS: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "special": (lambda x: {"y": tf.math.erf(x) + tf.math.asinh(x)}, [ROWS]),
    "rare": (lambda x: {"y": tf.math.igamma(tf.abs(x) + 1.0, tf.abs(x))}, [ROWS]),
    "double": (lambda x: {"y": tf.math.cos(x) * 2}, [spec(None, 3, dtype=tf.float64)]),
    "normalised": (_normalised, [ROWS]),
    "noisy": (_noisy, [ROWS]),
    "looked_up": (_looked_up, [spec(None, 1, dtype=tf.int32)]),
    "single": (lambda x: {"y": x * 2}, [spec(1, 3)]),
    "pooled": (lambda x: {"y": tf.reduce_sum(x, axis=1)}, [spec(None, None, 3)]),
    "bytes": (lambda x: {"y": tf.cast(x, tf.float32) / 255.0, "big": x > 128}, [spec(None, 4, dtype=tf.uint8)]),
    "named": (lambda b, a: {"out_10": a + b, "out_2": a - b}, [spec(None, 2, name="b"), spec(None, 2, name="a")]),
    "crossed": (
        lambda a10, a2: {"out_10": tf.math.erf(a2) - a10, "out_2": tf.math.erf(a2) * a10},
        [spec(None, 2, name="a10"), spec(None, 2, name="a2")],
    ),
    "picky": (lambda x: {"y": tf.ensure_shape(x, (None, 3)) * _only_small(x)}, [ROWS]),
}


def _only_small(x: Any) -> Any:
    with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(x), -1e6)]):
        return tf.ones_like(x)


def _read(x: Any) -> Any:
    return {"y": x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)}


def _written(x: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("/tmp/written-by-a-model", "x")]):
        return {"y": x + 1}


def _deep(x: Any) -> Any:
    """What is not allowed is in a function in a branch in a loop."""

    def branch(value: Any) -> Any:
        return tf.cond(tf.reduce_sum(value) > 0, lambda: value + _read(value)["y"], lambda: value)

    inner = tf.function(branch)

    return {"y": tf.while_loop(lambda value: tf.reduce_sum(value) < 0, lambda value: (inner(value),), (x,))[0]}


def _python(x: Any) -> Any:
    return {"y": tf.ensure_shape(tf.py_function(lambda value: value, [x], tf.float32), (None, 3))}


def _old_python(x: Any) -> Any:
    return {"y": tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), (None, 3))}


def _printed(x: Any) -> Any:
    with tf.control_dependencies([tf.print(x, output_stream="file:///tmp/written-by-a-model")]):
        return {"y": x + 1}


def _endless(x: Any) -> Any:
    return {"y": x + tf.while_loop(lambda value: value < 2.0, lambda value: (value * 0.0,), (tf.reduce_sum(x) * 0.0,))[0]}


def _huge(x: Any) -> Any:
    side = tf.cast(tf.reduce_max(x) * 0.0 + 300_000.0, tf.int32)
    return {"y": x + tf.reduce_max(tf.fill([side, side], x[0, 0]))}


HOSTILE: dict[str, tuple[Callable[..., Any], Sequence[Any]]] = {
    "read": (_read, [ROWS]),
    "written": (_written, [ROWS]),
    "deep": (_deep, [ROWS]),
    "python": (_python, [ROWS]),
    "old_python": (_old_python, [ROWS]),
    "printed": (_printed, [ROWS]),
    "endless": (_endless, [ROWS]),
    "huge": (_huge, [ROWS]),
    "words": (lambda x: {"y": tf.identity(x)}, [spec(None, dtype=tf.string)]),
}


def _save(folder: Path, function: Callable[..., Any], given: Sequence[Any], key: str = "serving_default") -> None:
    module = tf.Module()
    module.scale = tf.Variable(1.0)
    module.call = tf.function(function, input_signature=given)
    tf.saved_model.save(module, str(folder), signatures={key: module.call})


def _signatures(folder: Path) -> None:
    _save(folder / "other_key", lambda x: {"y": x * 3}, [ROWS], key="score")
    module = tf.Module()
    module.scale = tf.Variable(1.0)
    tf.saved_model.save(module, str(folder / "hostile" / "unsigned"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 3), name="x")
        weights = tf.compat.v1.get_variable("w", initializer=np.ones((3, 2), np.float32), use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(session, str(folder / "old"), {"features": x}, {"scores": tf.matmul(x, weights)})


def _hidden(hostile: Path) -> None:
    """What is not allowed is in a function that nobody calls, or in one that pretends to belong to the saver."""
    for name, op in {"hidden": "WriteFile", "saver": "SaveV2"}.items():
        _save(hostile / name, lambda x: {"y": x + 1}, [ROWS])
        file = hostile / name / "saved_model.pb"
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        functions = saved.meta_graphs[0].graph_def.library.function
        into = next(each for each in functions if "traced" not in each.signature.name) if op == "SaveV2" else functions.add()
        into.node_def.add(op=op, name="more")
        file.write_bytes(saved.SerializeToString())


def _frozen(folder: Path, hostile: Path) -> None:
    net = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    graph = convert_variables_to_constants_v2(tf.function(net).get_concrete_function(ROWS)).graph
    tf.io.write_graph(graph, str(folder), "graph.pb", as_text=False)
    read = convert_variables_to_constants_v2(tf.function(lambda x: _read(x)["y"]).get_concrete_function(ROWS)).graph
    tf.io.write_graph(read, str(hostile), "read.pb", as_text=False)
    (hostile / "noise.pb").write_bytes(b"\x0a\xff" + os.urandom(3000))
    (hostile / "empty.pb").write_bytes(b"")


def _keras(folder: Path, hostile: Path) -> None:
    layers = keras.layers

    class Own(keras.Layer):  # type: ignore[misc]
        """A layer that nobody else has."""

        def call(self, x: Any) -> Any:
            return x

    keras.Sequential([layers.Input((3,)), Own()]).save(hostile / "unknown.keras")
    (hostile / "noise.keras").write_bytes(b"PK\3\4" + os.urandom(3000))
    inputs = layers.Input((6, 2), name="tracks")
    net = keras.Model(inputs, layers.Dense(2, name="out")(layers.LSTM(4)(inputs)))
    net.save(folder / "recurrent.keras")
    keras.Sequential([layers.Input((3,)), layers.Lambda(lambda x: x * 2)]).save(hostile / "lambda.keras")


def _onnx(folder: Path, hostile: Path) -> None:
    (folder / "beside").mkdir()
    weights = numpy_helper.from_array(np.arange(3000, dtype=np.float32).reshape(3, 1000), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1000])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "beside" / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=10)
    onnx.save(model, hostile / "elsewhere.onnx", save_as_external_data=True, location="weights.bin", size_threshold=10)
    moved = onnx.load(hostile / "elsewhere.onnx", load_external_data=False)
    for name, place in {"absolute": "/etc/passwd", "upwards": "../../secret.bin", "missing": "weights.bin"}.items():
        moved.graph.initializer[0].external_data[0].value = place
        (hostile / f"{name}.onnx").write_bytes(moved.SerializeToString())
    (hostile / "elsewhere.onnx").unlink()
    foreign = helper.make_graph([helper.make_node("Steal", ["x"], ["y"], domain="com.example")], "g", [x], [y])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(foreign, opset_imports=imports, ir_version=9), hostile / "foreign.onnx")
    (hostile / "noise.onnx").write_bytes(os.urandom(3000))


def _tflite(folder: Path, hostile: Path) -> None:
    single = tf.lite.TFLiteConverter.from_saved_model(str(folder / "single"))
    (folder / "single.tflite").write_bytes(single.convert())
    module = tf.Module()
    module.call = tf.function(lambda x: {"y": tf.math.erf(x)}, input_signature=[ROWS])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.call.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    (hostile / "flex.tflite").write_bytes(converter.convert())
    (hostile / "noise.tflite").write_bytes(b"\x1c\0\0\0TFL3" + os.urandom(3000))


if __name__ == "__main__":
    main()
