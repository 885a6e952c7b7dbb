"""The engines that could serve a model, best first, and what makes their files."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_dodas.inference.conversion.converter.original import Original
from jupyter_dodas.inference.records import Engine

__all__ = ["Candidate", "candidates"]


@dataclass(frozen=True)
class Candidate:
    """An engine, and how its files come into ``engine/``.

    Parameters
    ----------
    same
        Whether it runs what was uploaded, so that there is nothing to compare, and nothing left to try.
    """

    engine: Engine
    make: Callable[[Path], None]
    same: bool = False


def candidates(original: Original) -> Sequence[Candidate]:
    """Return what to try, in order: for models of TensorFlow LiteRT, ONNX Runtime, TensorFlow itself."""
    itself = Candidate(original.engine, lambda engine: _copy(original, engine), same=True)
    if not original.compares:
        return [itself]
    return [
        Candidate("litert", lambda engine: _to_litert(original, engine)),
        Candidate("onnx", lambda engine: _to_onnx(original, engine)),
        itself,
    ]


def _copy(original: Original, engine: Path) -> None:
    for name, path in original.files.items():
        # Contents alone: what else a file has cannot be changed in here.
        if path.is_dir():
            _copy_folder(path, engine / name)
        else:
            shutil.copyfile(path, engine / name)


def _copy_folder(folder: Path, to: Path) -> None:
    to.mkdir()
    for path in folder.iterdir():
        if path.is_dir():
            _copy_folder(path, to / path.name)
        else:
            shutil.copyfile(path, to / path.name)


def _to_litert(original: Original, engine: Path) -> None:
    import tensorflow as tf

    assert original.saved_model is not None
    folder, signature = original.saved_model
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    (engine / "model.tflite").write_bytes(converter.convert())


def _to_onnx(original: Original, engine: Path) -> None:
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Loops stay loops: of what they are lowered to, the converter recognises no recurrent layers.
    frozen = convert_variables_to_constants_v2(original.function, lower_control_flow=False, aggressive_inlining=True)
    # What is named is flattened in the order of the names.
    inputs = dict(
        zip((tensor.name for tensor in frozen.inputs), sorted(one.name for one in original.signature.inputs), strict=True)
    )
    outputs = dict(
        zip((tensor.name for tensor in frozen.outputs), sorted(one.name for one in original.signature.outputs), strict=True)
    )
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=list(inputs),
        output_names=list(outputs),
        opset=18,
        tensors_to_rename={**inputs, **outputs},
    )
    (engine / "model.onnx").write_bytes(model.SerializeToString())
