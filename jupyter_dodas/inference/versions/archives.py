"""Unpack what strangers packed: tar archives, also packed by gzip, into plain files and folders below one folder and nothing else.

Headers are read one by one, so that nothing in them makes the reader hold, follow or skip what an archive only claims to have.
"""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from jupyter_dodas.errors import ModelRefused, TooLarge
from jupyter_dodas.inference.versions.tree import explained

__all__ = ["Limits", "unpack"]

_BLOCK: Final = 512
_PIECE: Final = 1 << 18
_LONGEST_NAME: Final = 64 * 1024
_DEEPEST: Final = 32
_FREE: Final = 64 << 20
_PACK_AGAIN: Final = "Pack it again: tar -czf model.tar.gz FOLDER."
_GZIP: Final = b"\x1f\x8b"


class Limits:
    """How much an archive may hold.

    Parameters
    ----------
    size
        Bytes, in all.
    members
        Files and folders.
    ratio
        How much larger than its packed form it may be, from 64 MiB on.
    """

    def __init__(self, size: int = 4 << 30, members: int = 10_000, ratio: int = 200) -> None:
        self.size, self.members, self.ratio = size, members, ratio


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack an archive into a folder that is made for it. What an archive of a refused kind has brought so far is left there.

    Raises
    ------
    ModelRefused
        If it is broken, or has links, devices or names that lead elsewhere.
    TooLarge
    StateNotWritable, StoreFull
        If it cannot be written.
    """
    limits = limits or Limits()
    try:
        folder.mkdir(mode=0o700)
        with archive.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            reader = _Reader(_inflated(file, limits) if packed else _pieces(file), limits)
            for member, content in _members(reader, limits):
                _write(folder, member, content)
    except zlib.error as error:
        raise _broken(f"gzip: {error}") from error
    except OSError as error:
        raise explained(folder, error) from error


def _members(reader: "_Reader", limits: Limits) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """Yield files and folders with their contents, which have to be taken before the next one is asked for."""
    count, told = 0, dict[str, str]()
    while (header := reader.exactly(_BLOCK)) != bytes(_BLOCK):
        count += 1
        if count > limits.members:
            raise TooLarge(
                "The archive has too many members", cause=f"{limits.members} may be in it.", remedy="Upload the model alone."
            )
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise _broken("It is no tar archive, or a part of one." if count == 1 else str(error)) from error
        if member.size < 0:
            raise _broken("A member has a negative size.")
        if member.type in {tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE}:
            text = _short(reader, member.size)
            if member.type == tarfile.GNUTYPE_LONGNAME:
                told["path"] = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif member.type == tarfile.XHDTYPE:
                told |= _records(text)
            continue
        member.name, member.size = told.get("path", member.name), _size(told.get("size"), member.size)
        if any(name.startswith("GNU.sparse") for name in told) or member.type not in {
            tarfile.REGTYPE,
            tarfile.AREGTYPE,
            tarfile.CONTTYPE,
            tarfile.DIRTYPE,
        }:
            raise ModelRefused(
                f"{member.name[:80]!r} in the archive is neither a file nor a folder",
                cause="It is a link, a device or the like.",
                remedy="Pack plain files.",
            )
        told = {}
        yield member, reader.some(member.size)
        reader.exactly(-member.size % _BLOCK)


def _short(reader: "_Reader", size: int) -> bytes:
    if size > _LONGEST_NAME:
        raise _broken(f"A name takes {size} bytes.")
    text = reader.exactly(size)
    reader.exactly(-size % _BLOCK)
    return text


def _records(text: bytes) -> dict[str, str]:
    """Return what an extended header says: lines of a length, a name and a value."""
    found = {}
    while text.rstrip(b"\0"):
        length = text.partition(b" ")[0]
        if not (length.isdigit() and len(length) < 8 and len(length) + 1 < int(length) <= len(text)):
            raise _broken("An extended header is wrong.")
        name, _, value = text[len(length) + 1 : int(length)].removesuffix(b"\n").partition(b"=")
        found[name.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        text = text[int(length) :]
    return found


def _size(told: str | None, size: int) -> int:
    if told is None:
        return size
    if not (told.isascii() and told.isdigit() and len(told) < 20):
        raise _broken("An extended header is wrong.")
    return int(told)


def _write(folder: Path, member: tarfile.TarInfo, content: Iterator[bytes]) -> None:
    name = PurePosixPath(member.name)
    parts = [part for part in name.parts if part != "."]
    wrong = name.is_absolute() or ".." in parts or len(parts) > _DEEPEST
    if wrong or any(len(part.encode("utf-8", "surrogateescape")) > 255 or not part.isprintable() for part in parts):
        raise ModelRefused(
            f"{member.name[:80]!r} is not a name that can be unpacked",
            cause="It leads elsewhere, or is no readable name.",
            remedy=_PACK_AGAIN,
        )
    path = folder.joinpath(*parts)
    try:
        if member.type == tarfile.DIRTYPE or member.name.endswith("/"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif parts:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in content:
                    file.write(piece)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise ModelRefused(
            f"{member.name[:80]!r} is in the archive twice", cause=str(error.strerror), remedy=_PACK_AGAIN
        ) from error
    for _ in content:
        pass  # what a folder should not have


class _Reader:
    """Bytes of an archive, in the amounts that are asked for."""

    def __init__(self, pieces: Iterator[bytes], limits: Limits) -> None:
        self._pieces, self._left, self._limits = pieces, b"", limits
        self._read = 0

    def some(self, size: int) -> Iterator[bytes]:
        """Yield so many bytes, in pieces."""
        while size:
            if not self._left:
                self._next()
            piece, self._left = self._left[:size], self._left[size:]
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        return b"".join(self.some(size))

    def _next(self) -> None:
        self._left = next(self._pieces, b"")
        if not self._left:
            raise _broken("It ends too early.")
        self._read += len(self._left)
        if self._read > self._limits.size + self._limits.members * 2 * _BLOCK:
            raise TooLarge(
                "The archive is too large", cause=f"{self._limits.size} bytes may be in it.", remedy="Upload a smaller model."
            )


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _inflated(file: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """Yield what gzip packed, piece by piece, however much there is in a piece."""
    packed = made = 0
    engine = zlib.decompressobj(wbits=31)
    for read in _pieces(file):
        packed += len(read)
        data, more = read, False
        while data or more:
            if engine.eof:  # files of gzip may follow each other, and zeros the last one
                if not (data := data.lstrip(b"\0")):
                    break
                engine = zlib.decompressobj(wbits=31)
            piece = engine.decompress(data, _PIECE)
            data, more = engine.unused_data or engine.unconsumed_tail, len(piece) == _PIECE
            made += len(piece)
            if made > max(_FREE, packed * limits.ratio):
                raise TooLarge(
                    "The archive is too large",
                    cause=f"It unpacks to more than {limits.ratio} times its size.",
                    remedy="Pack it without repetition.",
                )
            if piece:
                yield piece
    if not engine.eof:
        raise _broken("It ends too early.")


def _broken(cause: str) -> ModelRefused:
    return ModelRefused("The archive cannot be unpacked", cause=cause, remedy=_PACK_AGAIN)
