"""The OpenAPI document, made from the models of requests and replies."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import jupyter_dodas
from jupyter_dodas import aio, registry, views
from jupyter_dodas.provision.base import Plan
from jupyter_dodas.provision.views import Change, InfrastructureView, Wanted
from jupyter_dodas.server.infrastructures import CloudList, InfrastructureList, InfrastructureQuery, TemplateList
from jupyter_dodas.server.replies import ErrorReply

__all__ = ["OPERATIONS", "Operation", "document"]


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked.

    Parameters
    ----------
    replies
        The body by status; None where there is none.
    errors
        The statuses with which it may be refused.
    """

    path: str
    method: Literal["get", "post", "patch", "delete"]
    summary: str
    replies: Mapping[int, type[BaseModel] | None]
    errors: Sequence[int] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    matches: bool = False
    """Whether it heeds If-Match."""
    text: bool = False
    """Whether it replies with text instead of JSON."""


_EVERY: Final = (403, 500, 503)
_SERVICE: Final = (422,)
"""What a service may say that knows its users by another token."""

OPERATIONS: Final = (
    Operation("/kinds", "get", "What can be launched", {200: views.KindList}),
    Operation("/clusters", "get", "All clusters", {200: views.ClusterList}),
    Operation(
        *("/clusters", "post", "Launch a cluster; events tell how it fares", {202: views.ClusterView}),
        errors=(400, 409, 413, 422, 501, 507),
        body=views.ClusterRequest,
    ),
    Operation("/clusters/{name}", "get", "One cluster", {200: views.ClusterView}, errors=(400, 404, 409)),
    Operation(
        *("/clusters/{name}", "patch", "Change what is asked of a cluster", {200: views.ClusterView}),
        errors=(400, 404, 409, 412, 413, 422, 507),
        body=views.ClusterPatch,
        matches=True,
    ),
    Operation(
        *("/clusters/{name}", "delete", "Stop a cluster, or dismiss a failed one", {202: views.ClusterView, 204: None}),
        errors=(400, 404, 409, 412, 507),
        matches=True,
    ),
    Operation(
        *("/clusters/{name}/logs", "get", "What its instances wrote", {200: views.LogsView}),
        errors=(400, 404, 409),
        query=views.LogsQuery,
    ),
    Operation("/quota", "get", "What may be held and what is", {200: views.QuotaView}),
    Operation("/usage", "get", "What is used of what is held", {200: views.UsageView}, errors=(400,), query=views.UsageQuery),
    Operation("/receipts", "get", "What clusters took that have ended", {200: views.ReceiptList}, query=views.ReceiptsQuery),
    Operation("/infrastructures", "get", "All infrastructures", {200: InfrastructureList}, errors=_SERVICE),
    Operation(
        *("/infrastructures", "post", "Begin to create an infrastructure", {202: InfrastructureView}),
        errors=(400, 404, 409, 413, *_SERVICE),
        body=Wanted,
    ),
    Operation(
        *("/infrastructures/{name}", "get", "One infrastructure", {200: InfrastructureView}),
        errors=(400, 404, *_SERVICE),
        query=InfrastructureQuery,
    ),
    Operation(
        *("/infrastructures/{name}", "patch", "Begin to change an infrastructure", {202: InfrastructureView}),
        errors=(400, 404, 409, 413, *_SERVICE),
        body=Change,
    ),
    Operation(
        *("/infrastructures/{name}", "delete", "Begin to delete an infrastructure", {202: InfrastructureView}),
        errors=(404, *_SERVICE),
    ),
    Operation(
        *("/infrastructures/{name}/log", "get", "What was said while an infrastructure was made", {200: None}),
        errors=(404, *_SERVICE),
        text=True,
    ),
    Operation(
        *("/infrastructures/{name}/kubeconfig", "get", "The secret with which its Kubernetes cluster is reached", {200: None}),
        errors=(404, 409, *_SERVICE),
        text=True,
    ),
    Operation(
        *("/plans", "post", "What would be created", {200: Plan}),
        errors=(400, 404, 413, *_SERVICE),
        body=Wanted,
    ),
    Operation("/templates", "get", "What infrastructures can be made of", {200: TemplateList}, errors=(404, *_SERVICE)),
    Operation("/clouds", "get", "What there are credentials for", {200: CloudList}, errors=(404, *_SERVICE)),
    Operation("/openapi.json", "get", "This document", {200: None}),
)
"""All of them but the dashboards, which are no data; docs/reference/rest.md tells of these."""

_LINES: Final[Mapping[type[BaseModel] | None, str]] = {views.LogsQuery: "LogLine", views.UsageQuery: "UsageView"}
"""What replies that go on are made of."""

