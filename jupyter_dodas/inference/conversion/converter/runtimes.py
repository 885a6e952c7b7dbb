"""Models that an engine runs as they are: ONNX and TFLite files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from jupyter_dodas.errors import ModelRefused
from jupyter_dodas.inference.conversion.converter.original import Array, Original
from jupyter_dodas.inference.records import DTYPES, Signature, Tensor

__all__ = ["onnx", "tflite"]

_DOMAINS: Final = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


def onnx(path: Path) -> Original:
    """Open an ONNX file, with data beside it in its folder alone."""
    import onnx as library
    import onnxruntime
    from onnx.external_data_helper import uses_external_data

    model = library.load(str(path), load_external_data=False)
    files = {"model.onnx": path}
    for tensor in _onnx_tensors(model):
        if uses_external_data(tensor):
            place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            data = path.parent / place
            if not place or Path(place).name != place or not data.is_file():
                raise ModelRefused(
                    f"Data of the model lies elsewhere: {place[:80]!r}",
                    cause="It has to be a file beside the model.",
                    remedy="Save the model with its data inside, or with a file beside it.",
                )
            files[place] = data
    library.checker.check_model(str(path))
    foreign = {entry.domain for entry in model.opset_import} - _DOMAINS
    if foreign:
        raise ModelRefused(
            f"The model needs operations of {', '.join(sorted(foreign))[:80]}",
            cause="They are not part of ONNX.",
            remedy="Export it without.",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    signature = Signature(tuple(map(_onnx_tensor, session.get_inputs())), tuple(map(_onnx_tensor, session.get_outputs())))

    def call(arrays: Sequence[Array]) -> Sequence[Array]:
        found: Sequence[Array] = session.run(None, dict(zip(names, arrays, strict=True)))
        return found

    return Original(signature, call, "onnx", files)


def _onnx_tensors(model: Any) -> Iterable[Any]:
    """Give every tensor of a model that may have its data elsewhere, in graphs within graphs too."""
    graphs = [model.graph]
    bodies = [node for function in model.functions for node in function.node]
    while graphs or bodies:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            yield from (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))
            bodies += graph.node
        else:
            for attribute in bodies.pop().attribute:
                yield from (attribute.t, *attribute.tensors)
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


_ONNX_TYPES: Final = {"float": "float32", "double": "float64", "float16": "float16"}


def _onnx_tensor(one: Any) -> Tensor:
    inside = one.type.removeprefix("tensor(").removesuffix(")")
    dtype = _ONNX_TYPES.get(inside, inside)
    if not one.type.startswith("tensor(") or dtype not in DTYPES:
        raise ModelRefused(
            f"{one.name[:80]!r} is of the type {one.type[:80]}",
            cause="Models here take and give arrays of numbers.",
            remedy="Export it with arrays; with skl2onnx, give options={'zipmap': False}.",
        )
    return Tensor(one.name, dtype, tuple(length if isinstance(length, int) and length > 0 else None for length in one.shape or ()))


def tflite(path: Path) -> Original:
    """Open a TFLite file. What needs operations beyond LiteRT's own is refused by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ModelRefused(
            "The TFLite file cannot be opened",
            cause=" ".join(str(error).split())[:500],
            remedy="Convert it with operations of TFLite alone: without Select TF operations and custom ones.",
        ) from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    named: dict[str, dict[str, int]] = next(iter(interpreter._get_full_signature_list().values()), {})  # noqa: SLF001 - the only way to learn indices
    signature = Signature(_lite_tensors(inputs, named.get("inputs", {})), _lite_tensors(outputs, named.get("outputs", {})))

    def call(arrays: Sequence[Array]) -> Sequence[Array]:
        for detail, array in zip(inputs, arrays, strict=True):
            interpreter.resize_tensor_input(detail["index"], array.shape)
        interpreter.allocate_tensors()
        for detail, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in outputs]

    return Original(signature, call, "litert", {"model.tflite": path}, resize=True)


def _lite_tensors(details: Iterable[Any], named: dict[str, int]) -> tuple[Tensor, ...]:
    names = {index: name for name, index in named.items()}
    found = []
    for detail in details:
        name, dtype = names.get(detail["index"], str(detail["name"])), np.dtype(detail["dtype"]).name
        if dtype not in DTYPES:
            raise ModelRefused(
                f"{name[:80]!r} has elements of the type {dtype}",
                cause="Models here take and give numbers.",
                remedy="Export others.",
            )
        shape = detail.get("shape_signature", detail["shape"])
        found.append(Tensor(name, dtype, tuple(None if length < 0 else int(length) for length in shape)))
    return tuple(found)
