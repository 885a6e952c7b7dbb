"""Forms in the format multipart/form-data, read as they stream in: fields and small files in memory, large ones on the disk."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jupyter_dodas.errors import BadInput, NotSupported, TooLarge

__all__ = ["Part", "boundary", "read_form", "read_whole"]

_PARTS: Final = 64
_FIELD: Final = 1 << 20
"""Bytes of a field that is not a file, and of what stays in memory where files go to the disk."""


@dataclass
class Part:
    """A field or a file of a form.

    Attributes
    ----------
    filename
        As the sender says; None for a field.
    data
        What is in memory.
    file
        Where the rest of it is, if it went to the disk.
    """

    name: str
    filename: str | None = None
    data: bytes = b""
    file: Path | None = None

    @property
    def text(self) -> str:
        """What it holds, as text without spaces around it.

        Raises
        ------
        BadInput
            If it is none.
        """
        try:
            return (self.file.read_bytes() if self.file is not None else self.data).decode().strip()
        except UnicodeDecodeError:
            raise BadInput(f"The field {self.name!r} of the form is no text", remedy="Send it as UTF-8.") from None


def boundary(kind: bytes | None) -> bytes:
    """Return what stands between the parts of a form, by its Content-Type.

    Raises
    ------
    NotSupported
        If it is none.
    """
    said, options = parse_options_header((kind or b"").decode("latin-1"))
    mark = options.get(b"boundary")
    if said != b"multipart/form-data" or not mark:
        raise NotSupported("This is no form", remedy="Send multipart/form-data, as `curl -F` does.")
    return mark


async def read_form(stream: AsyncIterator[bytes], mark: bytes, folder: Path | None = None) -> Mapping[str, Part]:
    """Read a form.

    Parameters
    ----------
    stream
        The body; who gives it sees to its size.
    mark
        See `boundary`.
    folder
        Where large files go, as ``part-0`` and so on; without one, everything stays in memory.

    Raises
    ------
    BadInput
        If it is no form.
    TooLarge
        If it has too many parts, or a field is too large.
    """
    reading = _Reading(mark, folder)
    try:
        with _refusing():
            async for chunk in stream:
                reading.parser.write(chunk)
                if reading.waiting:
                    await asyncio.to_thread(reading.spill)
            reading.parser.finalize()
    finally:
        reading.close()
    return reading.form()


def read_whole(body: bytes, mark: bytes) -> Mapping[str, Part]:
    """Read a form that has come already: at once if it is as most programs write it. Raises as `read_form` does."""
    first, *pieces = (b"\r\n" + body).split(b"\r\n--" + mark)
    parts = {}
    if not first and pieces and len(pieces) <= _PARTS and pieces[-1].startswith(b"--"):
        for piece in pieces[:-1]:
            head, ends, data = piece.partition(b"\r\n\r\n")
            found = _DISPOSITION.search(head) if ends and head.startswith(b"\r\n") else None
            if found is None:
                return _read_through(body, mark)
            name, filename = (None if one is None else one.decode("utf-8", "replace") for one in found.groups())
            parts[str(name)] = Part(str(name), filename, data)
        return parts
    return _read_through(body, mark)


_DISPOSITION: Final = re.compile(
    rb"""\r\nContent-Disposition: form-data; name="([^"\\%\r\n]+)"(?:; filename="([^"\\%\r\n]*)")?(?:\r\n|$)""", re.IGNORECASE
)


def _read_through(body: bytes, mark: bytes) -> Mapping[str, Part]:
    with _refusing():
        reading = _Reading(mark, None)
        reading.parser.write(body)
        reading.parser.finalize()
    return reading.form()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise BadInput(
            "The form cannot be read", cause=f"{error}."[:200], remedy="Send multipart/form-data, as `curl -F` does."
        ) from None


@dataclass
class _Open:
    """A part that is being read."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    options: Mapping[bytes, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    file: BinaryIO | None = None
    path: Path | None = None


class _Reading:
    """A form, as far as it has come."""

    def __init__(self, mark: bytes, folder: Path | None) -> None:
        self._parts: list[Part] = []
        self._ended = False
        self._folder = folder
        self._part = _Open()
        self._name, self._value = bytearray(), bytearray()
        callbacks: dict[str, Any] = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._checked,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        self.parser = MultipartParser(mark, cast("Any", callbacks))

    @property
    def waiting(self) -> bool:
        """Whether so much is in memory that it should go to the disk."""
        return self._folder is not None and len(self._part.data) > _FIELD

    def spill(self) -> None:
        """Write to the disk what is in memory of the part that is being read."""
        part = self._part
        if part.file is None:
            assert self._folder is not None
            part.path = self._folder / f"part-{len(self._parts)}"
            part.file = part.path.open("xb")
        part.file.write(part.data)
        part.data.clear()

    def form(self) -> Mapping[str, Part]:
        """Return what there was.

        Raises
        ------
        BadInput
            If that was not all.
        """
        if not self._ended:
            raise BadInput("The form breaks off", cause="Its last part has no end.", remedy="Send all of it.")
        return {part.name: part for part in self._parts}

    def close(self) -> None:
        if self._part.file is not None:
            self._part.file.close()

    def _begin(self) -> None:
        if len(self._parts) >= _PARTS:
            raise TooLarge(f"The form has more than {_PARTS} parts", remedy="Send what is asked for.")
        self._part = _Open()

    def _header(self) -> None:
        self._part.headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _checked(self) -> None:
        part = self._part
        part.options = parse_options_header(part.headers.get(b"content-disposition", b"").decode("latin-1"))[1]
        if not part.options.get(b"name"):
            raise BadInput("A part of the form has no name", remedy="Send it as `curl -F NAME=...` does.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.data += data[start:end]
        if b"filename" not in part.options and len(part.data) > _FIELD:
            raise TooLarge(f"A field of the form has more than {_FIELD} bytes", remedy="Send it as a file: `curl -F NAME=@FILE`.")

    def _end(self) -> None:
        part, options = self._part, self._part.options
        if part.file is not None:
            self.spill()
            part.file.close()
        filename = options.get(b"filename")
        self._parts.append(
            Part(
                options[b"name"].decode("utf-8", "replace"),
                None if filename is None else filename.decode("utf-8", "replace"),
                bytes(part.data),
                part.path,
            )
        )

    def _finish(self) -> None:
        self._ended = True