_MODELS: Final[Sequence[tuple[type[BaseModel], Literal["validation", "serialization"]]]] = (
    (views.ClusterRequest, "validation"),
    (views.ClusterPatch, "validation"),
    (views.KindList, "serialization"),
    (views.ClusterView, "serialization"),
    (views.ClusterList, "serialization"),
    (views.LogsView, "serialization"),
    (views.LogLine, "serialization"),
    (views.QuotaView, "serialization"),
    (views.UsageView, "serialization"),
    (views.ReceiptList, "serialization"),
    (Wanted, "validation"),
    (Change, "validation"),
    (InfrastructureList, "serialization"),
    (InfrastructureView, "serialization"),
    (Plan, "serialization"),
    (TemplateList, "serialization"),
    (CloudList, "serialization"),
    (ErrorReply, "serialization"),
)


@cache
def document(server: str) -> bytes:
    """Return the document, written out.

    Parameters
    ----------
    server
        The path of the API.
    """
    refs, definitions = models_json_schema(_MODELS, ref_template="#/components/schemas/{model}")
    schemas = definitions["$defs"]
    bodies = {model: refs[model, mode] for model, mode in _MODELS}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, bodies)
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyter-dodas",
            "version": jupyter_dodas.__version__,
            "description": "Clusters on demand. Hints to read again come over the event bus of Jupyter Server.",
        },
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **_requests(schemas)},
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token` and the token of Jupyter Server; browsers use its cookies instead.",
                }
            },
        },
    }
    return json.dumps(made).encode()


def _operation(operation: Operation, bodies: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{operation.method}{operation.path.title()}".translate({ord(c): None for c in "/{}._-"}),
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {
            **{str(status): _reply(operation, model, bodies) for status, model in operation.replies.items()},
            **{str(status): _refusal(bodies) for status in (*operation.errors, *_EVERY)},
        },
    }
    if operation.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": bodies[operation.body]}}}
    return made


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if "{name}" in operation.path:
        schema = views.ClusterView.model_json_schema(mode="serialization")["$defs"]["ClusterSpec"]["properties"]["name"]
        made.append({"name": "name", "in": "path", "required": True, "schema": schema})
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            made.append({"name": name, "in": "query", "description": schema.pop("description", ""), "schema": _given(schema)})
    if operation.matches:
        said = "The ETag of the cluster that the change was made on; without it, the change is made on whatever stands there."
        made.append({"name": "If-Match", "in": "header", "description": said, "schema": {"type": "string"}})
    return made


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """What a query can say: it may leave an argument out, and cannot say null."""
    kinds = [kind for kind in schema.pop("anyOf", []) if kind.get("type") != "null"]
    schema.pop("default", None) if kinds else None
    return {**schema, **(kinds[0] if kinds else {})}


def _reply(operation: Operation, model: type[BaseModel] | None, bodies: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    if operation.text:
        return {"description": operation.summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    if model is None:
        return {"description": operation.summary} | (
            {"content": {"application/json": {"schema": {"type": "object"}}}} if operation.method == "get" else {}
        )
    content = {"application/json": {"schema": bodies[model]}}
    if said := _LINES.get(operation.query):
        content["application/x-ndjson"] = {"schema": {"type": "string", "description": f"With `follow`: a {said} a line."}}
    made: dict[str, Any] = {"description": operation.summary, "content": content}
    if model is views.ClusterView:
        made["headers"] = {"ETag": {"description": "The tag of the cluster.", "schema": {"type": "string"}}}
    return made


def _refusal(bodies: Mapping[type[BaseModel], Any]) -> dict[str, Any]:
    return {"description": "Why not, and what to do", "content": {"application/json": {"schema": bodies[ErrorReply]}}}


def _requests(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Say which options each kind takes: one request for each, instead of an object of anything."""
    common = schemas["ClusterRequest"]
    made: dict[str, Any] = {}
    for kind in aio.kinds():
        options = registry.service(kind).Options.model_json_schema(ref_template=f"#/components/schemas/{kind}.{{model}}")
        made |= {f"{kind}.{name}": schema for name, schema in options.pop("$defs", {}).items()}
        made[f"{kind}.Options"] = options
        properties = {
            **common["properties"],
            "kind": {"const": kind, "title": registry.service(kind).title},
            "options": {"$ref": f"#/components/schemas/{kind}.Options"},
        }
        made[f"{kind}.Request"] = {**common, "properties": properties}
    if made:
        made["ClusterRequest"] = {
            "oneOf": [{"$ref": f"#/components/schemas/{kind}.Request"} for kind in aio.kinds()],
            "description": common["description"],
        }
    return made
