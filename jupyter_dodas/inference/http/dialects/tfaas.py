"""TFaaS's own protocol: rows as JSON, Protocol Buffers and pictures, models as forms and archives, at the paths of its clients.

Where its server and its documents differ, both work: ``name`` for ``model``, ``/bundle`` for ``/upload``, fields in any case. Where
its server fails, as with names of features in another order, ours does what was meant.
"""

import asyncio
import logging
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from jupyter_dodas.errors import BadInput, ModelNotFound
from jupyter_dodas.inference.execution.frames import Buffer
from jupyter_dodas.inference.http import exchange as exchanges
from jupyter_dodas.inference.http.access import Right, require
from jupyter_dodas.inference.http.exchange import Exchange
from jupyter_dodas.inference.http.forms import Part, boundary, read_whole
from jupyter_dodas.inference.http.images import decode
from jupyter_dodas.inference.http.intake import Intake, numbers
from jupyter_dodas.inference.http.protobuf import read_row, write_predictions
from jupyter_dodas.inference.http.replies import Reply, json_reply, plain
from jupyter_dodas.inference.records import Manifest

if TYPE_CHECKING:
    from jupyter_dodas.inference.execution.live import Live
    from jupyter_dodas.inference.http.lane import Slot
    from jupyter_dodas.inference.server import Server

__all__ = ["Tfaas"]

logger = logging.getLogger(__name__)

_PROTOBUF: Final = b"application/x-protobuf"
_TOP: Final = 5
_DEFAULT: Final = "default-model"

Handler = Callable[[Request], Awaitable[Response]]


class _Row(msgspec.Struct):
    values: list[float] | msgspec.UnsetType = msgspec.UNSET
    model: str | msgspec.UnsetType = msgspec.UNSET
    # Of many names only a few orders ever come, so they are looked up as they stand, without being read.
    keys: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ROW: Final = msgspec.json.Decoder(_Row).decode
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_KEYLESS: Final = msgspec.Raw(b"")


