"""The Open Inference Protocol against a running server: metadata, health, JSON and binary tensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tests.tfaas.endpoint import Endpoint
from tests.tfaas.seeded import seeded

pytestmark = pytest.mark.timeout(300)

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def endpoint(models: Path) -> Iterator[Endpoint]:
    with seeded(models) as made:
        yield made


@pytest.fixture(scope="module")
def rows(models: Path) -> Mapping[str, npt.NDArray[np.float32]]:
    return dict(np.load(models / "net.npz"))


def infer(endpoint: Endpoint, model: str, *inputs: dict[str, Any], version: str = "", **more: Any) -> dict[str, Any]:
    path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
    reply = endpoint.client.post(path, json={"inputs": inputs, **more})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def tensor(name: str, array: npt.NDArray[Any], datatype: str = "FP32", *, nested: bool = False) -> dict[str, Any]:
    data = array.tolist() if nested else array.ravel().tolist()
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}


def test_health_needs_no_token_and_the_rest_does(endpoint: Endpoint) -> None:
    with endpoint.caller(None) as nobody:
        assert nobody.get("/v2/health/live").json() == {"live": True}
        assert nobody.get("/v2/health/ready").json() == {"ready": True}
        assert nobody.get("/v2").json()["extensions"] == ["binary_tensor_data"]
        for path in ("/v2/models", "/v2/models/net", "/v2/models/net/ready"):
            assert nobody.get(path).status_code == 401
        assert nobody.post("/v2/models/net/infer", json={}).status_code == 401


def test_models_tell_what_they_take_and_give(endpoint: Endpoint) -> None:
    told = endpoint.client.get("/v2/models/two").json()
    assert told["inputs"] == [
        {"name": "a", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "b", "datatype": "INT32", "shape": [-1, 2]},
    ]
    assert [one["datatype"] for one in told["outputs"]] == ["FP32", "INT64"]
    assert endpoint.client.get(f"/v2/models/two/versions/{told['versions'][0]}").json() == told
    assert endpoint.client.get("/v2/models/two/ready").json() == {"name": "two", "ready": True}
    assert {one["name"] for one in endpoint.client.get("/v2/models").json()["models"]} >= {"net", "two", "gram"}


@pytest.mark.parametrize("path", ["/v2/models/nothing", "/v2/models/net/versions/ffffffffffff", "/v2/models/net/versions/..%2f"])
def test_what_is_not_there_is_a_404_in_the_form_of_the_protocol(endpoint: Endpoint, path: str) -> None:
    for reply in (endpoint.client.get(path), endpoint.client.post(f"{path}/infer", json={"inputs": []})):
        assert (reply.status_code, list(reply.json())) == (404, ["error"])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("count", [1, 5, 64])
def test_rows_as_json_flat_or_nested(
    endpoint: Endpoint, rows: Mapping[str, npt.NDArray[np.float32]], count: int, nested: bool
) -> None:
    reply = infer(endpoint, "net", tensor("x", rows["x"][:count], nested=nested), id="mine")
    (output,) = reply.pop("outputs")
    assert (reply["model_name"], reply["id"], len(reply["model_version"])) == ("net", "mine", 12)
    assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [count, 1])
    assert np.allclose(output["data"], rows["y"][:count].ravel(), atol=1e-6)
    assert infer(endpoint, "net", tensor("x", rows["x"][:count]), version=reply["model_version"])["outputs"] == [output]


def test_several_inputs_in_any_order_and_the_outputs_that_are_wanted(endpoint: Endpoint) -> None:
    a, b = np.arange(6, dtype="f4").reshape(2, 3), np.arange(4, dtype="i4").reshape(2, 2)
    inputs = tensor("b", b, "INT32"), tensor("a", a)
    reply = infer(endpoint, "two", *inputs)
    assert [one["name"] for one in reply["outputs"]] == ["total", "twice"]
    assert [one["data"] for one in reply["outputs"]] == [[3.0, 12.0], [0, 2, 4, 6]]
    (only,) = infer(endpoint, "two", *inputs, outputs=[{"name": "twice"}])["outputs"]
    assert (only["datatype"], only["shape"], only["data"]) == ("INT64", [2, 2], [0, 2, 4, 6])


def test_a_model_that_is_no_matter_of_rows(endpoint: Endpoint) -> None:
    matrix = np.arange(6, dtype="f4").reshape(2, 3)
    (output,) = infer(endpoint, "gram", tensor("x", matrix))["outputs"]
    assert (output["shape"], output["data"]) == ([2, 2], (matrix @ matrix.T).ravel().tolist())


def binary(header: dict[str, Any], *parts: bytes) -> tuple[bytes, dict[str, str]]:
    text = msgspec.json.encode(header)
    return text + b"".join(parts), {LENGTH: str(len(text)), "Content-Type": "application/octet-stream"}


def test_binary_tensors_in_and_out(endpoint: Endpoint) -> None:
    a, b = np.arange(6, dtype="<f4").reshape(2, 3), np.arange(4, dtype="<i4").reshape(2, 2)
    inputs = [
        {"name": "b", "shape": [2, 2], "datatype": "INT32", "parameters": {"binary_data_size": 16}},
        {"name": "a", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}},
    ]
    body, headers = binary({"inputs": inputs, "parameters": {"binary_data_output": True}}, b.tobytes(), a.tobytes())
    reply = endpoint.client.post("/v2/models/two/infer", content=body, headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/octet-stream")
    length = int(reply.headers[LENGTH])
    outputs = msgspec.json.decode(reply.content[:length])["outputs"]
    assert [one["parameters"] for one in outputs] == [{"binary_data_size": 8}, {"binary_data_size": 32}]
    behind = reply.content[length:]
    assert np.frombuffer(behind[:8], "<f4").tolist() == [3.0, 12.0]
    assert np.frombuffer(behind[8:], "<i8").tolist() == [0, 2, 4, 6]


def test_each_output_says_whether_it_is_binary(endpoint: Endpoint) -> None:
    inputs = [tensor("a", np.ones((1, 3), "f4")), tensor("b", np.ones((1, 2), "i4"), "INT32")]
    outputs = [{"name": "twice", "parameters": {"binary_data": True}}, {"name": "total"}]
    reply = endpoint.client.post("/v2/models/two/infer", json={"inputs": inputs, "outputs": outputs})
    text = msgspec.json.decode(reply.content[: int(reply.headers[LENGTH])])
    assert text["outputs"][1]["data"] == [3.0]
    assert np.frombuffer(reply.content[int(reply.headers[LENGTH]) :], "<i8").tolist() == [2, 2]


def test_many_rows_in_one_body(endpoint: Endpoint, rows: Mapping[str, npt.NDArray[np.float32]]) -> None:
    many = np.ascontiguousarray(np.tile(rows["x"], (1563, 1))[:100_000], "<f4")
    inputs = [{"name": "x", "shape": list(many.shape), "datatype": "FP32", "parameters": {"binary_data_size": many.nbytes}}]
    body, headers = binary({"inputs": inputs, "parameters": {"binary_data_output": True}}, many.tobytes())
    reply = endpoint.client.post("/v2/models/net/infer", content=body, headers=headers)
    assert reply.status_code == 200, reply.text
    found = np.frombuffer(reply.content[int(reply.headers[LENGTH]) :], "<f4")
    assert np.allclose(found, np.tile(rows["y"].ravel(), 1563)[:100_000], atol=1e-6)
