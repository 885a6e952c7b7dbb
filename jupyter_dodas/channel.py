"""How a running cluster tells the controller how it is, and is asked to let workers go.

One JSON object a line. Whoever is listened to speaks first, then whenever something has changed, ``{"report": {...}}``, so nobody
polls; it is asked ``{"id": 7, "retire": ["worker-1"]}`` and answers ``{"id": 7, "retired": [...]}``. The other end is
`jupyter_dodas.services.link`.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from logging import getLogger
from time import monotonic
from typing import Any, Final

__all__ = ["ALIVE", "LEASE", "Channel", "Observation"]

logger = getLogger(__name__)

ALIVE: Final = 5.0
"""Seconds; something is said at least this often."""
LEASE: Final = 10.0
"""Seconds; the controller asks again every second or two, as long as it wants a worker to go. Then it goes on."""

_LINE: Final = 2**20
_BEHIND: Final = 2**22  # a listener that lets this many bytes pile up is cut off


@dataclass(frozen=True)
class Observation:
    """One look at a cluster, by its own process.

    Parameters
    ----------
    ready, busy
        Names of workers, sorted.
    wanted
        Workers that the present work could use.
    active
        Whether a task or request runs or waits.
    ended
        When activity ended, on this process's monotonic clock; None if there was none yet.
    """

    ready: tuple[str, ...]
    busy: tuple[str, ...]
    wanted: int
    active: bool
    ended: float | None

    def message(self) -> dict[str, Any]:
        """Write it for another process, whose clock differs: `idle` is the age of `ended` in seconds."""
        message = asdict(self)
        ended = message.pop("ended")
        return {**message, "idle": None if ended is None else max(monotonic() - ended, 0.0)}


class Channel:
    """The end that is listened to.

    Parameters
    ----------
    greeting
        Returns what a new listener is told first.
    retire
        Lets workers go, and returns those that can be deleted now.
    """

    def __init__(
        self,
        greeting: Callable[[], Sequence[Mapping[str, Any]]],
        retire: Callable[[Collection[str]], Awaitable[Sequence[str]]],
    ) -> None:
        self._greeting, self._retire = greeting, retire
        self._listeners: set[asyncio.StreamWriter] = set()
        self._attending: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def listened(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    async def open(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Begin to take listeners.

        Raises
        ------
        OSError
            If the port is taken.
        """
        self._server = await asyncio.start_server(self._accept, host, port, ssl=context, limit=_LINE)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Say something to everybody who listens."""
        for listener in list(self._listeners):
            _say(listener, message)

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        for listener in self._listeners:
            listener.transport.abort()
        for task in self._attending:
            task.cancel()
        await asyncio.gather(*self._attending, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._attend(reader, writer), name="control connection")
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one listener."""
        try:
            for message in self._greeting():
                _say(writer, message)
            self._listeners.add(writer)
            while line := await reader.readline():
                request = json.loads(line)
                retired = await self._retire(request["retire"])
                _say(writer, {"id": request["id"], "retired": list(retired)})
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.info("A control connection ended: %s", error)
        finally:
            self._listeners.discard(writer)
            writer.close()


def _say(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    if writer.transport.get_write_buffer_size() > _BEHIND:
        writer.transport.abort()
    else:
        writer.write(json.dumps(message).encode() + b"\n")
