"""The OpenAPI document of all protocols, made from one table of what can be asked and from the structs that go over the wire."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import msgspec

import jupyter_dodas
from jupyter_dodas.inference.http import views

__all__ = ["OPERATIONS", "Operation", "document"]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
BYTES: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"


class Row(msgspec.Struct, frozen=True):
    """One row, in the protocol of TFaaS.

    Parameters
    ----------
    values
        The numbers.
    keys
        Names of the features, in the order of `values`; if they are there, they must be those of the model, in any order.
    model
        Its name; by default the one that was set by ``/params``.
    """

    values: list[float]
    keys: list[str] = []
    model: str = ""


class InferInput(msgspec.Struct, frozen=True):
    """A tensor that goes in: flat or nested in `data`, or as bytes behind the JSON."""

    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    datatype: str
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class InferWanted(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True):
    """Rows, in the Open Inference Protocol."""

    inputs: list[InferInput]
    id: str = ""
    outputs: list[InferWanted] = []
    parameters: dict[str, Any] = {}


class InferOutput(msgspec.Struct, frozen=True):
    """A tensor that comes out."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class InferReply(msgspec.Struct, frozen=True):
    """Predictions, in the Open Inference Protocol."""

    model_name: str
    model_version: str
    outputs: list[InferOutput]
    id: str = ""


class TensorMetadata(msgspec.Struct, frozen=True):
    """A tensor of a signature; -1 stands where the length is free."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a model takes and gives, in the Open Inference Protocol."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ErrorText(msgspec.Struct, frozen=True):
    """The body of every reply that is no success, in the protocols of TFaaS and V2: what happened, why and what to do."""

    error: str


Schema = Mapping[str, Any]
Content = Mapping[str, Any]
"""Schemas or types, by media type."""

_ANY: Final[Schema] = {"type": "object"}
_BINARY: Final[Schema] = {"type": "string", "format": "binary"}
_NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}
_VERSION: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{12}$"}
_FILE: Final[Schema] = {"type": "string", "minLength": 1}

_PICTURE: Final[Schema] = {
    "type": "object",
    "required": ["image", "model"],
    "properties": {"image": {**_BINARY, "description": "PNG or JPEG."}, "model": _NAME},
}
_MODEL_FORM: Final[Schema] = {
    "type": "object",
    "required": ["name", "model"],
    "properties": {
        "name": _NAME,
        "model": {**_BINARY, "description": "The model, in base64 if Content-Encoding says so."},
        "params": {**_BINARY, "description": "`params.json`."},
        "labels": {**_BINARY, "description": "A class a line."},
        "op": _BINARY,
    },
}
_PROBABILITIES: Final[Schema] = {
    "type": "object",
    "properties": {
        "filename": {"type": "string"},
        "labels": {
            "type": "array",
            "items": {"type": "object", "properties": {"label": {"type": "string"}, "probability": {"type": "number"}}},
        },
    },
}
_UPLOAD_LINES: Final[Schema] = {
    "type": "string",
    "description": "A `Step` a line, the last line `Done` or `Failed`. Closing the connection cancels, and nothing stays.",
}
_ARCHIVE: Final[Schema] = {
    **_BINARY,
    "description": "A tar of `model/` (a SavedModel, `model.keras`, `model.onnx`, `model.tflite` or a frozen `.pb`), "
    "`upload.json` (an `UploadNote`) and, if there are any, `examples.npz`: rows by the names of inputs.",
}


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked.

    Parameters
    ----------
    replies
        Of a success, by its status; nothing where there is no body.
    errors
        With which else it may be refused.
    public
        Whether it needs no token.
    """

    path: str
    method: Literal["get", "post", "put", "delete"]
    summary: str
    replies: Mapping[int, Content]
    errors: Sequence[int] = ()
    body: Content | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    public: bool = False

    @property
    def tag(self) -> str:
        """Of which protocol it is."""
        return next(
            name for begin, name in (("/dodas/", "management"), ("/v2", "v2"), ("/", "tfaas")) if self.path.startswith(begin)
        )


_BODY: Final = (400, 408, 413, 415)
_RUN: Final = (404, 504)
_WRITE: Final = (404, 507)
_EVERY: Final = (401, 403, 429, 500, 503)


