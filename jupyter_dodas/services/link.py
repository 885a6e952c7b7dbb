"""The controller's connection to a cluster that reports by itself: the other end of `jupyter_dodas.channel`.

Only the standard library is imported, since the controller is small.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from logging import getLogger
from time import monotonic
from typing import Any, Final

from jupyter_dodas.credentials import connecting
from jupyter_dodas.services.base import Endpoint, Report, Site

__all__ = ["ReportingLink"]

logger = getLogger(__name__)

_EAGER: Final = 5.0  # for so many seconds after the start or a loss, it is expected at any moment
_QUICK, _SLOW = 0.02, 1.0  # seconds between attempts, at first and in the end
_CONNECT: Final = 5.0
_EAGER_CONNECT: Final = 0.5  # its name may still lead to where a predecessor of it was: better ask for it anew
_SILENCE: Final = 30.0  # it says something every 5 seconds; who is so silent hangs
_ANSWER: Final = 10.0  # it answers within 2 seconds, with what is done until then
_LINE: Final = 2**24


@dataclass(frozen=True)
class _State:
    """What was said last, and when activity ended on our clock."""

    report: Report
    ended: float | None = None


class ReportingLink:
    """See `jupyter_dodas.services.base.Link`. To be made on the running loop."""

    def __init__(self, site: Callable[[], Site], changed: Callable[[], None]) -> None:
        self._site, self._changed = site, changed
        self._state = _State(Report())
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[Collection[str]]] = {}
        self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name="link")

    async def report(self) -> Report:
        """Return what was said last; an empty report while nobody answers."""
        report, ended = self._state.report, self._state.ended
        if ended is None:
            return report
        return replace(report, last_active=max(monotonic() - ended, 0.0))

    async def drain(self, instances: Sequence[str]) -> Collection[str]:
        """Have workers retire; ask again at least every 10 seconds for those that are not returned, or they go back to work."""
        if self._writer is None or not instances:
            return ()
        number = next(self._numbers)
        answer: asyncio.Future[Collection[str]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            _say(self._writer, {"id": number, "retire": list(instances)})
            async with asyncio.timeout(_ANSWER):
                return await answer
        except OSError:  # a timeout is one, too
            return ()
        finally:
            del self._answers[number]

    async def close(self) -> None:
        """Disconnect."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _stay_connected(self) -> None:
        lost, pause = monotonic(), _QUICK
        while True:
            site = self._site()
            if found := _speaker(site):
                try:
                    if await self._listen(*found, site, _EAGER_CONNECT if monotonic() - lost < _EAGER else _CONNECT):
                        lost, pause = monotonic(), _QUICK
                except (OSError, ValueError, LookupError, TypeError) as error:
                    logger.debug("No control channel: %s", error, extra={"cluster": site.cluster})
            await asyncio.sleep(pause)
            if monotonic() - lost > _EAGER:
                pause = min(pause * 1.5, _SLOW)

    async def _listen(self, name: str, endpoint: Endpoint, site: Site, patience: float) -> bool:
        """Connect and take in reports until the connection ends; return whether there was one."""
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.ports["control"], limit=_LINE)
        heard, versions = False, {}
        try:
            # Certificates are read only once somebody listens: most attempts of a launch find nobody yet.
            await writer.start_tls(connecting(site.secrets), ssl_handshake_timeout=_CONNECT)
            while line := await _line(reader):
                message = json.loads(line)
                if "versions" in message:
                    versions = message["versions"]
                elif "report" in message:
                    # Only now it is clear that the other end accepts us: with TLS 1.3 a refusal comes after the handshake.
                    heard, self._writer = True, writer
                    self._take(_state(name, message["report"], versions, monotonic()))
                elif (answer := self._answers.get(message["id"])) and not answer.done():
                    answer.set_result(message["retired"])
        except (OSError, ValueError) as error:
            logger.debug("The control channel was lost: %s", error, extra={"cluster": site.cluster})
        finally:
            self._writer = None
            writer.transport.abort()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result(())
            self._take(_State(Report()))
        return heard

    def _take(self, state: _State) -> None:
        differs, self._state = state != self._state, state
        if differs:
            self._changed()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Read a line in time. Python 3.11's `wait_for` would lose a cancellation that comes together with a line."""
    async with asyncio.timeout(_SILENCE):
        return await reader.readline()


def _speaker(site: Site) -> tuple[str, Endpoint] | None:
    """Find the one instance that has a control port, once it has an address."""
    return next(((name, endpoint) for name, endpoint in site.endpoints.items() if "control" in endpoint.ports), None)


def _state(speaker: str, said: Mapping[str, Any], versions: Mapping[str, str], now: float) -> _State:
    ready = frozenset({speaker, *said["ready"]})
    idle, active = said["idle"], said["active"]
    report = Report(ready, frozenset(said["busy"]), said["wanted"], active, 0.0 if active else None, versions)
    return _State(report, None if active or idle is None else now - idle)


def _say(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