class Tfaas:
    """The protocol, for one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        base = server.settings.base
        self.hot: Final = {
            f"{base}{prefix}/{what}": answer
            for what, answer in (("json", self._json), ("proto", self._proto), ("image", self._image))
            for prefix in ("", "/predict")
        }
        """What answers predictions, by path."""
        self.rows: Final = [path for path, answer in self.hot.items() if answer == self._json]
        """The paths of rows as JSON."""

    def routes(self) -> list[Route]:
        """Return the routes beside predictions."""
        base = self._server.settings.base
        return [
            Route(f"{base}/models", self._models),
            Route(f"{base}/params/{{model}}", self._params),
            Route(f"{base}/params", self._set_default, methods=["POST"]),
            Route(f"{base}/data", self._data),
            Route(f"{base}/status", self._status),
            Route(f"{base}/delete/{{model}}", self._delete, methods=["DELETE"]),
            Route(f"{base}/delete", self._delete, methods=["DELETE"]),
        ]

    # Predictions.

    def express(self, slot: "Slot") -> None:
        """Begin to answer a row as JSON; see `jupyter_dodas.inference.http.lane`."""
        server = self._server
        live, intake, values = self._understood(slot, slot.body)
        if intake.plain:
            slot.finish = intake.finish
            server.plane.hand(live, intake.row(values), slot)
        else:
            task = asyncio.ensure_future(self._slowly(slot, live, values))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _slowly(self, slot: "Slot", live: "Live", values: Sequence[float]) -> None:
        try:
            slot.finish = bytes
            slot.set_result(_flat(live.manifest, await self._infer(live, values)) + b"\n")
        except Exception as error:  # noqa: BLE001 - the caller gets a sentence, whatever happened
            slot.set_exception(error)

    async def _json(self, exchange: Exchange) -> Reply:
        settings = self._server.settings
        body = await exchange.body(settings.body_cap, settings.timeout)
        live, intake, values = self._understood(exchange, body)
        if intake.plain:
            return plain(200, intake.finish(await self._server.plane.submit(live, intake.row(values))))
        return plain(200, _flat(live.manifest, await self._infer(live, values)) + b"\n")

    def _understood(self, asked: "Exchange | Slot", body: bytes | bytearray) -> "tuple[Live, Intake, Sequence[float]]":
        """Return which model is meant, and the values in the order in which it takes them."""
        row = _read(body)
        live = self._resolve(asked, row.model or "")
        intake = self._server.intake(live.manifest)
        values = row.values or []
        keys = row.keys
        if keys is not msgspec.UNSET and (order := intake.order(bytes(keys))) is not None:
            values = _ordered(values, order)
        return live, intake, values

    async def _proto(self, exchange: Exchange) -> Reply:
        settings = self._server.settings
        row = read_row(bytes(await exchange.body(settings.body_cap, settings.timeout)))
        live = self._resolve(exchange, row.model)
        intake = self._server.intake(live.manifest)
        values: Sequence[float] = np.frombuffer(row.values, "<f4").tolist()
        if not all(map(math.isfinite, values)):
            raise BadInput("A number is not finite", cause=intake.describe(), remedy="Replace what is missing before it is sent.")
        if (order := intake.named(row.keys)) is not None:
            values = _ordered(values, order)
        given = await self._infer(live, values)
        return plain(200, write_predictions(_floats(live.manifest, given)), _PROTOBUF)

    async def _image(self, exchange: Exchange) -> Reply:
        settings = self._server.settings
        mark = boundary(exchange.headers.get(b"content-type"))
        form = read_whole(bytes(await exchange.body(settings.body_cap, settings.timeout)), mark)
        picture = form.get("image")
        if picture is None:
            raise BadInput("The form has no image", remedy="Send it as `curl -F 'image=@FILE' -F 'model=NAME'` does.")
        live = self._resolve(exchange, _text(form, "model", "name"))
        manifest = live.manifest
        inputs = manifest.signature.inputs
        if len(inputs) != 1:
            raise BadInput("This model takes no images", cause=f"It has {len(inputs)} inputs.", remedy="Send its values as JSON.")
        array = decode(picture.data, inputs[0], manifest.channels)
        parts: Sequence[Buffer]
        if live.simple:
            parts = [await self._server.plane.submit(live, array.tobytes())]
        else:
            shapes = None if live.rowwise else [array.shape]
            parts = (await self._server.plane.infer(live, 1, [array.data.cast("B")], shapes, timeout=settings.timeout)).parts
        chances = _floats(manifest, parts)
        if not manifest.labels or len(manifest.labels) != len(chances):
            return plain(200, _flat(manifest, parts) + b"\n")
        best = sorted(zip(chances, manifest.labels, strict=True), key=lambda one: one[0], reverse=True)[:_TOP]
        labels = [{"label": label, "probability": msgspec.Raw(_short(chance))} for chance, label in best]
        return json_reply({"filename": picture.filename or "", "labels": labels}, end=b"\n")

    async def _infer(self, live: "Live", values: Sequence[float]) -> Sequence[Buffer]:
        parts, shapes = self._server.intake(live.manifest).parts(values)
        given = None if live.manifest.signature.rowwise else shapes
        outcome = await self._server.plane.infer(live, 1, parts, given, timeout=self._server.settings.timeout)
        return outcome.parts

    def _resolve(self, exchange: "Exchange | Slot", name: str) -> "Live":
        """Return what is published of a model; without a name, of the one that was set, or of the only one."""
        require(exchange.caller, Right.PREDICT)
        live = self._server.plane.resolve(name or self._default(), None, exchange.caller)
        exchange.model, exchange.version = live.model, live.version
        return live

    def _default(self) -> str:
        published = [name for name, state in self._server.store.models().items() if state.published]
        try:
            chosen = (self._server.settings.folder / _DEFAULT).read_text("utf-8")
        except OSError:
            chosen = ""
        if chosen in published:
            return chosen
        if len(published) == 1:
            return published[0]
        raise BadInput(
            "The request names no model",
            cause=f"There are {len(published)}, and none is the default.",
            remedy=f'Send "model": "NAME"; there are: {", ".join(published)}.' if published else "Publish one.",
        )

    # The rest.

    async def _models(self, request: Request) -> Response:
        caller = exchanges.of(request.scope).caller
        require(caller, Right.PREDICT)
        published = []
        for state, manifests in self._server.catalogue(caller):
            published += [_params(one) for one in manifests if one.version == state.published]
        return _answer(published)

    async def _params(self, request: Request) -> Response:
        exchange = exchanges.of(request.scope)
        return _answer(_params(self._resolve(exchange, request.path_params["model"]).manifest))

    async def _set_default(self, request: Request) -> Response:
        exchange = exchanges.of(request.scope)
        require(exchange.caller, Right.PUBLISH)
        settings = self._server.settings
        given = _fields(await exchange.body(settings.body_cap, settings.timeout))
        name = _string(given.get("model") or given.get("name") or _KEYLESS)
        states = self._server.store.models()
        if name not in states or states[name].published is None:
            raise ModelNotFound(name, known=[one for one, state in states.items() if state.published])
        file = settings.folder / _DEFAULT
        new = file.with_suffix(".new")
        new.write_text(name, "utf-8")
        new.replace(file)
        return Response()

    async def _data(self, request: Request) -> Response:
        """Give a file of a published model's own folder: only what its manifest lists is a file, whatever the path says."""
        model, _, file = request.query_params.get("model", "").lstrip("/").partition("/")
        manifest = self._resolve(exchanges.of(request.scope), model).manifest
        name = next((name for name in (file, f"original/{file}", f"engine/{file}") if name in manifest.files), None)
        if name is None:
            files = ", ".join(sorted(manifest.files)[:20])
            missing = BadInput(f"{model!r} has no file {file[:200]!r}", remedy=f"It has: {files}.")
            return Response(
                json_reply({"error": f"{missing.message}. {missing.remedy}"}, end=b"\n").body, 404, media_type="application/json"
            )
        path = self._server.store.folder(manifest.model, manifest.version) / name
        headers = {"x-content-type-options": "nosniff"}
        return FileResponse(path, media_type="application/octet-stream", filename=path.name, headers=headers)

    async def _status(self, request: Request) -> Response:
        import psutil

        require(exchanges.of(request.scope).caller, Right.PREDICT)
        memory, swap, load = psutil.virtual_memory(), psutil.swap_memory(), os.getloadavg()
        metrics = self._server.metrics
        return _answer(
            {
                "CPU": psutil.cpu_percent(percpu=True),
                "Load": {"load1": load[0], "load5": load[1], "load15": load[2]},
                "Memory": {
                    "Virtual": {
                        "total": memory.total,
                        "available": memory.available,
                        "used": memory.used,
                        "usedPercent": memory.percent,
                    },
                    "Swap": {"total": swap.total, "free": swap.free, "used": swap.used, "usedPercent": swap.percent},
                },
                "NGo": psutil.Process().num_threads(),
                "Uptime": self._server.uptime,
                "getRequests": metrics.methods["GET"],
                "postRequests": metrics.methods["POST"],
            }
        )

    async def _delete(self, request: Request) -> Response:
        exchange = exchanges.of(request.scope)
        require(exchange.caller, Right.PUBLISH)
        name = request.path_params.get("model", "")
        if not name and b"content-type" in exchange.headers:
            settings = self._server.settings
            mark = boundary(exchange.headers[b"content-type"])
            name = _text(read_whole(bytes(await exchange.body(settings.body_cap, settings.timeout)), mark), "model", "name")
        if not name:
            raise BadInput(
                "It is not said which model to delete", remedy="Send DELETE /delete/NAME, or a form with the field model."
            )
        try:
            await self._server.plane.delete(name)
        except ModelNotFound:
            return Response()  # it is not there, which is what was wanted
        logger.info("%s deleted the model %s", exchange.caller.name, name)
        return Response()


