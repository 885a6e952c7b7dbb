"""The process of a Spark instance: ``python -m jupyter_dodas.services.spark.daemon {master,worker,connect}``.

It starts Java, watches over it and ends with it. Beside a worker it listens for the controller: the master can retire workers only
by their host, which on one machine is all of them; the signal that retires one must come from beside it.
"""

import asyncio
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import DodasError
from jupyter_dodas.services.listening import answers, listens
from jupyter_dodas.services.scratch import scratch
from jupyter_dodas.services.spark import archive, folders
from jupyter_dodas.services.spark.conf import encryption, executor_options
from jupyter_dodas.services.spark.control import Control
from jupyter_dodas.services.spark.credentials import FILE
from jupyter_dodas.services.spark.java import PATIENT, SMALL, Java, Spark, command, environment, find_java, find_spark, sharing

__all__ = ["main"]

_COMMON: Final = {
    "spark.decommission.enabled": "true",
    "spark.ui.reverseProxy": "true",
    "spark.ui.killEnabled": "false",
    # On another port nobody would look for it; the controller chooses again.
    "spark.port.maxRetries": "0",
}

_END: Final = 5.0
"""Seconds that are left for Java to end in."""

_LOOK: Final = 0.3

_EXECUTOR_JAVA: Final = "spark.executor.extraJavaOptions"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one process until it is told to end, or ends; return the exit code."""
    arguments = _arguments(argv)
    try:
        found = find_java(os.environ), find_spark()
    except DodasError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is its log
        return 1
    if arguments.role == "master":
        folders.forget_history()
    return asyncio.run(_serve(arguments, *found))


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description="A process of a Spark cluster of jupyter-dodas.")
    roles = parser.add_subparsers(dest="role", required=True)
    master, worker, connect = (roles.add_parser(role) for role in ("master", "worker", "connect"))
    for role in (master, worker, connect):
        role.add_argument("--name", required=True, help="Name of the instance.")
        role.add_argument("--cluster", required=True, help="Identifier of the cluster.")
        role.add_argument("--host", required=True, help="Address that others reach it at.")
        role.add_argument("--listen", help="Address to listen on; by default the one that others reach it at.")
        role.add_argument("--secrets", type=Path, required=True, help="Folder with the secrets of the cluster.")
    for role in (master, worker):
        role.add_argument("--rpc", type=int, required=True, help="Port of the service itself.")
        role.add_argument("--web", type=int, required=True, help="Port of its pages.")
    for role in (worker, connect):
        role.add_argument("--master", required=True, help="Where the master is: host:port.")
        role.add_argument("--memory", type=int, required=True, help="Bytes for executors, or of the Connect server itself.")
    worker.add_argument("--control", type=int, required=True, help="Port for the controller.")
    worker.add_argument("--cores", type=int, required=True, help="Cores for executors.")
    connect.add_argument("--grpc", type=int, required=True, help="Port for clients.")
    connect.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="A setting of Spark.")
    connect.add_argument("--package", action="append", default=[], help="A library from Maven.")
    return parser.parse_args(argv)


async def _serve(arguments: Namespace, java: Java, spark: Spark) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    with scratch("spark", f"{arguments.cluster}-{arguments.name}") as folder:
        if arguments.role != "master" and not await answers(arguments.master, ended):
            return 0
        process = await asyncio.create_subprocess_exec(
            *_command(arguments, java, spark, folder),
            env=_environment(arguments, java, spark, folder),
            stdin=asyncio.subprocess.DEVNULL,
        )
        over = asyncio.create_task(process.wait())
        told = asyncio.create_task(ended.wait())
        control = Control(arguments.name, process, arguments.secrets) if arguments.role == "worker" else None
        beside = asyncio.create_task(_beside(arguments, java, spark, control))
        try:
            await asyncio.wait({over, told}, return_when=asyncio.FIRST_COMPLETED)
            if control is not None and not over.done():
                await _retire(control, arguments.master, float(os.environ.get("DODAS_GRACE", "0")) - _END)
            if not over.done():
                process.terminate()
            code = await over
        finally:
            told.cancel()
            beside.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await beside
        return 0 if ended.is_set() else 128 - code if code < 0 else code


async def _retire(control: Control, master: str, patience: float) -> None:
    """Have executors finish their tasks and hand over what they hold, where there is time, and a cluster that goes on.

    Parameters
    ----------
    patience
        Seconds; the place gives them where it takes an instance away.
    """
    if patience > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while listens(master) and control.decommission():  # noqa: ASYNC110 - nobody tells when executors have gone
                    await asyncio.sleep(_LOOK)


async def _beside(arguments: Namespace, java: Java, spark: Spark, control: Control | None) -> None:
    """Do what is to be done beside Java."""
    if control is not None:
        await control.serve(arguments.listen or arguments.host, arguments.control)
    elif arguments.role == "master" and not arguments.listen and archive.find(java, spark) is None:
        # In a container, which has an address of its own, it would be made for nobody: their images bring it along.
        await archive.make_in_background()


def _command(arguments: Namespace, java: Java, spark: Spark, folder: Path) -> list[str]:
    secrets = str(arguments.secrets / FILE)
    found = archive.find(java, spark)
    common = [*sharing(found), f"-Djava.io.tmpdir={folder}"]
    encrypted = encryption(arguments.host)
    match arguments.role:
        case "master":
            recovery = {
                "spark.master.rest.enabled": "false",
                # A master that was killed comes back, and its workers and applications with it.
                "spark.deploy.recoveryMode": "FILESYSTEM",
                "spark.deploy.recoveryDirectory": str(folder / "recovery"),
                "spark.deploy.recoveryTimeout": "10s",
            }
            return command(
                *(java, spark, "org.apache.spark.deploy.master.Master"),
                *("--host", arguments.host, "--port", str(arguments.rpc), "--webui-port", str(arguments.web)),
                *("--properties-file", secrets),
                options=["-Xmx512m", *SMALL, *common, *_defined({**encrypted, **_COMMON, **recovery})],
            )
        case "worker":
            return command(
                *(java, spark, "org.apache.spark.deploy.worker.Worker"),
                *("--host", arguments.host, "--port", str(arguments.rpc), "--webui-port", str(arguments.web)),
                *("--cores", str(arguments.cores), "--memory", f"{arguments.memory // 2**20}M"),
                *("--work-dir", str(folder / "work"), "--properties-file", secrets, f"spark://{arguments.master}"),
                options=["-Xmx512m", *SMALL, *common, *_defined({**encrypted, **_COMMON})],
            )
    settings = dict(setting.split("=", 1) for setting in arguments.setting)
    settings |= {
        **encrypted,
        _EXECUTOR_JAVA: executor_options(found, settings.get(_EXECUTOR_JAVA, "")),
        "spark.eventLog.dir": folders.history().as_uri(),
        "spark.driver.host": arguments.host,
        "spark.driver.bindAddress": arguments.listen or arguments.host,
        "spark.connect.grpc.binding.address": arguments.listen or arguments.host,
        "spark.connect.grpc.binding.port": str(arguments.grpc),
    }
    return command(
        *(java, spark, "org.apache.spark.deploy.SparkSubmit"),
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *("--master", f"spark://{arguments.master}", "--properties-file", secrets),
        *(word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
        *(["--packages", ",".join(arguments.package)] if arguments.package else []),
        "spark-internal",
        options=[f"-Xmx{arguments.memory // 2**20}m", *PATIENT, *common],
    )


def _defined(settings: Mapping[str, str]) -> list[str]:
    return [f"-D{name}={value}" for name, value in settings.items()]


def _environment(arguments: Namespace, java: Java, spark: Spark, folder: Path) -> dict[str, str]:
    own = {"SPARK_LOCAL_DIRS": str(folder), "PYSPARK_PYTHON": sys.executable}
    return {**environment(java, spark, arguments.listen or arguments.host, os.environ), **own}


if __name__ == "__main__":
    sys.exit(main())
