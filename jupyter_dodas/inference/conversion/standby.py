"""The server's end of the process that waits with TensorFlow imported."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from jupyter_dodas.errors import ModelBroken, ModelRefused, StoreFull
from jupyter_dodas.inference.conversion.converter.messages import (
    Cancel,
    Converted,
    Ended,
    Job,
    Message,
    Order,
    Ready,
    Refused,
    Step,
)

__all__ = ["STEPS", "Standby"]

STEPS: Final = ("Unpacked", "Loaded", "Converted", "Compared", "Measured")
"""What is said of a conversion, in this order."""

_PROGRAM: Final = ("-P", "-m", "jupyter_dodas.inference.conversion.converter")
_LINE: Final = 1 << 21
_PATIENCE: Final = 5.0
_INHERITED: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "PYTHONDONTWRITEBYTECODE")
# No look for graphics cards, no talk, and no folder of Keras in a home.
_QUIET: Final = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull}


class Standby:
    """A process that does jobs, one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ready = False

    @classmethod
    async def start(cls) -> "Standby":
        """Start the process; it takes jobs at once, and begins with them when it has imported TensorFlow."""
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | _QUIET
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *_PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            limit=_LINE,
        )
        return cls(process)

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    async def ready(self) -> None:
        """Wait until TensorFlow is imported, or the process is gone. Nothing else may read meanwhile."""
        while not self._ready and await self._next() is not None:
            pass

    async def do(self, job: Job, progress: Callable[[str], None]) -> Converted:
        """Do a job; when this ends, in whatever way, so has its process.

        Raises
        ------
        ModelRefused
        StoreFull
        ModelBroken
            If the waiting process itself is gone.
        """
        found: Converted | Refused | None = None
        status: int | None = None
        try:
            self._send(job)
            while (message := await self._next()) is not None:
                if isinstance(message, Step) and message.name in STEPS:
                    progress(message.name)
                elif isinstance(message, Converted | Refused):
                    found = message
                elif isinstance(message, Ended) and message.number == job.number:
                    status = message.status
                    break
        finally:
            if status is None:
                await self._cancel(job.number)
        if status is None:
            raise ModelBroken(
                "The converter ended in the midst of its work",
                cause="Its process was ended from outside.",
                remedy="Upload the model again.",
            )
        if isinstance(found, Converted) and status == 0:
            return found
        if isinstance(found, Refused):
            raise (StoreFull if found.full else ModelRefused)(found.message, cause=found.cause, remedy=found.remedy)
        raise ModelRefused(
            "The model cannot be converted",
            cause=_ending(status, job),
            remedy="Does it open where it was made? Upload a smaller one, if it is large.",
        )

    async def close(self) -> None:
        """End the process, with what it does."""
        self._kill()
        await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - its pipes, before the loop is closed

    def _kill(self) -> None:
        if not self.gone:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _cancel(self, number: int) -> None:
        if not self._ready:
            self._kill()  # it would hear nothing before all is imported
        try:
            self._send(Cancel(number))
            async with asyncio.timeout(_PATIENCE):
                while (message := await self._next()) is not None:
                    if isinstance(message, Ended) and message.number == number:
                        return
        except TimeoutError:
            self._kill()
        await self._process.wait()

    def _send(self, order: Order) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError, RuntimeError):  # it is gone: what is read next says so
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def _next(self) -> Message | None:
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
        except ValueError:
            self._kill()
            line = b""
        if not line.endswith(b"\n"):
            await self._process.wait()
            return None
        message: Message = msgspec.json.decode(line, type=Message)
        self._ready = self._ready or isinstance(message, Ready)
        return message


def _ending(status: int, job: Job) -> str:
    """Say why a process is gone that has said nothing."""
    if not os.WIFSIGNALED(status):
        return "Its process ended without a word."
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return f"It computed for {job.seconds} s."
    if number == signal.SIGKILL:
        return "Its process was killed (SIGKILL): by somebody, or since the machine had no memory left."
    name = signal.Signals(number).name
    return f"It crashed ({name}), as happens when it needs more than the {job.memory >> 20} MiB that it may take."
