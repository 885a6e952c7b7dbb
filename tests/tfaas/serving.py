"""Versions of the models of the tests in a store, without conversion, and a plane that serves them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from jupyter_dodas.inference.execution.live import Bounds, Live
from jupyter_dodas.inference.execution.plane import Plane
from jupyter_dodas.inference.records import Engine, Lineage, Manifest, Signature, Tensor
from jupyter_dodas.inference.versions.store import Store

__all__ = ["OWNER", "SIGNATURES", "Caller", "add", "predict", "serving"]

_FILES: Final = {"litert": "model.tflite", "onnx": "model.onnx", "tensorflow": "saved_model"}
_ENDS: Final = {"litert": ".tflite", "onnx": ".onnx", "tensorflow": ""}
_COLUMN: Final = Signature((Tensor("x", "float32", (None, 1)),), (Tensor("y", "float32", (None, 1)),))
SIGNATURES: Final = {
    "net": Signature((Tensor("x", "float32", (None, 9)),), (Tensor("y", "float32", (None, 1)),)),
    "cnn": Signature((Tensor("x", "float32", (None, 28, 28, 1)),), (Tensor("y", "float32", (None, 10)),)),
    "two": Signature(
        (Tensor("a", "float32", (None, 3)), Tensor("b", "int32", (None, 2))),
        (Tensor("total", "float32", (None, 1)), Tensor("twice", "int64", (None, 2))),
    ),
    "gram": Signature((Tensor("x", "float32", (None, None)),), (Tensor("y", "float32", (None, None)),)),
} | dict.fromkeys(("log", "fill", "endless"), _COLUMN)


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str
    administrator: bool = False


OWNER: Final = Caller("owner", administrator=True)


def add(
    store: Store, models: Path, name: str, engine: Engine = "litert", *, model: str = "", publish: bool = True, note: str = ""
) -> Manifest:
    """Add a version of one of the models of `making`; other notes make other versions of the same content."""
    with store.staging() as folder:
        source, target = models / f"{name}{_ENDS[engine]}", folder / "engine" / _FILES[engine]
        target.parent.mkdir()
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
        (folder / "original").mkdir()
        manifest = Manifest(
            model=model or name,
            version="",
            format="saved-model",
            engine=engine,
            signature=SIGNATURES[name],
            lineage=Lineage(owner="alice", created=1.0),
            params={"name": name, "engine": engine, "description": note},
        )
        manifest = store.add(folder, manifest)
    if publish:
        store.publish(manifest.model, manifest.version)
    return manifest


@asynccontextmanager
async def serving(store: Store, *, bounds: Bounds | None = None, **options: Any) -> AsyncIterator[Plane]:
    """Serve what is in a store."""
    plane = Plane(store, bounds=bounds, **options)
    await plane.start()
    try:
        yield plane
    finally:
        await plane.close()


async def predict(plane: Plane, live: Live, *inputs: Any, timeout: float = 30.0) -> list[Any]:
    """Return the outputs for inputs, as arrays."""
    tensors = live.manifest.signature
    arrays = [np.ascontiguousarray(one, dtype=tensor.dtype) for one, tensor in zip(inputs, tensors.inputs, strict=True)]
    shapes = None if live.rowwise else [array.shape for array in arrays]
    outcome = await plane.infer(live, len(arrays[0]), [array.data for array in arrays], shapes, timeout=timeout)
    assert outcome.version == live.version
    together = zip(outcome.parts, outcome.shapes, tensors.outputs, strict=True)
    return [np.frombuffer(part, tensor.dtype).reshape(shape) for part, shape, tensor in together]