def _read(body: bytes | bytearray) -> _Row:
    """Read a row, with its fields in any case."""
    try:
        row = _ROW(body)
        if row.values is msgspec.UNSET or row.model is msgspec.UNSET or row.keys is msgspec.UNSET:
            row = _read_any(row, _fields(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("The row cannot be read", cause=f"{error}."[:300], remedy=_REMEDY) from None
    if row.values is msgspec.UNSET:
        raise BadInput("The row has no values", remedy=_REMEDY)
    return row


_REMEDY: Final = 'Send {"model": "NAME", "keys": ["pt", ...], "values": [1.5, ...]}; the keys may be left out.'


def _read_any(row: _Row, fields: dict[str, msgspec.Raw]) -> _Row:
    values = row.values
    if values is msgspec.UNSET and "values" in fields:
        values = msgspec.json.decode(fields["values"], type=list[float])
    model = _string(fields.get("model") or fields.get("name") or _KEYLESS)
    return _Row(values, model, fields.get("keys", _KEYLESS))


def _fields(body: bytes | bytearray) -> dict[str, msgspec.Raw]:
    try:
        return {name.lower(): value for name, value in _FIELDS(body).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("The body is no JSON object", cause=f"{error}."[:300], remedy=_REMEDY) from None


def _string(raw: msgspec.Raw) -> str:
    return msgspec.json.decode(raw, type=str | None) or "" if bytes(raw) else ""


def _ordered(values: Sequence[float], order: Sequence[int]) -> list[float]:
    if len(values) != len(order):
        raise BadInput(f"There are {len(order)} keys, but {len(values)} values", remedy="Send as many of both.")
    return [values[place] for place in order]


def _text(form: "dict[str, Part] | Any", *names: str) -> str:
    found = next((form[name] for name in names if name in form), None)
    return found.text if found is not None else ""


def _flat(manifest: Manifest, parts: Sequence[Buffer]) -> bytes:
    """Write all outputs as one flat list."""
    outputs = manifest.signature.outputs
    lists = [numbers(part, np.dtype(tensor.dtype)) for tensor, part in zip(outputs, parts, strict=True)]
    return lists[0] if len(lists) == 1 else b"[" + b",".join(one[1:-1] for one in lists) + b"]"


def _floats(manifest: Manifest, parts: Iterable[Buffer]) -> list[float]:
    outputs = manifest.signature.outputs
    arrays = [np.frombuffer(part, np.dtype(tensor.dtype)) for tensor, part in zip(outputs, parts, strict=True)]
    return [value for array in arrays for value in array.astype("f8").tolist()]


def _short(value: float) -> bytes:
    return numbers(np.float32(value).tobytes(), np.dtype("<f4"))[1:-1]


def _params(manifest: Manifest) -> dict[str, Any]:
    """Return what TFaaS keeps of a model: what was uploaded, with its name."""
    inputs, outputs = manifest.signature.inputs, manifest.signature.outputs
    known = {
        "name": manifest.model,
        "model": manifest.params.get("model", ""),
        "labels": manifest.params.get("labels", ""),
        "img_channels": manifest.channels,
        "input_name": inputs[0].name if inputs else "",
        "output_name": outputs[0].name if outputs else "",
    }
    return {**known, **manifest.params, "name": manifest.model}


def _answer(value: Any) -> Response:
    return Response(msgspec.json.encode(value) + b"\n", media_type="application/json")
