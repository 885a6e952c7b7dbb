"""Benchmarks: how long an endpoint takes to answer, and how much it answers, by rows in a request and clients at a time.

All clients share one thread and send bytes that were made before, so that what is measured is the endpoint, as far as one
process of Python goes: some 10,000 requests a second.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.errors import DodasError, PlaceUnreachable, TimedOut
from jupyter_dodas.services.tfaas import plot, showing
from jupyter_dodas.services.tfaas.client import Reach, error_of
from jupyter_dodas.services.tfaas.tensors import HEADER, question
from jupyter_dodas.services.tfaas.versions import Measurement, Tensor

__all__ = ["Benchmark", "measure", "request"]

_LONGEST: Final = 60.0
"""Seconds that a single answer may take."""


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found: shown as a table and a picture."""

    model: str
    version: str
    rows: tuple[Measurement, ...]
    seconds: float = field(default=0.0, compare=False)

    def plot(self) -> plot.Plot:
        """Draw latency and throughput by rows in a request, a line for each number of clients."""
        return plot.Plot(self.rows)

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"{self.model} {self.version}\n{showing.measurements(self.rows)}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return showing.bundle(repr(self), plot.drawn(self.rows, f"{self.model} {self.version}"))


def request(
    reach: Reach, model: str, version: str | None, inputs: Sequence[Tensor], arrays: Sequence[NDArray[Any]]
) -> Callable[[], bytes]:
    """Return what makes the bytes of a request; the token is read when it is made."""
    head, parts = question(inputs, arrays)
    size = len(head) + sum(part.nbytes for part in parts)
    path = f"/v2/models/{model}{f'/versions/{version}' if version is not None else ''}/infer"
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {urlsplit(reach.address).netloc}",
        f"{HEADER}: {len(head)}",
        f"Content-Length: {size}",
    ]
    lines.append("Content-Type: application/octet-stream")

    def make() -> bytes:
        all_lines = [*lines, *(f"{name}: {value}" for name, value in reach.headers().items())]
        return b"".join(["\r\n".join([*all_lines, "", ""]).encode("latin-1"), head, *parts])

    return make


async def measure(reach: Reach, made: bytes, *, batch: int, clients: int, seconds: float) -> Measurement:
    """Have some clients ask the same again and again, each when its answer is there.

    Parameters
    ----------
    made
        A whole request.
    batch
        The rows in it.
    seconds
        For how long. Each client asks once before that.

    Raises
    ------
    DodasError
        As soon as one request fails: it says why.
    """
    parts = urlsplit(reach.address)
    context = ssl.create_default_context(cafile=reach.authority) if parts.scheme == "https" else None
    loop, asking = asyncio.get_running_loop(), [_Asking(made) for _ in range(clients)]
    try:
        async with asyncio.timeout(_LONGEST + seconds):
            for one in asking:
                await loop.create_connection(lambda one=one: one, parts.hostname or "", parts.port or 0, ssl=context)
            await asyncio.gather(*(one.answers(until=0.0) for one in asking))
            began = time.perf_counter()
            found = await asyncio.gather(*(one.answers(until=began + seconds) for one in asking))
            lasted = time.perf_counter() - began
    except TimeoutError as error:
        raise TimedOut(
            f"The endpoint did not answer {clients} clients within {_LONGEST:g} s",
            cause=f"They asked with {batch} rows at a time.",
            remedy="Try fewer rows or clients: benchmark(batches=(1, 16), clients=(1,)).",
        ) from error
    except OSError as error:
        raise PlaceUnreachable(
            f"The endpoint at {reach.address} does not answer", cause=str(error), remedy="Look whether it runs: dodas.list()."
        ) from error
    finally:
        for one in asking:
            one.close()
        await asyncio.gather(*(one.closed for one in asking if one.opened))
    taken = np.array([latency for one in found for latency in one])
    p50, p99 = np.quantile(taken, [0.5, 0.99]) * 1e3
    return Measurement(batch, clients, float(f"{p50:.4g}"), float(f"{p99:.4g}"), round(batch * len(taken) / lasted, 1))


class _Asking(asyncio.Protocol):
    """One client: a connection that asks again when the answer is there."""

    def __init__(self, made: bytes) -> None:
        self._made = made
        self._buffer = bytearray()
        self._until = self._sent = 0.0
        self._latencies: list[float] = []
        self._done: asyncio.Future[None]
        self.closed: asyncio.Future[None]
        self.opened = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.opened = transport, True
        self.closed = asyncio.get_running_loop().create_future()

    async def answers(self, *, until: float) -> Sequence[float]:
        """Ask until a time of `time.perf_counter`, and at least once; returns seconds of each answer."""
        self._until, self._latencies = until, []
        self._done = asyncio.get_running_loop().create_future()
        self._ask()
        await self._done
        return self._latencies

    def close(self) -> None:
        """End the connection."""
        if self.opened:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end])
        size = _length(head)
        if len(self._buffer) < end + 4 + size:
            return
        now = time.perf_counter()
        body = bytes(self._buffer[end + 4 : end + 4 + size])
        self._buffer.clear()
        status = int(head.split(b" ", 2)[1])
        if status != 200:
            self._fail(_refusal(status, body))
            return
        self._latencies.append(now - self._sent)
        if now < self._until:
            self._ask()
        elif not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        if hasattr(self, "_done"):
            self._fail(
                PlaceUnreachable(
                    "The endpoint closed a connection of the benchmark", cause=str(exc or ""), remedy="Look whether it runs."
                )
            )

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._made)

    def _fail(self, error: DodasError) -> None:
        if not self._done.done():
            self._done.set_exception(error)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _refusal(status: int, body: bytes) -> DodasError:
    import json

    try:
        told: Mapping[str, Any] = json.loads(body)
    except ValueError:
        told = {}
    return error_of(told.get("error", f"The endpoint answered with {status}"), status=status)
