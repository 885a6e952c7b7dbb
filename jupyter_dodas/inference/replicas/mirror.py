"""Versions on their way between a server and a replica that keeps them, in either direction: whole, and checked as they arrive.

On the wire a version is a line of JSON, which tells the names and sizes of its files, and then their contents.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from jupyter_dodas.errors import DodasError, ModelBroken, ModelNotFound
from jupyter_dodas.inference.records import Manifest
from jupyter_dodas.inference.versions.store import State, Store

__all__ = ["LINE", "Holding", "holdings", "receive", "send"]

LINE: Final = 1 << 24
"""Bytes of the longest line between a server and a replica: what there is of ten thousands of versions."""
_PIECE: Final = 1 << 18


class Holding(msgspec.Struct, frozen=True):
    """What a store has of one model."""

    state: State
    versions: tuple[str, ...]


class Content(msgspec.Struct, frozen=True):
    """What is told of a version before its files: these with their sizes, and what was recorded of it.

    Parameters
    ----------
    error
        Why nothing follows.
    """

    manifest: Manifest | None = None
    sizes: dict[str, int] = {}
    recorded: dict[str, Any] = {}
    error: str = ""


def holdings(store: Store) -> Sequence[Holding]:
    """Return what there is in a store."""
    found = []
    for name, state in store.models().items():
        with suppress(ModelNotFound):  # it was deleted meanwhile
            found.append(Holding(state, tuple(sorted(one.version for one in store.versions(name)))))
    return found


async def send(store: Store, model: str, version: str, writer: asyncio.StreamWriter) -> None:
    """Send a version, or the reason why not."""
    try:
        folder, content = await asyncio.to_thread(_content, store, model, version)
    except (DodasError, OSError) as error:
        writer.write(msgspec.json.encode(Content(error=str(error))) + b"\n")
        await writer.drain()
        return
    writer.write(msgspec.json.encode(content) + b"\n")
    for name in content.sizes:
        with (folder / name).open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                writer.write(piece)
                await writer.drain()


def _content(store: Store, model: str, version: str) -> tuple[Path, Content]:
    folder, manifest = store.folder(model, version), store.manifest(model, version)
    sizes = {name: (folder / name).stat().st_size for name in manifest.files}
    return folder, Content(manifest, sizes, dict(store.metrics(model, version)))


async def receive(store: Store, reader: asyncio.StreamReader) -> Manifest:
    """Take a version into a store.

    Raises
    ------
    ModelBroken
        If it is not what it was where it comes from.
    OSError, EOFError
        If the connection ends.
    """
    content = msgspec.json.decode(await reader.readline(), type=Content)
    manifest = content.manifest
    if manifest is None:
        raise ModelBroken("A version was not sent", cause=content.error)
    if content.sizes.keys() != manifest.files.keys():
        raise _damaged(manifest)
    with store.staging() as folder:
        for name, size in content.sizes.items():
            await _receive_file(folder / _checked(name, manifest), size, reader)
        added = await asyncio.to_thread(store.add, folder, manifest)
    if (added.version, added.files) != (manifest.version, manifest.files):
        await asyncio.to_thread(store.delete, added.model, added.version)
        raise _damaged(manifest)
    if content.recorded:
        await asyncio.to_thread(store.record, added.model, added.version, content.recorded)
    return added


async def _receive_file(path: Path, size: int, reader: asyncio.StreamReader) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        while size:
            piece = await reader.read(min(size, _PIECE))
            if not piece:
                raise EOFError("the connection ended within a file")
            await asyncio.to_thread(file.write, piece)
            size -= len(piece)


def _checked(name: str, manifest: Manifest) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _damaged(manifest)
    return name


def _damaged(manifest: Manifest) -> ModelBroken:
    return ModelBroken(
        f"{manifest.model} {manifest.version} has not arrived as it was sent",
        cause="Its files do not have the checksums that its manifest says.",
        remedy="Upload it again.",
    )
