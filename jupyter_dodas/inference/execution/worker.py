"""A worker: an isolated process that has one version of a model open and answers batches, until its socket closes.

``python -m jupyter_dodas.inference.execution.worker DESCRIPTOR FOLDER MEMORY PARENT``: the descriptor of a connected socket,
the folder of the version, the bytes that the process may take, and the process without which it ends. Models are other people's
programs: what they could do is taken away before one is opened.
"""

import ctypes
import math
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from jupyter_dodas.inference.confinement.sandbox import confine, libraries
from jupyter_dodas.inference.execution import engines
from jupyter_dodas.inference.execution.frames import (
    ERROR,
    FAILED,
    FLAWED,
    HEADER,
    MOST,
    READY,
    RESULT,
    Buffer,
    Failure,
    Shapes,
    frame,
    pack,
    unpack,
)
from jupyter_dodas.inference.records import Manifest

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1
_FILES: Final = 256
_SAID: Final = 1 << 16
"""Bytes that it may write of why it dies."""
_SMALL: Final = 1 << 16
"""Bytes up to which what lies apart is joined before it is sent."""
_ROOM: Final = 1 << 18
_WARM_UP: Final = (256, 32, 1, 1)


def main() -> None:
    """Run until the server closes the socket."""
    descriptor, folder, memory, parent = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    _end_with(parent)
    server = socket.socket(fileno=descriptor)
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        # It has no folder for temporary files. What TensorFlow imports asks for one all the same, and puts nothing there.
        tempfile.tempdir = "/"
        # There is one thread yet: engines start theirs, and what they import they find in what may be read.
        layers = confine([*libraries(), folder], [], memory=memory, files=_FILES, size=_SAID)
        model = engines.load(manifest.engine)
        worker = Worker(manifest, model(manifest, folder))
        worker.warm_up()
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is an answer
        server.sendall(frame(FAILED, 0, _failure("The model cannot be opened", error)))
        return
    server.sendall(frame(READY, 0, msgspec.json.encode(layers)))
    with suppress(ConnectionError):  # the server is gone, or wants this process to be
        worker.serve(server)


class Worker:
    """A model that has been opened, and how its batches are read and answered."""

    def __init__(self, manifest: Manifest, model: engines.Runnable) -> None:
        signature = manifest.signature
        self._model, self._rowwise = model, signature.rowwise
        self._inputs, self._outputs = signature.inputs, signature.outputs
        self._types = [np.dtype(tensor.dtype) for tensor in self._inputs]
        self._given = [np.dtype(tensor.dtype) for tensor in self._outputs]
        np.seterr(all="ignore")

    def warm_up(self) -> None:
        """Run batches of zeros, so that the first caller does not wait for what an engine does once."""
        for rows in _WARM_UP if self._rowwise else (1, 1):
            shapes = [tuple(rows if length is None else length for length in tensor.shape) for tensor in self._inputs]
            arrays = [np.zeros(shape, dtype) for shape, dtype in zip(shapes, self._types, strict=True)]
            try:
                self._model.run(arrays)
            except Exception:  # noqa: BLE001 - a model need not take zeros, or free lengths of one; what is wrong with it will be seen
                return

    def serve(self, server: socket.socket) -> None:
        """Answer batches, in order, until the server hangs up."""
        frames = Frames(server)
        while (received := frames.next()) is not None:
            number, rows, shapes, body = received
            try:
                pieces = self._answer(number, rows, shapes, body)
            except Exception as error:  # noqa: BLE001 - whatever an engine raises is an answer
                pieces = [frame(ERROR, number, _failure("The model cannot do this", error))]
            _send(server, pieces)

    def _answer(self, number: int, rows: int, shapes: int, body: memoryview) -> list[Buffer]:
        parts, given = unpack(body, shapes, rows, self._inputs)
        if self._rowwise:
            given = [(rows, *(length or 0 for length in tensor.shape[1:])) for tensor in self._inputs]
        arrays = [
            np.frombuffer(*one).reshape(shape) for one, shape in zip(zip(parts, self._types, strict=True), given, strict=True)
        ]
        outputs = [np.ascontiguousarray(output) for output in self._model.run(arrays)]
        self._see_that_they_fit(outputs, rows)
        made: Shapes = () if self._rowwise else [output.shape for output in outputs]
        pieces: list[Sequence[Buffer]] = [[output.data.cast("B") if output.size else b""] for output in outputs]
        if all(_finite(output) for output in outputs):
            return pack(RESULT, number, rows, pieces, made)
        counts = np.stack([_flaws(output, rows if self._rowwise else 1) for output in outputs])
        return pack(FLAWED, number, rows, [*pieces, [counts.tobytes()]], made)

    def _see_that_they_fit(self, outputs: Sequence[engines.Array], rows: int) -> None:
        for tensor, dtype, output in zip(self._outputs, self._given, outputs, strict=True):
            if output.dtype != dtype:
                raise ValueError(f"its output {tensor.name!r} has elements of {output.dtype}, not {dtype}")
            if self._rowwise and output.shape != (rows, *tensor.shape[1:]):
                raise ValueError(f"its output {tensor.name!r} has the shape {output.shape} for {rows} rows")


