"""The Open Inference Protocol, version 2, over HTTP: health, metadata, inference, with the extension for binary tensors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jupyter_dodas.errors import BadInput
from jupyter_dodas.inference.execution.frames import Buffer
from jupyter_dodas.inference.http import exchange as exchanges
from jupyter_dodas.inference.http.access import Right, require
from jupyter_dodas.inference.http.dialects.tensors import DATATYPES, Given, take
from jupyter_dodas.inference.http.exchange import Exchange
from jupyter_dodas.inference.http.intake import numbers
from jupyter_dodas.inference.http.replies import JSON, Reply, plain
from jupyter_dodas.inference.records import Manifest, Tensor

if TYPE_CHECKING:
    from jupyter_dodas.inference.server import Server

__all__ = ["LIVE", "READY", "V2"]

LIVE: Final = "/v2/health/live"
READY: Final = "/v2/health/ready"

_LENGTH: Final = b"inference-header-content-length"
_MODELS: Final = "/v2/models/"
_INFER: Final = "/infer"


class _Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[Given]
    id: str | msgspec.UnsetType = msgspec.UNSET
    outputs: list[_Wanted] = []
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Response(msgspec.Struct):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str | msgspec.UnsetType = msgspec.UNSET


_DECODE: Final = msgspec.json.Decoder(_Request).decode
_ENCODE: Final = msgspec.json.Encoder().encode


class V2:
    """The protocol, for one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server

    def target(self, path: str) -> tuple[str, str | None] | None:
        """Return model and version if this is the path of an inference."""
        if not (path.startswith(_MODELS) and path.endswith(_INFER)):
            return None
        names = path[len(_MODELS) : -len(_INFER)].split("/")
        if len(names) == 1 and names[0]:
            return names[0], None
        return (names[0], names[2]) if len(names) == 3 and names[1] == "versions" and names[0] and names[2] else None

    async def infer(self, exchange: Exchange, model: str, version: str | None) -> Reply:
        """Predict."""
        server = self._server
        require(exchange.caller, Right.PREDICT)
        server.plane.resolve(model, version, exchange.caller)  # whoever cannot have it need not send all of a body
        body = await exchange.body(server.settings.body_cap, server.settings.timeout)
        # Versions may have changed while it came in.
        live = server.plane.resolve(model, version, exchange.caller)
        manifest = live.manifest
        exchange.model, exchange.version = manifest.model, manifest.version
        asked, binary = _read(body, exchange.headers.get(_LENGTH))
        wanted = _wanted(asked, manifest)
        signature = manifest.signature
        rows, parts, shapes = take(signature, asked.inputs, binary)
        if rows == 1 and live.simple:
            part = await server.plane.submit(live, bytes(parts[0]))
            given: Sequence[Buffer] = [part]
            outputs = [(1, *(length or 1 for length in signature.outputs[0].shape[1:]))]
        else:
            how = None if signature.rowwise else shapes
            outcome = await server.plane.infer(live, rows, parts, how, timeout=server.settings.timeout)
            given, outputs = outcome.parts, list(outcome.shapes)
        return _written(asked, manifest, wanted, given, outputs)

    def routes(self) -> list[Route]:
        """Return the routes beside inference."""
        return [
            Route("/v2", self._about),
            Route(LIVE, self._live),
            Route(READY, self._ready),
            Route("/v2/models", self._models),
            Route("/v2/models/{model}", self._model),
            Route("/v2/models/{model}/ready", self._model_ready),
            Route("/v2/models/{model}/versions/{version}", self._model),
            Route("/v2/models/{model}/versions/{version}/ready", self._model_ready),
        ]

    async def _about(self, request: Request) -> Response:
        return _json({"name": "dodas-tfaas", "version": self._server.version, "extensions": ["binary_tensor_data"]})

    async def _live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Response:
        ready = self._server.ready
        return _json({"ready": ready}, 200 if ready else 503)

    async def _models(self, request: Request) -> Response:
        caller = exchanges.of(request.scope).caller
        require(caller, Right.PREDICT)
        found = []
        for state, manifests in self._server.catalogue(caller):
            versions = [one.version for one in manifests]
            found.append({"name": state.model, "versions": versions, "published": state.published})
        return _json({"models": found})

    async def _model(self, request: Request) -> Response:
        manifest = self._resolved(request)
        caller = exchanges.of(request.scope).caller
        versions = [one.version for state, these in self._server.catalogue(caller, manifest.model) for one in these]
        return _json(
            {
                "name": manifest.model,
                "versions": versions,
                "version": manifest.version,
                "platform": f"dodas_{manifest.engine}",
                "inputs": [_described(tensor) for tensor in manifest.signature.inputs],
                "outputs": [_described(tensor) for tensor in manifest.signature.outputs],
            }
        )

    async def _model_ready(self, request: Request) -> Response:
        manifest = self._resolved(request)
        return _json({"name": manifest.model, "ready": True})

    def _resolved(self, request: Request) -> Manifest:
        exchange = exchanges.of(request.scope)
        require(exchange.caller, Right.PREDICT)
        names: Mapping[str, str] = request.path_params
        manifest = self._server.plane.resolve(names["model"], names.get("version"), exchange.caller).manifest
        exchange.model, exchange.version = manifest.model, manifest.version
        return manifest


