"""The extension does as its OpenAPI document says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.specs.openapi.checks import missing_required_header, negative_data_rejection, positive_data_acceptance

from jupyter_dodas.server.openapi import document
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer
from tests.place import Place


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[JupyterServer]:
    """A server with one cluster, beside which no other fits: whatever is launched waits."""
    place = Place()
    server = JupyterServer({**place.variables, "DODAS_LIMITS_CLUSTERS": "1", "DODAS_LIMITS_WORKERS": "1"})
    try:
        server.launch("there")
        yield server
        for cluster in reversed(server.client.get("clusters").json()["clusters"]):  # those that wait go first
            server.client.delete(f"clusters/{cluster['name']}")
        blocking_until(lambda: server.client.get("clusters").json()["clusters"], within=60, meets=lambda left: not left)
    finally:
        server.close()
        place.close()


schema = schemathesis.openapi.from_dict(json.loads(document("/dodas/api/v1")))


# Jupyter answers 403 where others answer 401; and a request can be well-formed and still ask for what is not there, as a folder.
NOT_OURS = [missing_required_header, positive_data_acceptance]


@schema.parametrize()
@settings(max_examples=30, derandomize=True)
def test_it_does_as_its_document_says(case: schemathesis.Case[Any], fuzzed: JupyterServer) -> None:
    excluded = list(NOT_OURS)
    if case.path in {"/usage", "/receipts"}:
        case.query.pop("follow", None)  # does not end
        excluded.append(negative_data_rejection)  # browsers add arguments of their own, which are nobody's fault
    case.call_and_validate(base_url=fuzzed.api, headers=fuzzed.headers, excluded_checks=excluded)


@schema.include(path_regex="name").exclude(method="DELETE").parametrize()
@settings(max_examples=30, derandomize=True)
def test_it_does_so_with_a_cluster_that_is_there(case: schemathesis.Case[Any], fuzzed: JupyterServer) -> None:
    case.path_parameters["name"] = "there"
    case.query.pop("follow", None)  # does not end
    case.call_and_validate(base_url=fuzzed.api, headers=fuzzed.headers, excluded_checks=[*NOT_OURS, negative_data_rejection])
