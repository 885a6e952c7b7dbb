"""What tests of TFaaS endpoints share: models that are known by what they answer, and callers that never stop."""

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from jupyter_dodas import aio
from jupyter_dodas.inference.records import Lineage, Manifest, Signature, Tensor
from jupyter_dodas.inference.versions.store import Store
from jupyter_dodas.services.tfaas.service import TOKEN
from jupyter_dodas.spec import Condition, Phase, Record
from jupyter_dodas.testing.waiting import until

__all__ = [
    "UP",
    "Load",
    "archive",
    "caller",
    "deploy",
    "predict",
    "publish",
    "replaced",
    "scaling",
    "stocked",
    "upload",
    "versions",
]

UP: Final = 120.0
"""Seconds in which whatever starts is there, also on a busy machine."""
_WIDTH: Final = 4
_PAUSE: Final = 0.002


def scaling(factor: float) -> bytes:
    """Return a model, as ONNX, that answers a row of 4 numbers with their sum times `factor`."""
    row = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, _WIDTH])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    weights = numpy_helper.from_array(np.full((_WIDTH, 1), factor, np.float32), "weights")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "weights"], ["y"])], "scaling", [row], [answer], [weights])
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    return content


def stocked(folder: Path, *factors: float, published: int = 0) -> str:
    """Lay versions of the model ``scale`` into a folder, as an endpoint would, and return its path.

    Parameters
    ----------
    published
        Which of them is.
    """
    store = Store(folder)
    signature = Signature((Tensor("x", "float32", (None, _WIDTH)),), (Tensor("y", "float32", (None, 1)),))
    versions = []
    for factor in factors:
        with store.staging() as part:
            for name in ("original", "engine"):
                (part / name).mkdir()
                (part / name / "model.onnx").write_bytes(scaling(factor))
            lineage = Lineage(owner="owner", created=factor)
            made = Manifest(model="scale", version="", format="onnx", engine="onnx", signature=signature, lineage=lineage)
            versions.append(store.add(part, made).version)
    store.publish("scale", versions[published])
    return str(folder)


def archive(model: bytes) -> bytes:
    """Return an upload of a model as ONNX."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in (("model/model.onnx", model), ("upload.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@asynccontextmanager
async def caller(cluster: aio.Cluster, *, token: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """Someone who calls an endpoint, with its own token."""
    there = await cluster.connection()
    headers = {"Authorization": f"Bearer {(there.secrets / TOKEN).read_text().strip()}"} if token else {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=there.addresses["page"], headers=headers, timeout=UP, limits=limits) as client:
        yield client


async def upload(client: httpx.AsyncClient, model: str, content: bytes) -> str:
    """Stage a version, and return its name."""
    said = await client.post(
        f"/dodas/v1/models/{model}/versions", content=archive(content), headers={"Content-Type": "application/x-tar"}
    )
    assert said.status_code == 200, said.text
    last: dict[str, Any] = json.loads(said.text.splitlines()[-1])
    assert "version" in last, last
    version: str = last["version"]["version"]
    return version


async def publish(client: httpx.AsyncClient, model: str, version: str) -> None:
    """Publish a version."""
    said = await client.post(f"/dodas/v1/models/{model}/publish", json={"version": version})
    assert said.status_code == 200, said.text


async def deploy(client: httpx.AsyncClient, model: str, factor: float) -> str:
    """Publish a model that scales, and return its version."""
    version = await upload(client, model, scaling(factor))
    await publish(client, model, version)
    return version


async def predict(client: httpx.AsyncClient, model: str = "scale") -> float:
    """Return what a row of ones times a quarter gives: the factor of the published version."""
    said = await client.post("/json", json={"keys": list("abcd"), "values": [0.25] * _WIDTH, "model": model})
    assert said.status_code == 200, f"{said.status_code}: {said.text}"
    return float(said.json()[0])


async def versions(client: httpx.AsyncClient, model: str = "scale") -> Sequence[str]:
    """Return the versions of a model, newest first."""
    said = await client.get(f"/dodas/v1/models/{model}")
    assert said.status_code == 200, said.text
    return [one["version"] for one in said.json()["versions"]]


async def replaced(cluster: aio.Cluster, name: str, before: Record) -> Record:
    """Wait until an instance is another one than it was, and all is well again."""

    def well(record: Record) -> bool:
        instances = record.status.instances
        another = name in instances and instances[name].started != before.status.instances[name].started
        return another and record.status.phase is Phase.READY and all(i.condition is Condition.READY for i in instances.values())

    return await until(cluster.record, within=UP, meets=well)


class Load:
    """Callers that ask again as soon as they are answered.

    Parameters
    ----------
    callers
        How many there are.
    """

    def __init__(self, client: httpx.AsyncClient, model: str = "scale", *, callers: int = 8) -> None:
        self._client, self._model, self._callers = client, model, callers
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: list[float] = []
        self.failures: list[str] = []

    async def __aenter__(self) -> "Load":
        """Begin."""
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Have all of them end with an answer."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    async def _call(self) -> None:
        while self._tasks:
            try:
                self.answers.append(await predict(self._client, self._model))
            except (AssertionError, httpx.HTTPError) as error:
                self.failures.append(repr(error))
                await asyncio.sleep(_PAUSE)