def _tfaas() -> Iterator[Operation]:
    row, numbers = {JSON: Row}, {JSON: list[float]}
    for path in ("/json", "/predict/json"):
        yield Operation(path, "post", "Predict one row", {200: numbers}, (*_BODY, *_RUN), row)
    for path in ("/proto", "/predict/proto"):
        yield Operation(path, "post", "Predict one row, in protobuf", {200: {BYTES: _BINARY}}, (*_BODY, *_RUN), {BYTES: _BINARY})
    for path in ("/image", "/predict/image"):
        reply: Schema = {"anyOf": [{"type": "array", "items": {"type": "number"}}, _PROBABILITIES]}
        yield Operation(path, "post", "Classify a picture", {200: {JSON: reply}}, (*_BODY, *_RUN), {FORM: _PICTURE})
    for path in ("/upload", "/bundle"):
        body = {FORM: _MODEL_FORM, "application/x-tar": _BINARY, "application/gzip": _BINARY}
        yield Operation(path, "post", "Upload a model and publish it at once", {200: {}}, (*_BODY, 504, 507), body)
    yield Operation(
        "/models", "get", "The parameters of all published models", {200: {JSON: {"type": ["array", "null"], "items": _ANY}}}
    )
    yield Operation("/params/{model}", "get", "The parameters of a model", {200: {JSON: _ANY}}, (404,))
    yield Operation("/params", "post", "Set the default model", {200: {}}, (*_BODY, 404), {JSON: _ANY})
    file = {200: {BYTES: _BINARY}}
    yield Operation("/data", "get", "A file of a published model's own folder", file, (400, 404), query={"model": _FILE})
    yield Operation("/status", "get", "How busy the machine is", {200: {JSON: _ANY}})
    yield Operation("/delete/{model}", "delete", "Delete a model", {200: {}}, (400, 404, 507))
    form = {FORM: {"type": "object", "required": ["model"], "properties": {"model": _NAME}}}
    yield Operation("/delete", "delete", "Delete a model", {200: {}}, (*_BODY, 404, 507), form)
    yield Operation("/", "get", "The page", {200: {"text/html": {"type": "string"}}}, public=True)
    yield Operation("/openapi.json", "get", "This document", {200: {JSON: _ANY}}, public=True)
    yield Operation("/metrics", "get", "Counts, for Prometheus", {200: {TEXT: {"type": "string"}}})


def _v2() -> Iterator[Operation]:
    yield Operation("/v2", "get", "The server", {200: {JSON: _ANY}}, public=True)
    yield Operation("/v2/health/live", "get", "Whether it lives", {200: {JSON: _ANY}}, public=True)
    yield Operation("/v2/health/ready", "get", "Whether it answers", {200: {JSON: _ANY}}, public=True)
    yield Operation("/v2/models", "get", "The models", {200: {JSON: _ANY}})
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        yield Operation(path, "get", "What it takes and gives", {200: {JSON: ModelMetadata}}, (404,))
        yield Operation(f"{path}/ready", "get", "Whether it answers", {200: {JSON: _ANY}}, (404,))
        replies = {200: {JSON: InferReply, BYTES: _BINARY}}
        yield Operation(f"{path}/infer", "post", "Predict rows", replies, (*_BODY, *_RUN), {JSON: InferRequest})


def _management() -> Iterator[Operation]:
    one, version = "/dodas/v1/models/{model}", "/dodas/v1/models/{model}/versions/{version}"
    yield Operation("/dodas/v1/status", "get", "The server, and who asks", {200: {JSON: views.StatusView}})
    yield Operation("/dodas/v1/models", "get", "All models", {200: {JSON: views.ModelList}})
    yield Operation(one, "get", "One model", {200: {JSON: views.ModelView}}, (400, 404))
    yield Operation(one, "delete", "Delete a model, once it has answered everybody", {204: {}}, (400, 404, 507))
    yield Operation(
        *(f"{one}/versions", "post", "Upload a version, which is staged", {200: {"application/x-ndjson": _UPLOAD_LINES}}),
        errors=(*_BODY, 504, 507),
        body={"application/x-tar": _ARCHIVE, "application/gzip": _ARCHIVE},
    )
    yield Operation(version, "get", "One version", {200: {JSON: views.VersionView}}, (400, 404))
    yield Operation(version, "delete", "Delete a version, once it has answered everybody", {204: {}}, (400, 404, 507))
    yield Operation(
        f"{one}/publish",
        "post",
        "Let a version answer",
        {200: {JSON: views.ModelView}},
        (*_BODY, *_WRITE),
        {JSON: views.Publication},
    )
    yield Operation(
        f"{one}/rollback", "post", "Let the version before answer again", {200: {JSON: views.ModelView}}, (400, *_WRITE)
    )
    yield Operation(
        *(f"{version}/benchmark", "put", "Record what was measured", {200: {JSON: views.VersionView}}),
        errors=(*_BODY, *_WRITE),
        body={JSON: list[views.BenchmarkRow]},
    )


