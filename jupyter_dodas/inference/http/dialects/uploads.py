"""Models as TFaaS's clients upload them: a form with `params`, `model` and `labels`, or an archive. They are published at once."""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jupyter_dodas.errors import BadInput
from jupyter_dodas.inference.conversion.jobs import Upload
from jupyter_dodas.inference.http import exchange as exchanges
from jupyter_dodas.inference.http.access import Right, require
from jupyter_dodas.inference.http.exchange import Exchange
from jupyter_dodas.inference.http.forms import Part, boundary, read_form
from jupyter_dodas.inference.http.uploading import save, staging
from jupyter_dodas.inference.records import Lineage
from jupyter_dodas.inference.versions.archives import unpack
from jupyter_dodas.inference.versions.formats import read_bundle
from jupyter_dodas.inference.versions.store import checked_name

if TYPE_CHECKING:
    from jupyter_dodas.inference.server import Server

__all__ = ["Uploads"]

logger = logging.getLogger(__name__)

_ARCHIVES: Final = (".tar", ".tar.gz", ".tgz")
_PIECE: Final = 3 << 18
"""Bytes of base64 that are decoded at once: whole groups of four."""


class Uploads:
    """The uploads of one server."""

    def __init__(self, server: "Server") -> None:
        self._server = server

    def routes(self) -> list[Route]:
        """Return the routes."""
        base = self._server.settings.base
        return [Route(f"{base}/{path}", self._upload, methods=["POST"]) for path in ("upload", "bundle")]

    async def _upload(self, request: Request) -> Response:
        exchange, server = exchanges.of(request.scope), self._server
        require(exchange.caller, Right.UPLOAD)
        require(exchange.caller, Right.PUBLISH)
        server.converter.expect()
        async with staging(server.store) as folder:
            if exchange.headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
                name = await self._form(exchange, folder)
            else:
                name = await self._archive(exchange, folder)
            bundle = await asyncio.to_thread(read_bundle, folder / "original")
            upload = Upload(
                folder=folder,
                model=checked_name(name or bundle.name),
                labels=bundle.labels,
                channels=_channels(bundle.params),
                params=bundle.params,
            )
            lineage = Lineage(owner=exchange.caller.name, created=time.time(), note=str(bundle.params.get("description") or ""))
            made = await server.converter.convert(upload, lineage, lambda _: None)
            manifest = await asyncio.to_thread(server.store.add, folder, made)
        await server.plane.publish(manifest.model, manifest.version)
        exchange.model, exchange.version = manifest.model, manifest.version
        logger.info("%s uploaded and published %s %s", exchange.caller.name, manifest.model, manifest.version)
        return Response()

    async def _archive(self, exchange: Exchange, folder: Path) -> str:
        """Unpack an archive; whether it is packed by gzip it says itself, whatever the header does."""
        settings = self._server.settings
        archive = folder.parent / "archive"
        await save(exchange.stream(settings.upload_cap, settings.upload_timeout), archive)
        await asyncio.to_thread(unpack, archive, folder / "original")
        return ""

    async def _form(self, exchange: Exchange, folder: Path) -> str:
        """Write the files of a form as an archive would have them, and return the name that it gives."""
        settings = self._server.settings
        parts = folder.parent / "parts"
        parts.mkdir()
        mark = boundary(exchange.headers.get(b"content-type"))
        form = await read_form(exchange.stream(settings.upload_cap, settings.upload_timeout), mark, parts)
        if "model" not in form:
            raise BadInput(
                "The form has no model", remedy="Send it as `curl -F name=NAME -F params=@params.json -F model=@FILE` does."
            )
        coded = exchange.headers.get(b"content-encoding", b"").lower() == b"base64"
        await asyncio.to_thread(_place, form, folder, coded=coded)
        return form["name"].text if "name" in form else ""


def _place(form: Mapping[str, Part], folder: Path, *, coded: bool) -> None:
    original = folder / "original"
    model = form["model"]
    name = PurePosixPath(model.filename or "").name or "model.pb"
    if name.lower().endswith(_ARCHIVES):
        _write(model, folder.parent / "archive", coded=coded)
        unpack(folder.parent / "archive", original)
    else:
        original.mkdir()
        _write(model, original / _safe(name), coded=coded)
    if "params" in form:
        _write(form["params"], original / "params.json", coded=False)
    if "labels" in form and (form["labels"].data or form["labels"].file):
        _write(form["labels"], original / _safe(PurePosixPath(form["labels"].filename or "").name or "labels.txt"), coded=False)


def _safe(name: str) -> str:
    """Return the name of a file if it is one, and no path."""
    if name in {"params.json", "..", "."} or "\\" in name or not name.isprintable() or len(name.encode()) > 200:
        raise BadInput(f"A file cannot be called {name[:80]!r}", remedy="Give it a plain name.")
    return name


def _write(part: Part, file: Path, *, coded: bool) -> None:
    if not coded:
        if part.file is not None:
            part.file.rename(file)
        else:
            file.write_bytes(part.data)
        return
    try:
        with file.open("xb") as target:
            if part.file is None:
                target.write(_decoded(part.data))
                return
            with part.file.open("rb") as source:
                rest = b""
                while piece := source.read(_PIECE):
                    piece = rest + b"".join(piece.split())
                    whole = len(piece) // 4 * 4
                    target.write(_decoded(piece[:whole]))
                    rest = piece[whole:]
                target.write(_decoded(rest))
    except binascii.Error as error:
        raise BadInput(
            "The model is no base64", cause=f"The Content-Encoding says so: {error}.", remedy="Leave that header out, or encode it."
        ) from None


def _decoded(data: bytes) -> bytes:
    return base64.b64decode(b"".join(data.split()), validate=True)


def _channels(params: Mapping[str, object]) -> int:
    channels = params.get("img_channels") or 0
    if channels in {0, 1, 3, 4} and not isinstance(channels, bool):
        return int(str(channels))
    raise BadInput(f"img_channels cannot be {str(channels)[:20]}", remedy="Images have 1, 3 or 4; 0 is for models that take none.")
