"""Manifests of models that need not exist."""

from typing import Any

from jupyter_dodas.inference.records import Lineage, Manifest, Signature, Tensor


def manifest(*inputs: Tensor, outputs: tuple[Tensor, ...] = (Tensor("y", "float32", (None, 1)),), **more: Any) -> Manifest:
    """A model with these inputs; three numbers by default."""
    taken = inputs or (Tensor("x", "float32", (None, 3)),)
    known: dict[str, Any] = {"model": "m", "version": "0" * 12, "format": "onnx", "engine": "onnx"}
    return Manifest(**known | {"signature": Signature(taken, outputs), "lineage": Lineage(owner="owner", created=0.0)} | more)
