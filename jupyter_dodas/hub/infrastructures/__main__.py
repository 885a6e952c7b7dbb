"""``python -m jupyter_dodas.hub.infrastructures --config FILE``, as JupyterHub starts it.

Two processes: this one starts the service, and starts it again when it ends, which the hub itself would do within half a minute.
Both end with the hub, whichever way that ends; another hub would start another one, with new tokens.
"""

import argparse
import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1
_PAUSE: Final = 0.5
_LONGEST: Final = 10.0
"""Seconds before one that has ended is started again."""
_LONG: Final = 60.0
"""Seconds after which it had started well."""


def main() -> int:
    """Run the service."""
    parser = argparse.ArgumentParser(prog="jupyter_dodas.hub.infrastructures", description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="see docs/guides/infrastructures-admin.md")
    parser.add_argument("--inner", type=int, metavar="PID", help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help="do not end with the process that has started this one")
    given = parser.parse_args()
    os.umask(0o077)
    if given.inner is not None:
        _end_with(given.inner)
        return _serve(given.config)
    if not given.alone:
        _end_with(os.getppid())
    return _guard([sys.executable, "-m", "jupyter_dodas.hub.infrastructures", "--config", str(given.config)])


def _end_with(parent: int) -> None:
    """End at once when a process does. Whatever was under way is found again."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _guard(command: list[str]) -> int:
    """Keep one running until this is told to end."""
    running: subprocess.Popen[bytes] | None = None
    told = False

    def tell(number: int, _: FrameType | None) -> None:
        nonlocal told
        told = True
        if running is not None:
            running.send_signal(number)

    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGINT, tell)
    pause = _PAUSE
    while not told:
        began = time.monotonic()
        running = subprocess.Popen([*command, "--inner", str(os.getpid())])
        if told:
            running.terminate()
        code = running.wait()
        if told:
            break
        if code == 2:  # its configuration cannot be used: the hub tries again, less often
            return code
        pause = _PAUSE if time.monotonic() > began + _LONG else min(_LONGEST, 2 * pause)
        time.sleep(pause)
    return 0


def _serve(file: Path) -> int:
    from jupyter_dodas.errors import DodasError
    from jupyter_dodas.hub.infrastructures.application import Service
    from jupyter_dodas.hub.infrastructures.configuration import Configuration

    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s %(name)s] %(message)s")
    # It tells of every request, with its address.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("tornado.access").setLevel(logging.WARNING)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Service(Configuration.read(file), os.environ).run(stop)

    try:
        asyncio.run(run())
    except DodasError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the hub's log
        return 2 if error.code == "invalid-setting" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
