"""Models of TensorFlow: SavedModels, and frozen graphs as TFaaS takes them, which become SavedModels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

from jupyter_dodas.errors import ModelRefused
from jupyter_dodas.inference.conversion.converter.original import Array, Original
from jupyter_dodas.inference.conversion.operations import check_graph, check_saved_model
from jupyter_dodas.inference.records import DTYPES, Signature, Tensor

__all__ = ["frozen", "saved_model"]

SERVING: Final = "serving_default"
_INPUTS: Final = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_NO_OUTPUTS: Final = {"NoOp", "Assert", "Const", *_INPUTS}


def saved_model(folder: Path, work: Path) -> Original:
    """Open a SavedModel by its signature: ``serving_default``, else ``serve``, else the first."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    check_saved_model(saved)
    tags = [list(meta.meta_info_def.tags) for meta in saved.meta_graphs]
    loaded = tf.saved_model.load(
        str(folder), tags=None if len(tags) == 1 else next((each for each in tags if "serve" in each), tags[0])
    )
    names = [name for name in loaded.signatures if name != "__saved_model_init_op"]
    if not names:
        raise ModelRefused(
            "The SavedModel has no signature",
            cause="It was saved without one, so that nobody knows its inputs and outputs.",
            remedy="Use model.export() of Keras, or give signatures= to tf.saved_model.save.",
        )
    name = next((each for each in (SERVING, "serve") if each in names), min(names))
    function = loaded.signatures[name]
    if name != SERVING or len(tags) != 1:
        folder = work / "rewritten"
        tf.saved_model.save(loaded, str(folder), signatures={SERVING: function})
    # A SavedModel has no order of its own.
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    return _original(function, folder, loaded, sorted(inputs, key=_counting), sorted(outputs, key=_counting))


def frozen(file: Path, work: Path, params: Mapping[str, Any]) -> Original:
    """Open a frozen graph between the nodes that ``params.json`` names, or else between its placeholders and what nobody uses."""
    graph = graph_pb2.GraphDef()
    graph.ParseFromString(file.read_bytes())
    if not graph.node:
        raise ModelRefused(
            "The file is no frozen graph", cause="It has no nodes.", remedy="Freeze the graph again, or upload a SavedModel."
        )
    check_graph(graph)
    nodes = {node.name: node for node in graph.node}
    inputs = _named(nodes, params, "input_node", "inputNode") or [node.name for node in graph.node if node.op in _INPUTS]
    used = {name.lstrip("^").partition(":")[0] for node in graph.node for name in node.input}
    sinks = [node.name for node in graph.node if node.name not in used and node.op not in _NO_OUTPUTS]
    outputs = _named(nodes, params, "output_node", "outputNode") or [f"{name}:0" for name in sinks]
    if not (inputs and outputs):
        raise ModelRefused(
            "Nobody can tell what goes into the graph and what comes out",
            cause="It has no placeholders, or no node at its end.",
            remedy="Name input_node and output_node in params.json.",
        )
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    feeds = [wrapped.graph.as_graph_element(_tensor(name)) for name in inputs]
    fetches = [wrapped.graph.as_graph_element(_tensor(name)) for name in outputs]
    pruned = wrapped.prune(feeds, fetches)
    keys = [_key(name) for name in outputs]

    def call(**tensors: Any) -> Any:
        return dict(zip(keys, pruned(*(tensors[_key(name)] for name in inputs)), strict=True))

    specs = {_key(name): tf.TensorSpec(feed.shape, feed.dtype, _key(name)) for name, feed in zip(inputs, feeds, strict=True)}
    module = tf.Module()
    module.function = tf.function(call, autograph=False)
    folder = work / "saved"
    tf.saved_model.save(module, str(folder), signatures={SERVING: module.function.get_concrete_function(**specs)})
    loaded = tf.saved_model.load(str(folder))
    return _original(loaded.signatures[SERVING], folder, loaded, [_key(name) for name in inputs], keys)


def _named(nodes: Mapping[str, Any], params: Mapping[str, Any], *fields: str) -> list[str]:
    """Return the nodes that a field names, separated by commas, without what is empty."""
    text = next((str(params[field]) for field in fields if params.get(field)), "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name.partition(":")[0] not in nodes:
            raise ModelRefused(
                f"The graph has no node {name[:80]!r}",
                cause=f"params.json names it; there are: {', '.join(list(nodes)[:3])}, ..., {list(nodes)[-1]}.",
                remedy="Put the right names into params.json.",
            )
    return names


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _key(name: str) -> str:
    """Return the name as a signature can have it."""
    return re.sub(r"\W", "_", name.removesuffix(":0")) or "_"


def _counting(name: str) -> list[tuple[bool, int, str]]:
    """Return what sorts ``output_10`` behind ``output_2``."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]


def _original(function: Any, folder: Path, loaded: Any, names: Sequence[str], outputs: Sequence[str]) -> Original:
    specs: Mapping[str, Any] = function.structured_input_signature[1]
    made: Mapping[str, Any] = function.structured_outputs
    signature = Signature(_tensors((name, specs[name]) for name in names), _tensors((name, made[name]) for name in outputs))

    def call(arrays: Sequence[Array]) -> Sequence[Array]:
        found = function(**{name: tf.constant(array) for name, array in zip(names, arrays, strict=True)})
        return [found[tensor.name].numpy() for tensor in signature.outputs]

    return Original(signature, call, "tensorflow", {"saved_model": folder}, function, (folder, SERVING), loaded)


def _tensors(specs: Iterable[tuple[str, Any]]) -> tuple[Tensor, ...]:
    found = []
    for name, spec in specs:
        if spec.dtype.name not in DTYPES:
            raise ModelRefused(
                f"{name[:80]!r} has elements of the type {spec.dtype.name}",
                cause=f"Models here take and give numbers: {', '.join(DTYPES)}.",
                remedy="Export the part of the model that is between numbers.",
            )
        if spec.shape.rank is None:
            raise ModelRefused(
                f"Nobody can tell how many axes {name[:80]!r} has",
                cause="Its shape is unknown.",
                remedy="Export the model with shapes.",
            )
        found.append(Tensor(name, spec.dtype.name, tuple(spec.shape.as_list())))
    return tuple(found)
