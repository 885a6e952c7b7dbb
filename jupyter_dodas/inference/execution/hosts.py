"""Where workers run: beside the server, or in replicas that have joined it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from jupyter_dodas.inference.execution.workers import Owner, Worker
from jupyter_dodas.inference.records import Manifest

__all__ = ["Here", "Host", "Process"]

_INHERITED: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR")
_TAIL: Final = 2000


class Host(Protocol):
    """Where workers run."""

    @property
    def name(self) -> str:
        """What it is called in the status."""
        ...

    def worker(self, manifest: Manifest, folder: Path, owner: Owner) -> AbstractAsyncContextManager[Worker]:
        """Start a worker and give it as soon as it is connected; it gets ready by itself. It is ended at the end.

        Raises
        ------
        OSError
            If there can be none now.
        """
        ...


class Process:
    """The process of one worker, which runs on this machine."""

    def __init__(self, folder: Path, memory: int) -> None:
        self.socket, theirs = socket.socketpair()
        """Connected to it; whoever takes it closes it."""
        # What it has to say when it dies: in memory, and no more than its limit for the size of files.
        self._said = os.memfd_create("worker")
        with theirs:
            arguments = (theirs.fileno(), folder, memory, os.getpid())
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "jupyter_dodas.inference.execution.worker", *map(str, arguments)],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    pass_fds=(theirs.fileno(),),
                    env=_variables(),
                    start_new_session=True,
                )
            except OSError:
                self.socket.close()
                os.close(self._said)
                raise

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def end(self) -> str:
        """End it at once, wait for that, and return what is known of its end, in a sentence."""
        self.kill()
        code = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        said = os.pread(self._said, _TAIL, max(0, os.fstat(self._said).st_size - _TAIL)).decode(errors="replace").strip()
        os.close(self._said)
        how = f"a signal, {-code}" if code < 0 else f"the exit code {code}"
        return f"Its process ended with {how}.{f' It said: {said}' if said else ''}"


class Here:
    """The machine of the server.

    Parameters
    ----------
    memory
        Bytes that a worker may take.
    """

    name = "server"

    def __init__(self, memory: int) -> None:
        self._memory = memory

    @asynccontextmanager
    async def worker(self, manifest: Manifest, folder: Path, owner: Owner) -> AsyncIterator[Worker]:
        """See `Host`."""
        process = Process(folder, self._memory)
        worker = None
        try:
            connected = await asyncio.get_running_loop().create_connection(lambda: Worker(owner, process.kill), sock=process.socket)
            worker = connected[1]
            yield worker
        finally:
            if worker is None:
                process.socket.close()
            else:
                worker.kill()
            how = await asyncio.shield(process.end())
            if worker is not None:
                worker.how = how


def _variables() -> Mapping[str, str]:
    """Return what a worker may know of the server's environment, and what keeps engines on one thread."""
    given = {name: value for name in _INHERITED if (value := os.environ.get(name)) is not None}
    return given | {
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_HOME": os.devnull,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
