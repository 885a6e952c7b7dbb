"""The other end of `link` beside a worker: on the controller's word, it sends the worker the signal to retire.

It also tells which versions its executors will find.
"""

import asyncio
import hmac
import json
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

from jupyter_dodas import versions
from jupyter_dodas.services.spark import credentials
from jupyter_dodas.services.spark.service import SparkService

__all__ = ["Control"]

_RETIRE: Final = getattr(signal, "SIGPWR", None)  # Linux alone has it
_PATIENCE: Final = 5.0

_VERSIONS: Final = versions.installed(SparkService.packages)

_HEARD: Final = 1.5
"""Seconds after which executors that are still there are told themselves, again and again: the driver, which the master tells,
does not know those that were just started. To be told twice does no harm."""


class Control:
    """Serves requests that prove to come from a holder of the cluster's secrets.

    Parameters
    ----------
    name
        Of the worker.
    process
        Its Java.
    folder
        With the secrets.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._name, self._process, self._folder = name, process, folder
        self._told: float | None = None  # when it, or its executors, were told to retire last

    async def serve(self, host: str, port: int) -> None:
        """Listen until cancelled."""
        async with await asyncio.start_server(self._answer, host, port) as server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        challenge = secrets.token_hex(16)
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(f"{challenge}\n".encode())
                shown, _, request = (await reader.readline()).decode("utf-8", "replace").strip().partition(" ")
                proof = credentials.proof(credentials.read(self._folder), challenge, request)
                if hmac.compare_digest(shown.encode(), proof.encode()) and (answer := self._do(request)) is not None:
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError):
            pass  # whoever asked is gone, or no peer of ours
        finally:
            writer.close()

    def _do(self, request: str) -> Mapping[str, object] | None:
        if request == f"decommission {self._name}":
            return {"executors": self.decommission()}
        if request == f"versions {self._name}":
            return _VERSIONS
        return None

    def decommission(self) -> int:
        """Have the worker retire, once; return how many executors it still has."""
        if _RETIRE is None:
            return len(self._executors())
        now = monotonic()
        if self._told is None:
            self._process.send_signal(_RETIRE)
            self._told = now
        executors = self._executors()
        if now - self._told > _HEARD:
            self._told = now
            for executor in executors:
                with suppress(psutil.NoSuchProcess):
                    executor.send_signal(_RETIRE)
        return len(executors)

    def _executors(self) -> Sequence[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children()
        return ()