class Frames:
    """What comes over a socket, frame by frame, with as few copies and system calls as may be."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._room = bytearray(_ROOM)
        self._view = memoryview(self._room)
        self._start = self._end = 0

    def next(self) -> tuple[int, int, int, memoryview] | None:
        """Return number, rows, number of shapes and body of the next frame, valid until the one after; None at the end."""
        if not self._have(HEADER.size):
            return None
        length, rows, number, shapes, _ = HEADER.unpack_from(self._room, self._start)
        if length > MOST or not self._have(HEADER.size + length):
            raise ConnectionError("a frame is not whole")
        begin, self._start = self._start + HEADER.size, self._start + HEADER.size + length
        return number, rows, shapes, self._view[begin : self._start]

    def _have(self, size: int) -> bool:
        """Read until so many bytes lie together from the start on; False if the server has hung up before."""
        while (there := self._end - self._start) < size:
            if self._start + size > len(self._room):
                # What lay here before has been answered; 16 bytes before each body keep arrays aligned.
                new = self._room if size <= len(self._room) else bytearray(size)
                new[:there] = self._room[self._start : self._end]
                if new is not self._room:
                    self._room, self._view = new, memoryview(new)
                self._start, self._end = 0, there
            elif not there:
                self._start = self._end = 0
            if not (count := self._server.recv_into(self._view[self._end :])):
                return False
            self._end += count
        return True


def _send(server: socket.socket, pieces: Sequence[Buffer]) -> None:
    if sum(map(len, pieces)) <= _SMALL:
        server.sendall(b"".join(pieces))
        return
    for piece in pieces:
        server.sendall(piece)


def _finite(output: engines.Array) -> bool:
    # A sum is finite only if all of it is; the other way round finite numbers can have a sum that is not, so that is looked into.
    return output.dtype.kind != "f" or math.isfinite(output.sum()) or bool(np.isfinite(output).all())


def _flaws(output: engines.Array, rows: int) -> engines.Array:
    """Count the numbers of each row that are not finite."""
    counts: engines.Array = np.zeros(rows, np.uint32)
    if output.dtype.kind == "f" and output.size:
        counts[:] = (~np.isfinite(output)).reshape(rows, -1).sum(axis=1)
    return counts


def _failure(message: str, error: Exception) -> bytes:
    said = str(error).strip() or type(error).__name__
    return msgspec.json.encode(Failure(message, said[:2000]))


def _end_with(parent: int) -> None:
    """Be killed when the parent ends: a model that is busy sees nothing of a closed socket."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the server is gone")


if __name__ == "__main__":
    main()
