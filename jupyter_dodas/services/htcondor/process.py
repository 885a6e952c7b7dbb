"""The process of an instance of a pool: ``python -m jupyter_dodas.services.htcondor.process {manager,worker}``.

It lays down what HTCondor reads, runs its master, and ends with it. Beside the manager's it tells the controller how the pool is.
"""

import asyncio
import logging
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from logging import getLogger
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import DodasError, MissingSoftware
from jupyter_dodas.services.htcondor import configuration, confining, laying
from jupyter_dodas.services.htcondor.configuration import Pool
from jupyter_dodas.services.htcondor.daemons import Daemons, find, may_come
from jupyter_dodas.services.htcondor.neighbours import Neighbours
from jupyter_dodas.services.listening import answers, listens
from jupyter_dodas.services.scratch import scratch

__all__ = ["main"]

logger = getLogger("jupyter_dodas.htcondor")

_END: Final = 6.0
"""Seconds that are left for the daemons to end in, once they are told to do so at once."""

_WORDS: Final = 15
"""Lines of its log that are shown of an HTCondor that has ended."""

_PASSED_ON: Final = ("CUDA_VISIBLE_DEVICES", "DODAS_STATE", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ")
_KEPT_BACK: Final = ("DODAS_", "CONDOR_", "_CONDOR_")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one instance until it is told to end, or ends; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
    logging.getLogger("jupyter_dodas").setLevel(logging.INFO)
    arguments = _arguments(argv)
    try:
        daemons = _daemons()
    except DodasError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is its log
        return 1
    return asyncio.run(_serve(arguments, daemons))


def _daemons() -> Daemons:
    try:
        return find()
    except MissingSoftware:
        if not may_come():
            raise
    from jupyter_dodas.services.htcondor.fetching import fetch

    return fetch()


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description="An instance of an HTCondor pool of jupyter-dodas.")
    roles = parser.add_subparsers(dest="role", required=True)
    manager, worker = roles.add_parser("manager"), roles.add_parser("worker")
    for role in (manager, worker):
        role.add_argument("--name", required=True, help="Name of the instance.")
        role.add_argument("--cluster", required=True, help="Identifier of the cluster.")
        role.add_argument("--domain", required=True, help="Domain of trust of the pool.")
        role.add_argument("--manager", required=True, help="Where the manager is: host:port.")
        role.add_argument("--host", required=True, help="Address that others reach it at.")
        role.add_argument("--listen", help="Address to listen on; by default the one that others reach it at.")
        role.add_argument("--secrets", type=Path, required=True, help="Folder with the secrets of the cluster.")
        role.add_argument("--condor", type=int, required=True, help="Port of HTCondor's daemons.")
    manager.add_argument("--control", type=int, required=True, help="Port for the controller.")
    manager.add_argument("--web", type=int, required=True, help="Port of the page.")
    manager.add_argument("--folder", type=Path, required=True, help="Where the queue is kept.")
    manager.add_argument("--flock-folder", type=Path, required=True, help="Where other pools are noted.")
    manager.add_argument(
        "--shape", action="append", default=[], help="Cores, bytes and GPUs of the workers of a group: 4:8589934592:0."
    )
    manager.add_argument("--job-deadline", type=float, help="Seconds that a job may run.")
    worker.add_argument("--cores", type=int, required=True, help="Cores for jobs.")
    worker.add_argument("--memory", type=int, required=True, help="Bytes for jobs.")
    worker.add_argument("--gpus", type=int, default=0, help="GPUs for jobs.")
    return parser.parse_args(argv)


