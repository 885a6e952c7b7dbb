"""The process of a Dask worker: ``python -m jupyter_dodas.services.dask.worker``.

Importing it does all that can be done beforehand, and starts nothing: instances are forked from a process that has done so.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import dask.config
import distributed
from dask.utils import format_bytes
from distributed.comm.addressing import get_address_host
from distributed.core import Status
from distributed.utils import get_ip

from jupyter_dodas.services.dask.process import LINGER, configure, run, scratch, warm
from jupyter_dodas.services.dask.security import security

__all__ = ["Worker", "main"]

logger = getLogger("jupyter_dodas.services.dask.worker")  # it runs as __main__

_PATIENCE: Final = 60.0  # a scheduler that does not answer for so many seconds has another address by now, or is gone
_ATTEMPTS: Final = "2s"
_WATCH: Final = 0.2  # between looks at the memory
_OUTGROWN: Final = 3

warm()


class Worker(distributed.Worker):
    """A worker that ends soon when it shall end: it does not wait for threads, and serves no pages."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Serve nothing: what a worker's pages show, the scheduler's dashboard shows too, behind its lock."""

    async def close(  # type: ignore[override]  # as in distributed, whose worker has more arguments than its server
        self,
        timeout: float = LINGER,
        executor_wait: bool = True,
        nanny: bool = True,
        reason: str = "worker-close",
    ) -> str | None:
        """Close it; a task that still runs is left behind, and is run elsewhere."""
        return await super().close(min(timeout, LINGER), executor_wait=False, nanny=nanny, reason=reason)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker until it is told to end, or its scheduler is gone; return the exit code."""
    parser = ArgumentParser(description="A Dask worker of jupyter-dodas.")
    parser.add_argument("--name", required=True, help="Name of the instance, and of the worker for Dask.")
    parser.add_argument("--scheduler", required=True, help="Its address: tls://host:port.")
    parser.add_argument("--host", help="Address to listen on; by default the one that the scheduler is reached from.")
    parser.add_argument("--secrets", type=Path, required=True, help="Folder with the secrets of the cluster.")
    parser.add_argument("--threads", type=int, required=True, help="Tasks at once.")
    parser.add_argument("--memory", type=int, required=True, help="Bytes that it may use.")
    parser.add_argument("--resource", action="append", default=[], metavar="NAME=AMOUNT", help="What tasks can ask for.")
    parser.add_argument("--no-spill", action="store_true", help="Never write results to disk when memory is short.")
    arguments = parser.parse_args(argv)
    configure({f"distributed.worker.memory.{way}": False for way in ("target", "spill")} if arguments.no_spill else {})
    return run(partial(_serve, arguments))


async def _serve(arguments: Namespace) -> int:
    worker = Worker(
        arguments.scheduler,
        name=arguments.name,
        host=arguments.host or str(get_ip(get_address_host(arguments.scheduler))),  # type: ignore[no-untyped-call]
        nthreads=arguments.threads,
        memory_limit=arguments.memory,
        resources={name: float(amount) for name, _, amount in (item.partition("=") for item in arguments.resource)},
        security=security(arguments.secrets),
        local_directory=scratch(),
        death_timeout=_PATIENCE,
    )
    try:
        # Both are started at the same moment, and distributed tries ever more rarely: with a short timeout it begins anew.
        with dask.config.set({"distributed.comm.timeouts.connect": _ATTEMPTS}):
            await worker
        if await _outgrown(worker):
            return _OUTGROWN
    except asyncio.CancelledError:
        logger.info("The worker was told to end")
        if worker.status in (Status.running, Status.paused):
            await _leave(worker, patience=float(os.environ.get("DODAS_GRACE", "0")) - 2 * LINGER)
    except TimeoutError:
        logger.error("No scheduler answers at %s", arguments.scheduler)  # noqa: TRY400 - where it waited tells nothing
        return 1
    except (OSError, RuntimeError):
        logger.exception("The worker cannot start")
        return 1
    finally:
        await worker.close(reason="end")
    return 0


async def _leave(worker: Worker, patience: float) -> None:
    """Begin nothing new, and give the data to others, if there are any and it is done in time.

    Parameters
    ----------
    patience
        Seconds that tasks which run have to finish in.
    """
    if (task := asyncio.current_task()) is not None:
        task.uncancel()  # older releases of Python 3.11 take a timeout for one more cancellation else
    if patience > 0:
        with suppress(OSError):
            async with asyncio.timeout(patience):
                await _retire(worker, remove=False)
                worker.status = Status.closing_gracefully  # also where nobody could take its data
                finished = asyncio.ensure_future(worker.finished())  # type: ignore[no-untyped-call]
                while (worker.state.executing or worker.state.long_running) and not finished.done():
                    await asyncio.wait({finished}, timeout=_WATCH)
    if worker.status not in (Status.closing, Status.closed):
        with suppress(OSError):
            async with asyncio.timeout(LINGER):
                await _retire(worker, remove=True)  # what is new among its data


async def _retire(worker: Worker, *, remove: bool) -> None:
    cause = f"dodas-end-{uuid4()}"
    await worker.scheduler.retire_workers(workers=[worker.address], close_workers=False, remove=remove, stimulus_id=cause)


async def _outgrown(worker: Worker) -> bool:
    """Wait until the worker has closed, or has outgrown its memory: then it must go before the machine does."""
    finished = asyncio.ensure_future(worker.finished())  # type: ignore[no-untyped-call]
    fraction = dask.config.get("distributed.worker.memory.terminate")
    limit = fraction * worker.memory_manager.memory_limit if fraction and worker.memory_manager.memory_limit else float("inf")
    while not finished.done():
        if (used := worker.monitor.get_process_memory()) > limit:
            logger.error("The worker ends: it uses %s, over %.0f %% of its memory", format_bytes(used), fraction * 100)
            return True
        await asyncio.wait({finished}, timeout=_WATCH)
    return False


if __name__ == "__main__":
    sys.exit(main())
