"""The process of a Dask scheduler: ``python -m jupyter_dodas.services.dask.scheduler``.

Importing it does all that can be done beforehand, and starts nothing: instances are forked from a process that has done so.
"""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from logging import getLogger
from pathlib import Path

from distributed.scheduler import Scheduler

from jupyter_dodas.services.dask.control import Control
from jupyter_dodas.services.dask.dashboard import lock
from jupyter_dodas.services.dask.mismatch import forgive
from jupyter_dodas.services.dask.process import configure, run, scratch, warm
from jupyter_dodas.services.dask.security import security
from jupyter_dodas.services.dask.signin import DASHBOARD

__all__ = ["main"]

logger = getLogger("jupyter_dodas.services.dask.scheduler")  # it runs as __main__

warm()
forgive()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a scheduler until it is told to end; return the exit code."""
    parser = ArgumentParser(description="A Dask scheduler of jupyter-dodas.")
    parser.add_argument("--cluster", required=True, help="Name of the cluster.")
    parser.add_argument("--host", required=True, help="Address to listen on.")
    parser.add_argument("--comm", type=int, required=True, help="Port for clients and workers.")
    parser.add_argument("--dashboard", type=int, required=True, help="Port of the dashboard.")
    parser.add_argument("--control", type=int, required=True, help="Port for the controller.")
    parser.add_argument("--secrets", type=Path, required=True, help="Folder with the secrets of the cluster.")
    parser.add_argument("--target", type=float, default=5.0, help="Seconds in which waiting work shall be done.")
    arguments = parser.parse_args(argv)
    configure({"distributed.adaptive.target-duration": f"{arguments.target}s"})
    return run(partial(_serve, arguments))


async def _serve(arguments: Namespace) -> int:
    try:
        scheduler = Scheduler(
            host=arguments.host,
            port=arguments.comm,
            protocol="tls",
            security=security(arguments.secrets),
            dashboard=False,
            dashboard_address=f"{arguments.host}:{arguments.dashboard}",
            local_directory=scratch(),
        )
        lock(scheduler, (arguments.secrets / DASHBOARD).read_bytes().strip(), f"dodas-{arguments.cluster}")
        # Distributed takes another port then, where nobody would look for it.
        if scheduler.service_ports["dashboard"] != arguments.dashboard:
            logger.error("Port %s is taken", arguments.dashboard)
            return 1
        await scheduler
    except asyncio.CancelledError:
        return 0
    except (OSError, RuntimeError):
        logger.exception("The scheduler cannot start")
        return 1
    control = asyncio.create_task(Control(scheduler).serve(arguments.host, arguments.control, arguments.secrets))
    finished = asyncio.create_task(scheduler.finished())  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait({control, finished}, return_when=asyncio.FIRST_COMPLETED)
        if control.done():
            logger.error("The control channel failed: %s", control.exception())
            return 1
    except asyncio.CancelledError:
        logger.info("The scheduler was told to end")
    finally:
        control.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await control
        await scheduler.close(reason="end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