OPERATIONS: Final = (*_tfaas(), *_v2(), *_management())

_ALSO: Final = (views.ErrorReply, ErrorText, views.UploadNote, views.Step, views.Done, views.Failed)
"""Structs that are told of, whether or not an operation has them as its body."""


@cache
def document() -> bytes:
    """Return the document, written out."""
    types = [kind for operation in OPERATIONS for kind in _types(operation)]
    kinds = [*dict.fromkeys(types), *_ALSO]
    found, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    refs = dict(zip(map(repr, kinds), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, refs)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "dodas-tfaas",
                "version": jupyter_dodas.__version__,
                "description": "Inference in the protocols of TFaaS and V2, and the management of models.",
            },
            "servers": [{"url": "./"}],
            "security": [{"token": []}],
            "tags": [
                {"name": "tfaas", "description": "The protocol of TFaaS."},
                {"name": "v2", "description": "The Open Inference Protocol, version 2, with its binary tensors."},
                {"name": "management", "description": "Versions: staged, published, rolled back, deleted."},
            ],
            "paths": paths,
            "components": {
                "schemas": {name: _documented(schema) for name, schema in schemas.items()},
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "A token of its IAM, or its own. Callers without one may be let in to predict.",
                    }
                },
            },
        }
    )


def _types(operation: Operation) -> Iterator[Any]:
    for content in (operation.body or {}, *operation.replies.values()):
        yield from (kind for kind in content.values() if not isinstance(kind, Mapping))


def _operation(operation: Operation, refs: Mapping[str, Any]) -> dict[str, Any]:
    def content(kinds: Content) -> dict[str, Any]:
        return {media: {"schema": kind if isinstance(kind, Mapping) else refs[repr(kind)]} for media, kind in kinds.items()}

    refusal = views.ErrorReply if operation.tag == "management" else ErrorText
    errors = operation.errors if operation.public else (*operation.errors, *_EVERY)
    made: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{operation.method}{operation.path}").strip("_"),
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [_parameter(name) for name in re.findall(r"{(\w+)}", operation.path)]
        + [{"name": name, "in": "query", "required": True, "schema": schema} for name, schema in operation.query.items()],
        "responses": {
            **{
                str(status): {"description": operation.summary} | ({"content": content(kinds)} if kinds else {})
                for status, kinds in operation.replies.items()
            },
            **{str(status): _refusal(status, content({JSON: refusal})) for status in sorted({*errors})},
        },
    }
    if operation.public:
        made["security"] = []
    if operation.body is not None:
        made["requestBody"] = {"required": True, "content": content(operation.body)}
    return made


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _NAME if name == "model" else _VERSION}


def _refusal(status: int, content: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": content}
    if status in {429, 503}:
        made["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status == HTTPStatus.UNAUTHORIZED:
        made["headers"] = {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}}
    return made


def _documented(schema: dict[str, Any]) -> dict[str, Any]:
    """Give properties the words that the docstring of their struct has for them."""
    said, _, parameters = schema.get("description", "").partition("Parameters\n")
    about = re.findall(r"^ +(\w+)\n((?: {8,}.+\n?)+)", parameters, flags=re.MULTILINE)
    words = {name: " ".join(text.split()) for name, text in about}
    properties = {
        name: one | ({"description": words[name]} if name in words and "$ref" not in one else {})
        for name, one in schema.get("properties", {}).items()
    }
    return {**schema, "description": " ".join(said.split())} | ({"properties": properties} if properties else {})
