"""What the processes of a Dask cluster have in common: settings, a private scratch folder, caches warmed, a clean end."""

import asyncio
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import dask.config
import tornado.netutil
from distributed.versions import get_versions

__all__ = ["LINGER", "configure", "run", "scratch", "warm"]

LINGER: Final = 2.0
"""Seconds that a process may take to end after its work is over, before it leaves threads of tasks behind."""

_OURS: Final[Mapping[str, object]] = {
    # The scheduler's HTTP interface is opened behind a lock, with routes chosen one by one; see `dashboard`.
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.dashboard.tls": {"key": None, "cert": None, "ca-file": None},
    "distributed.worker.http.routes": [],
    # Idleness is the controller's business: it warns before it stops a cluster.
    "distributed.scheduler.idle-timeout": None,
    "distributed.comm.require-encryption": True,
}


def configure(settings: Mapping[str, object]) -> None:
    """Set what this project decides; everything else stays as the user's own Dask configuration says."""
    dask.config.set({**_OURS, **settings})


def warm() -> None:
    """Do beforehand what the first connection would wait for: 50 ms of a launch, where instances are forked."""
    import_module("tornado.platform.asyncio")
    get_versions()
    if sys.platform == "linux":  # elsewhere, reading the system's certificates may start threads
        with suppress(AttributeError):
            tornado.netutil._client_ssl_defaults()  # noqa: SLF001 - a cache without a public way to fill it


def scratch() -> str:
    """Return a folder for temporary files that only this user can read; leftovers of killed processes are purged in it."""
    folder = Path(tempfile.gettempdir()) / f"dodas-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        return tempfile.mkdtemp(prefix="dodas-")
    return str(folder)


def run(serve: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run `serve` until it returns the exit code; SIGTERM and SIGINT cancel it."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
    logging.getLogger("jupyter_dodas").setLevel(logging.INFO)
    if (here := str(Path.cwd())) not in sys.path:  # as `python -m` has it, also in a process that was forked elsewhere
        sys.path.insert(0, here)
    return asyncio.run(_cancelled_by_signals(serve))


async def _cancelled_by_signals(serve: Callable[[], Coroutine[Any, Any, int]]) -> int:
    task = asyncio.current_task()
    assert task is not None
    _on_signals(task.cancel)
    code = await serve()
    # A task may have left a thread behind that nobody can stop; the process does not wait for it longer than this.
    watch = threading.Timer(LINGER, os._exit, (code,))
    watch.daemon = True
    watch.start()
    return code


def _on_signals(end: Callable[[], object]) -> None:
    """Call `end` at the first signal; it then takes its time, and more signals do not disturb it."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: None)
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)
