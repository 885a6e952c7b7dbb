"""A running server with the models of `making` published, put into its store without conversion."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from jupyter_dodas.inference.records import Engine
from jupyter_dodas.inference.versions.store import Store
from tests.tfaas.endpoint import KEYS, Endpoint
from tests.tfaas.serving import add

__all__ = ["seeded"]

ENGINES: dict[str, Engine] = {"net": "litert", "cnn": "onnx", "log": "onnx", "two": "litert", "gram": "onnx", "endless": "litert"}


@contextmanager
def seeded(models: Path, **flags: Any) -> Iterator[Endpoint]:
    """Run a server with all of them; `named` is `net` with names for its features."""
    endpoint = Endpoint(**flags)
    try:
        store = Store(endpoint.store)
        for name, engine in ENGINES.items():
            add(store, models, name, engine)
        _name_features(store, models)
        yield endpoint
    finally:
        endpoint.close()


def _name_features(store: Store, models: Path) -> None:
    plain = add(store, models, "net", "onnx", model="named", publish=False)
    with store.staging() as folder:
        (folder / "engine").mkdir()
        (folder / "original").mkdir()
        (folder / "engine" / "model.onnx").write_bytes((models / "net.onnx").read_bytes())
        named = store.add(folder, msgspec.structs.replace(plain, keys=KEYS))
    store.publish("named", named.version)
