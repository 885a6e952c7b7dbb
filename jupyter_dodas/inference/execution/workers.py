"""The server's end of the connection to one worker: batches go out, answers come in, in order."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol, cast

import msgspec

from jupyter_dodas.inference.execution.batcher import Batch
from jupyter_dodas.inference.execution.frames import (
    ERROR,
    FAILED,
    FLAWED,
    HEADER,
    MOST,
    PREDICT,
    READY,
    RESULT,
    Buffer,
    Failure,
    pack,
)

__all__ = ["Answer", "Owner", "Worker"]

logger = logging.getLogger(__name__)

_ROOM: Final = 1 << 17


class Answer:
    """One frame of a worker."""

    __slots__ = ("body", "kind", "rows", "shapes")

    def __init__(self, kind: int, rows: int, shapes: int, body: memoryview) -> None:
        self.kind, self.rows, self.shapes, self.body = kind, rows, shapes, body


class Owner(Protocol):
    """Who is told what becomes of batches."""

    def answered(self, worker: "Worker", batch: Batch, answer: Answer) -> None:
        """Take the answer of a worker to a batch. Its body is valid during this call."""
        ...

    def lost(self, worker: "Worker", batches: Sequence[Batch]) -> None:
        """Take back what a worker had when its connection closed, in order: the first is what it worked on."""
        ...


class Worker(asyncio.BufferedProtocol):
    """A connected worker.

    Parameters
    ----------
    kill
        Ends the process behind it, and may be called again.
    far
        Whether it is so far away that it had better not wait for the next batch.
    """

    def __init__(self, owner: Owner, kill: Callable[[], object], *, far: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self._owner, self._kill, self._far = owner, kill, far
        self._transport: asyncio.Transport | None = None
        self._room = memoryview(bytearray(_ROOM))
        self._there = 0
        self._large: memoryview | None = None
        self._number = 0
        self.under_way: deque[Batch] = deque()
        self.rows = 0
        self.dead = False
        self.draining = False
        """Whether it gets no more batches."""
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done once the model is open and warm; fails with what its process says."""
        self.ended: asyncio.Future[None] = loop.create_future()
        self.layers: tuple[str, ...] = ()
        """What confines it; see `sandbox`."""
        self.how = ""
        """How its process ended, once that is known."""

    @property
    def has_room(self) -> bool:
        """Whether it takes another batch.

        It has one, and another so that it need not wait for that if there is something to wait for: a large batch to come over, or
        the network. Small ones had better wait here, where others can join them.
        """
        if self.draining or len(self.under_way) > 1:
            return False
        return not self.under_way or self._far or self.under_way[0].requests[0].large

    def send(self, batch: Batch) -> None:
        """Send a batch."""
        self._number = batch.number = self._number + 1 & 0xFFFF_FFFF
        requests = batch.requests
        if not self.under_way:
            batch.began = monotonic()
        self.under_way.append(batch)
        self.rows += batch.rows
        columns: list[Sequence[Buffer]] = list(zip(*(request.parts for request in requests), strict=True))
        pieces = pack(PREDICT, batch.number, batch.rows, columns, requests[0].shapes)
        transport = cast("asyncio.Transport", self._transport)
        if batch.rows == len(requests):
            transport.write(b"".join(pieces))
        else:
            transport.writelines(pieces)

    def kill(self) -> None:
        """End the process, and with it the connection."""
        self.dead = self.draining = True  # what is sent from now on would be lost
        self._kill()
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return (self._room if self._large is None else self._large)[self._there :]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._there += nbytes
        if self._large is not None:
            if self._there == len(self._large):
                whole, self._large, self._there = self._large, None, 0
                self._received(whole, 0)
            return
        start, there, room = 0, self._there, self._room
        while there - start >= HEADER.size:
            size = HEADER.size + HEADER.unpack_from(room, start)[0]
            if there - start < size:
                if size > MOST:
                    self.kill()
                elif size > len(room):
                    self._large = memoryview(bytearray(size))
                    self._large[: there - start] = room[start:there]
                    self._there = there - start
                    return
                break
            self._received(room, start)
            start += size
        if start:
            room[: there - start] = room[start:there]
            self._there = there - start

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self.dead = self.draining = True
        self._kill()
        batches, self.under_way, self.rows = list(self.under_way), deque(), 0
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("Its process ended while it opened the model."))
            self.ready.exception()  # nobody need have waited for it
        if not self.ended.done():
            self.ended.set_result(None)
        self._owner.lost(self, batches)

    def _received(self, room: memoryview, start: int) -> None:
        length, rows, number, shapes, kind = HEADER.unpack_from(room, start)
        body = room[start + HEADER.size : start + HEADER.size + length]
        batch = None
        try:
            if not self.ready.done():
                self._opened(kind, bytes(body).rstrip(b"\0"))
                return
            self._check(number, rows, kind)
            batch = self.under_way.popleft()
            self.rows -= batch.rows
            if self.under_way:
                self.under_way[0].began = monotonic()
            self._owner.answered(self, batch, Answer(kind, rows, shapes, body))
        except Exception as error:  # noqa: BLE001 - models are other people's programs, and may say anything in the place of an answer
            logger.warning("A worker says what makes no sense, and is killed: %s", error)
            if batch is not None:
                self.under_way.appendleft(batch)
            self.kill()

    def _check(self, number: int, rows: int, kind: int) -> None:
        if not self.under_way or self.under_way[0].number != number:
            raise ValueError("nobody has asked for this")
        if kind != ERROR and (kind not in {RESULT, FLAWED} or rows != self.under_way[0].rows):
            raise ValueError("this is no answer to what was asked")

    def _opened(self, kind: int, said: bytes) -> None:
        if kind == READY:
            self.layers = tuple(msgspec.json.decode(said, type=list[str]))
            self.ready.set_result(None)
        elif kind == FAILED:
            failure = msgspec.json.decode(said, type=Failure)
            self.ready.set_exception(ChildProcessError(f"{failure.message}: {failure.cause}"))
        else:
            raise ValueError("it has not said that it is ready")