def _read(body: bytes | bytearray, length: bytes | None) -> tuple[_Request, memoryview]:
    """Return the JSON of a request, and what stands behind it."""
    whole = memoryview(body)
    end = len(whole) if length is None else int(length) if length.isdigit() and len(length) < 20 else -1
    if not 0 <= end <= len(whole):
        raise BadInput(
            "Inference-Header-Content-Length is not the length of the JSON",
            cause=f"It says {str(length)[:40]}, and the body has {len(whole)} bytes.",
            remedy="Send the number of bytes of the JSON, or leave the header out if there is nothing behind.",
        )
    try:
        return _DECODE(whole[:end]), whole[end:]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(
            "The request is not one of the Open Inference Protocol",
            cause=f"{error}."[:300],
            remedy='Send {"inputs": [{"name": ..., "shape": [...], "datatype": "FP32", "data": [...]}]}.',
        ) from None


def _wanted(asked: _Request, manifest: Manifest) -> list[tuple[int, bool]]:
    """Return which outputs are to be sent, and whether as bytes."""
    by_default = asked.parameters.get("binary_data_output") is True
    outputs = {tensor.name: place for place, tensor in enumerate(manifest.signature.outputs)}
    if not asked.outputs:
        return [(place, by_default) for place in outputs.values()]
    for one in asked.outputs:
        if one.name not in outputs:
            raise BadInput(
                f"{manifest.model!r} has no output {one.name[:80]!r}",
                remedy=f"It has {', '.join(outputs)}; without `outputs`, all of them are sent.",
            )
    return [(outputs[one.name], one.parameters.get("binary_data", by_default) is True) for one in asked.outputs]


def _written(
    asked: _Request,
    manifest: Manifest,
    wanted: Sequence[tuple[int, bool]],
    parts: Sequence[Buffer],
    shapes: Sequence[tuple[int, ...]],
) -> Reply:
    outputs, behind = [], []
    for place, as_bytes in wanted:
        tensor, part = manifest.signature.outputs[place], parts[place]
        output = _Output(tensor.name, DATATYPES[tensor.dtype], shapes[place])
        if as_bytes:
            output.parameters = {"binary_data_size": len(part)}
            behind.append(part)
        else:
            output.data = msgspec.Raw(numbers(part, np.dtype(tensor.dtype)))
        outputs.append(output)
    text = _ENCODE(_Response(manifest.model, manifest.version, outputs, asked.id))
    if not behind:
        return plain(200, text)
    return plain(200, b"".join((text, *behind)), b"application/octet-stream", (_LENGTH, b"%d" % len(text)))


def _described(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "datatype": DATATYPES[tensor.dtype],
        "shape": [-1 if length is None else length for length in tensor.shape],
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type=JSON.decode())
