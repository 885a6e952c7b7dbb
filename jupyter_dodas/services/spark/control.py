"""The other end of `link` beside a worker: on the controller's word, it sends the worker the signal to retire."""

import asyncio
import hmac
import json
import secrets
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from jupyter_dodas.services.spark import credentials

__all__ = ["Control"]

_RETIRE: Final = getattr(signal, "SIGPWR", None)  # Linux alone has it
_PATIENCE: Final = 5.0


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
        self._retired = False

    async def serve(self, host: str, port: int) -> None:
        """Listen until cancelled."""
        async with await asyncio.start_server(self._answer, host, port) as server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        challenge, request = secrets.token_hex(16), f"decommission {self._name}"
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(f"{challenge}\n".encode())
                said = (await reader.readline()).decode("utf-8", "replace").strip()
                proof = credentials.proof(credentials.read(self._folder), challenge, request)
                if hmac.compare_digest(said.encode(), f"{proof} {request}".encode()):
                    writer.write(json.dumps({"executors": self._decommission()}).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError):
            pass  # whoever asked is gone, or no peer of ours
        finally:
            writer.close()

    def _decommission(self) -> int:
        """Have the worker retire, once; return how many executors it still has."""
        if not self._retired and _RETIRE is not None:
            self._retired = True
            self._process.send_signal(_RETIRE)
        with suppress(psutil.NoSuchProcess):
            return len(psutil.Process(self._process.pid).children())
        return 0
