"""The document says what the routes do."""

import json
import re
from typing import Any

import pytest

from jupyter_dodas.server.clusters import Clusters
from jupyter_dodas.server.handlers import API, ClosedProxyHandler, NowhereHandler, routes
from jupyter_dodas.server.infrastructures import Desk
from jupyter_dodas.server.openapi import OPERATIONS, document
from jupyter_dodas.server.proxy import DashboardHandler
from jupyter_dodas.statuses import STATUS

VERBS = ("get", "post", "patch", "put", "delete")


def test_every_method_of_every_route_is_in_it() -> None:
    served = set()
    for pattern, handler, _ in routes(Clusters(), Desk(), open_proxy=True):
        if handler in (DashboardHandler, NowhereHandler):
            continue
        path = pattern.removeprefix(API).replace("([^/]+)", "{name}").replace("\\", "")
        served |= {(path, verb) for verb in VERBS if getattr(handler, verb).__qualname__.startswith(handler.__name__)}
    assert served == {(operation.path, operation.method) for operation in OPERATIONS}


def test_every_handler_asks_who_and_whether() -> None:
    for _, handler, _ in routes(Clusters(), Desk(), open_proxy=False):
        if handler in (NowhereHandler, ClosedProxyHandler):
            continue  # they refuse everybody
        for verb in (*VERBS, "head"):
            method = vars(handler).get(verb)
            if method is not None:
                assert method.__wrapped__.__wrapped__, f"{handler.__name__}.{verb} is not both authenticated and authorized"


def test_references_lead_somewhere() -> None:
    text = document("/x").decode()
    made: dict[str, Any] = json.loads(text)
    for reference in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text):
        assert reference in made["components"]["schemas"]
    assert "$defs" not in re.sub(r'"[^"]*(?:title|description)": "[^"]*"', "", text)


def test_operations_have_names_of_their_own() -> None:
    made = json.loads(document("/x"))
    names = [operation["operationId"] for path in made["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")
def test_refusals_are_statuses_that_there_are(operation: Any) -> None:
    known = {int(status) for status in STATUS.values()} | {413}
    assert set(operation.errors) <= known
