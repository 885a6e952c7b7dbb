"""The API to manage models, ``/dodas/v1``, with the page that uses it and the document that describes all of the server.

It tells what is there, takes uploads, publishes, rolls back and deletes, and keeps benchmarks.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jupyter_dodas.errors import BadInput, NotAllowed
from jupyter_dodas.inference.conversion.jobs import Upload
from jupyter_dodas.inference.http import page
from jupyter_dodas.inference.http.access import Caller, Right, require
from jupyter_dodas.inference.http.exchange import of
from jupyter_dodas.inference.http.listing import Listing
from jupyter_dodas.inference.http.openapi import document
from jupyter_dodas.inference.http.uploading import Lines, Say, save, staging, unpacked
from jupyter_dodas.inference.http.views import BenchmarkRow, CallerView, Done, HostView, ModelList, Publication, StatusView
from jupyter_dodas.inference.records import Lineage
from jupyter_dodas.inference.versions.store import checked_name

if TYPE_CHECKING:
    from jupyter_dodas.inference.server import Server

__all__ = ["routes"]

logger = logging.getLogger(__name__)

_SMALL: Final = 1 << 20
"""Bytes of the largest body that is no upload."""

_LATE: Final = 30.0
"""Seconds in which such a body must be there."""

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def routes(server: "Server") -> list[Route]:
    """Return all routes of this. Whoever mounts them has found the caller before, and makes replies of errors."""
    made = _Management(server)
    one, version = "/dodas/v1/models/{model}", "/dodas/v1/models/{model}/versions/{version}"
    return [
        *page.routes(),
        Route("/openapi.json", _document),
        Route("/dodas/v1/status", made.status, methods=["GET"]),
        Route("/dodas/v1/models", made.models, methods=["GET"]),
        _by_method(one, GET=made.model, DELETE=made.delete),
        Route(f"{one}/versions", made.upload, methods=["POST"]),
        Route(f"{one}/publish", made.publish, methods=["POST"]),
        Route(f"{one}/rollback", made.rollback, methods=["POST"]),
        _by_method(version, GET=made.version, DELETE=made.delete_version),
        Route(f"{version}/benchmark", made.benchmark, methods=["PUT"]),
    ]


class _Management:
    def __init__(self, server: "Server") -> None:
        self._server, self._plane = server, server.plane

    # What is there.

    async def status(self, request: Request) -> Response:
        caller = _allowed(request, Right.PREDICT)
        status = self._plane.status()
        models = await self._look(caller, Listing.models)
        hosts = [HostView(one["name"], one["state"], one["in_flight"]) for one in status["hosts"]]
        rights: list[Any] = [right.value for right in Right if right in caller.rights]
        who = CallerView(caller.name, rights, caller.administrator)
        return _json(StatusView(self._server.version, self._server.uptime, hosts, len(models), who))

    async def models(self, request: Request) -> Response:
        return _json(ModelList(await self._look(_allowed(request, Right.PREDICT), Listing.models)))

    async def model(self, request: Request) -> Response:
        model = _model(request)
        return _json(await self._look(_allowed(request, Right.PREDICT), lambda listing: listing.model(model)))

    async def version(self, request: Request) -> Response:
        model, version = _model(request), request.path_params["version"]
        return _json(await self._look(_allowed(request, Right.PREDICT), lambda listing: listing.version(model, version)))

    # What changes it.

    async def upload(self, request: Request) -> Response:
        caller, model = _allowed(request, Right.UPLOAD), _model(request)
        exchange, settings = of(request.scope), self._server.settings
        self._server.converter.expect()
        async with AsyncExitStack() as stack:
            folder = await stack.enter_async_context(staging(self._server.store))
            archive = folder.parent / "archive"
            await save(exchange.stream(settings.upload_cap, settings.upload_timeout), archive)
            upload, note = await asyncio.to_thread(unpacked, archive, folder, model)
            lineage = Lineage(owner=caller.name, created=time.time(), packages=note.packages, metrics=note.metrics, note=note.note)
            return Lines(stack.pop_all(), partial(self._convert, caller, upload, lineage), exchange.began)

    async def _convert(self, caller: Caller, upload: Upload, lineage: Lineage, say: Say) -> Done:
        manifest = await self._server.converter.convert(upload, lineage, say)
        if upload.examples is not None:
            upload.examples.unlink(missing_ok=True)  # rows may be private, and are no part of the version
        added = await asyncio.to_thread(self._server.store.add, upload.folder, manifest)
        _tell(caller, "uploaded", added.model, added.version)
        return Done(await self._look(caller, lambda listing: listing.version(added.model, added.version)))

    async def publish(self, request: Request) -> Response:
        caller, model = _allowed(request, Right.PUBLISH), _model(request)
        version = (await _body(request, Publication)).version
        await self._look(caller, lambda listing: listing.version(model, version))
        await self._plane.publish(model, version)
        _tell(caller, "published", model, version)
        return _json(await self._look(caller, lambda listing: listing.model(model)))

    async def rollback(self, request: Request) -> Response:
        caller, model = _allowed(request, Right.PUBLISH), _model(request)
        await self._look(caller, lambda listing: listing.model(model))
        state = await self._plane.rollback(model)
        _tell(caller, "rolled back to", model, str(state.published))
        return _json(await self._look(caller, lambda listing: listing.model(model)))

    async def delete(self, request: Request) -> Response:
        caller, model = _allowed(request, Right.PUBLISH), _model(request)
        shown = await self._look(caller, lambda listing: listing.model(model))
        if await self._look(caller, lambda listing: listing.hides(model)):
            # What others have staged is not known to this caller, and stays.
            for one in shown.versions:
                await self._plane.delete(model, one.version)
        else:
            await self._plane.delete(model)
        _tell(caller, "deleted", model, "all versions")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def delete_version(self, request: Request) -> Response:
        caller, model, version = _allowed(request, Right.PREDICT), _model(request), request.path_params["version"]
        shown = await self._look(caller, lambda listing: listing.version(model, version))
        own = shown.state == "staged" and shown.lineage.owner == caller.name and Right.UPLOAD in caller.rights
        if not own:
            require(caller, Right.PUBLISH)
        await self._plane.delete(model, version)
        _tell(caller, "deleted", model, version)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def benchmark(self, request: Request) -> Response:
        caller, model, version = _allowed(request, Right.UPLOAD), _model(request), request.path_params["version"]
        rows = await _body(request, list[BenchmarkRow])
        shown = await self._look(caller, lambda listing: listing.version(model, version))
        if not caller.administrator and shown.lineage.owner != caller.name:
            raise NotAllowed(
                f"{caller.name} may not record a benchmark of {version}",
                cause=f"It is {shown.lineage.owner}'s.",
                remedy="Ask its owner to measure it.",
            )
        await asyncio.to_thread(self._server.store.record, model, version, {"benchmark": msgspec.to_builtins(rows)})
        return _json(await self._look(caller, lambda listing: listing.version(model, version)))

    async def _look(self, caller: Caller, what: Callable[[Listing], T]) -> T:
        """Look into the store, off the loop: folders may lie on a network."""
        return await asyncio.to_thread(what, Listing(self._server, caller))


def _by_method(path: str, **answers: Handler) -> Route:
    """Return one route for all methods of a path, so that a refused one is told which there are."""

    async def answer(request: Request) -> Response:
        return await answers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, answer, methods=list(answers))


async def _document(_: Request) -> Response:
    return Response(document(), media_type="application/json")


def _allowed(request: Request, right: Right) -> Caller:
    caller = of(request.scope).caller
    require(caller, right)
    return caller


def _model(request: Request) -> str:
    exchange = of(request.scope)
    exchange.model = checked_name(request.path_params["model"])
    exchange.version = request.path_params.get("version", "")
    return exchange.model


async def _body(request: Request, kind: type[T]) -> T:
    body = await of(request.scope).body(_SMALL, _LATE)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("The body is not what is taken here", cause=str(error), remedy="Look at /openapi.json.") from None


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})


def _tell(caller: Caller, what: str, model: str, version: str) -> None:
    logger.info(
        "%s %s %s of %s", caller.name, what, version, model, extra={"caller": caller.name, "model": model, "version": version}
    )