async def _serve(arguments: Namespace, daemons: Daemons) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    with ExitStack() as stack:
        if arguments.role == "manager":
            folder = arguments.folder.absolute()
            config = _lay_manager(arguments, daemons, folder)
        else:
            folder = stack.enter_context(scratch("htcondor", f"{arguments.cluster}-{arguments.name}"))
            config = _lay_worker(arguments, daemons, folder)
            if not await answers(arguments.manager, ended):
                return 0
        release = ".".join(str(number) for number in daemons.version)
        logger.info("HTCondor %s in %s begins as %s of %s", release, daemons.root, arguments.name, arguments.domain)
        process = await asyncio.create_subprocess_exec(
            *(daemons.sbin / "condor_master", "-f"),
            env={"CONDOR_CONFIG": str(config), **{name: os.environ[name] for name in _PASSED_ON if name in os.environ}},
            stdin=asyncio.subprocess.DEVNULL,
            preexec_fn=confining.for_child(),
        )
        over, told = asyncio.create_task(process.wait()), asyncio.create_task(ended.wait())
        beside = asyncio.create_task(_beside(arguments, daemons, config, process))  # until it is cancelled, or fails
        try:
            await asyncio.wait({over, told, beside}, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                logger.error("HTCondor has ended by itself:\n%s", _last_words(folder))
            patience = float(os.environ.get("DODAS_GRACE", "0")) - _END if arguments.role == "worker" else 0
            code = await _end(process, over, patience, arguments.manager)
        finally:
            told.cancel()
            beside.cancel()
            with suppress(asyncio.CancelledError):
                await beside
        return 0 if ended.is_set() else 128 - code if code < 0 else code or 1


async def _end(process: asyncio.subprocess.Process, over: "asyncio.Task[int]", patience: float, manager: str) -> int:
    """Have the daemons end. Where there is time, and a pool that goes on, jobs finish before that."""
    if not over.done() and patience > 0 and listens(manager):
        process.terminate()
        await asyncio.wait({over}, timeout=patience)
    if not over.done():
        process.send_signal(signal.SIGQUIT)
        await asyncio.wait({over}, timeout=_END)
    if not over.done():
        process.kill()
    return await over


def _lay_manager(arguments: Namespace, daemons: Daemons, folder: Path) -> Path:
    arguments.flock_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = configuration.manager(
        _pool(arguments, daemons, folder), arguments.condor, arguments.flock_folder.absolute(), arguments.job_deadline
    )
    config = laying.lay_manager(folder, text, arguments.secrets, arguments.domain)
    Neighbours(folder, arguments.flock_folder.absolute(), arguments.manager, lambda: None).lay()
    return config


def _lay_worker(arguments: Namespace, daemons: Daemons, folder: Path) -> Path:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_BACK)}
    shape = {"cores": arguments.cores, "memory": arguments.memory, "gpus": arguments.gpus}
    text = configuration.worker(_pool(arguments, daemons, folder), arguments.name, arguments.condor, **shape, variables=variables)
    return laying.lay_worker(folder, text, arguments.secrets)


def _lay_user(arguments: Namespace, daemons: Daemons, folder: Path) -> Path:
    text = configuration.client(arguments.domain, arguments.manager, folder / "tokens", daemons)
    return laying.lay_user(folder, text, arguments.secrets)


def _pool(arguments: Namespace, daemons: Daemons, folder: Path) -> Pool:
    return Pool(arguments.domain, arguments.manager, daemons, folder, "*" if arguments.listen else arguments.host)


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / "log" / "MasterLog").read_text(errors="replace").splitlines()
        return "\n".join(lines[-_WORDS:])
    return ""


async def _beside(arguments: Namespace, daemons: Daemons, config: Path, master: asyncio.subprocess.Process) -> None:
    if arguments.role == "worker":
        await asyncio.Event().wait()
    # Imported only now: meanwhile HTCondor starts, and workers never need it.
    from jupyter_dodas.services.htcondor.company import keep_company

    os.environ["CONDOR_CONFIG"] = str(_lay_user(arguments, daemons, config.parent / "user"))  # the bindings read it once
    await keep_company(arguments, daemons, config, lambda: master.send_signal(signal.SIGHUP))


if __name__ == "__main__":
    sys.exit(main())
