"""The server does as its OpenAPI document says: of every route of every protocol, whatever is sent to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.routing import Route

from jupyter_dodas.inference.http.openapi import OPERATIONS, document
from jupyter_dodas.inference.server import Server
from jupyter_dodas.inference.settings import Settings
from tests.tfaas.endpoint import KEYS, Endpoint

pytestmark = pytest.mark.timeout(300)

schema = schemathesis.openapi.from_dict(json.loads(document()))

# What is well-formed can be asked of a model that is not there; and JSON may have more fields than are read.
NOT_OURS: Final = [positive_data_acceptance, negative_data_rejection]
TRIES: Final = settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@schemathesis.serializer("application/x-tar", "application/gzip")  # type: ignore[untyped-decorator, unused-ignore]
def archive(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def endpoint(models: Path) -> Iterator[Endpoint]:
    with Endpoint(timeout=5) as made:
        made.publish("net", made.deploy("net", models / "net.tflite", keys=KEYS))
        made.publish("two", made.deploy("two", models / "two.tflite"))
        yield made
        assert "Traceback" not in made.said()


def call(case: schemathesis.Case[Any], endpoint: Endpoint) -> None:
    headers = {"Authorization": f"Bearer {endpoint.token}"}
    case.call_and_validate(base_url=endpoint.url, headers=headers, excluded_checks=[*NOT_OURS])


@schema.parametrize()
@TRIES
def test_it_does_as_its_document_says(case: schemathesis.Case[Any], endpoint: Endpoint) -> None:
    call(case, endpoint)


@schema.include(path_regex="{model}").exclude(method="DELETE").parametrize()
@TRIES
def test_it_does_so_with_a_model_that_is_there(case: schemathesis.Case[Any], endpoint: Endpoint) -> None:
    case.path_parameters["model"] = "net"
    if "version" in case.path_parameters:
        case.path_parameters["version"] = endpoint.client.get("/dodas/v1/models/net").json()["published"]
    call(case, endpoint)


def test_every_route_is_in_the_document(tmp_path: Path) -> None:
    server = Server(Settings(folder=tmp_path, anonymous="all"))
    server.journal.close()
    routes = [one for one in server.app._rest.routes if isinstance(one, Route) and not one.path.startswith("/page/")]
    answered = {(method.lower(), one.path) for one in routes for method in one.methods or () if method != "HEAD"}
    inferences = {("post", f"/v2/models/{{model}}{version}/infer") for version in ("", "/versions/{version}")}
    documented = {(one.method, one.path) for one in OPERATIONS}
    assert documented == answered | inferences | {("post", path) for path in server.app._hot}


def test_no_token_is_needed_for_what_tells_nothing(endpoint: Endpoint) -> None:
    with endpoint.caller(None) as nobody:
        for operation in OPERATIONS:
            path = operation.path.format(model="net", version="0" * 12)
            status = nobody.request(operation.method, path).status_code
            assert (status == 401) is not operation.public, f"{operation.method} {path}: {status}"
