"""Uploads under way: a body into a staging folder, and lines about the work on it for whoever waits."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from jupyter_dodas.errors import BadInput, ModelRefused, TooLarge
from jupyter_dodas.inference.conversion.jobs import Upload
from jupyter_dodas.inference.http.replies import as_known, explained
from jupyter_dodas.inference.http.views import ErrorView, Failed, Step, UploadNote
from jupyter_dodas.inference.versions.archives import unpack
from jupyter_dodas.inference.versions.formats import read_bundle
from jupyter_dodas.inference.versions.store import Store

__all__ = ["Lines", "Say", "save", "staging", "unpacked"]

logger = logging.getLogger(__name__)

Say = Callable[[str], None]
"""Is told which step is done."""

_PIECE: Final = 1 << 20
"""Bytes that are written at once."""

_MODEL: Final = "model"
_NOTE: Final = "upload.json"
_EXAMPLES: Final = "examples.npz"
_LARGEST_NOTE: Final = 1 << 20


@asynccontextmanager
async def staging(store: Store) -> AsyncIterator[Path]:
    """`Store.staging`, off the loop: many files may have to go at the end, and they do so whoever cancels."""
    manager = store.staging()
    folder = await asyncio.to_thread(manager.__enter__)
    try:
        yield folder
    except BaseException as error:
        if not await asyncio.shield(asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__)):
            raise
    else:
        await asyncio.shield(asyncio.to_thread(manager.__exit__, None, None, None))


async def save(parts: AsyncIterator[bytes], file: Path) -> None:
    """Write a body into a file as it comes, off the loop.

    Raises
    ------
    OSError
        If the disk is full.
    """
    with file.open("wb", buffering=0) as opened:
        waiting = bytearray()
        async for part in parts:
            waiting += part
            if len(waiting) >= _PIECE:
                await asyncio.to_thread(_write, opened.fileno(), bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(_write, opened.fileno(), bytes(waiting))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def unpacked(archive: Path, folder: Path, model: str) -> tuple[Upload, UploadNote]:
    """Unpack an archive, and return what it holds: the model in ``original/``, and what its maker tells.

    Parameters
    ----------
    archive
        A tar, or one packed by gzip; it is removed.
    folder
        The staging folder; beside it, what is no part of the version may lie.

    Raises
    ------
    ModelRefused
        If it is broken or hostile, or holds no model.
    BadInput
        If what its maker tells cannot be read.
    TooLarge
        If there is too much in it.
    """
    incoming = folder.parent / "incoming"
    unpack(archive, incoming)
    archive.unlink()
    if not (incoming / _MODEL).is_dir():
        raise ModelRefused(
            "The archive holds no model",
            cause=f"It has no folder {_MODEL}/.",
            remedy=f"Put the model into {_MODEL}/, and pack that.",
        )
    note = _note(incoming / _NOTE)
    (incoming / _MODEL).rename(folder / "original")
    examples = incoming / _EXAMPLES
    bundle = read_bundle(folder / "original")
    upload = Upload(
        folder=folder,
        model=model,
        keys=note.keys,
        labels=note.labels or bundle.labels,
        channels=note.channels,
        params=bundle.params,
        examples=examples if examples.is_file() else None,
    )
    return upload, note


def _note(file: Path) -> UploadNote:
    if not file.is_file():
        return UploadNote()
    if file.stat().st_size > _LARGEST_NOTE:
        raise TooLarge(f"{_NOTE} has more than {_LARGEST_NOTE} bytes", remedy="Tell less of the model.")
    try:
        return msgspec.json.decode(file.read_bytes(), type=UploadNote)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{_NOTE} cannot be read", cause=f"{error}.", remedy="Look at UploadNote in /openapi.json.") from None


class Lines(Response):
    """Lines of JSON about work that is done meanwhile. If whoever waits for them goes away, the work is cancelled.

    Parameters
    ----------
    held
        What is left when the work is over, however that came about.
    work
        Is given a function for the names of its steps, and returns the last line.
    began
        When the first step did, by `time.perf_counter`.
    """

    media_type = "application/x-ndjson"

    def __init__(self, held: AsyncExitStack, work: Callable[[Say], Awaitable[msgspec.Struct]], began: float) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._held = held
        self._work = work
        self._began = began
        self._lines: asyncio.Queue[msgspec.Struct] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as Starlette asks for it."""
        working = asyncio.ensure_future(self._through())
        leaving = asyncio.ensure_future(_gone(receive))
        telling = asyncio.ensure_future(self._tell(send))
        try:
            await asyncio.wait({working, leaving, telling}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                self._lines.put_nowait(working.result())
                await asyncio.wait({leaving, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, leaving, telling):
                task.cancel()
            await asyncio.gather(working, leaving, telling, return_exceptions=True)

    async def _through(self) -> msgspec.Struct:
        """Do the work; what is held is let go before the last line is sent."""

        def say(step: str) -> None:
            now = time.perf_counter()
            self._lines.put_nowait(Step(step, round(now - self._began, 4)))
            self._began = now

        try:
            async with self._held:
                return await self._work(say)
        except Exception as error:
            known = as_known(error)
            if known is not error:
                logger.exception("An upload failed in an unexpected way")
            return Failed(ErrorView(**explained(known)))

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while True:
            line = await self._lines.get()
            last = not isinstance(line, Step)
            await send({"type": "http.response.body", "body": msgspec.json.encode(line) + b"\n", "more_body": not last})
            if last:
                return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
