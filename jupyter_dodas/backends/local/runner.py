"""Runs instances as processes, by way of the keeper."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.backends.base import TOKEN, InstanceState, Running
from jupyter_dodas.backends.hints import Hints
from jupyter_dodas.backends.local import logs, surroundings
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.errors import ControllerUnreachable
from jupyter_dodas.services.base import Endpoint, Instance, Site

__all__ = ["LocalRunner"]

_HOST: Final = "127.0.0.1"


class LocalRunner:
    """The `Runner` of a local place. Used by the controller alone."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._epoch = ""
        self._namespaces = False
        self._ids = itertools.count()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._hints = Hints()
        self._writer: asyncio.StreamWriter | None = None
        self._lost = False
        # Ports given out that nobody may listen on yet, by instance.
        self._ports: dict[str, contextlib.ExitStack] = {}

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None, None]:
        """Talk to the keeper for as long as the context lasts."""
        reader, self._writer = await asyncio.open_unix_connection(self._layout.keeper_socket, limit=1 << 24)
        listening = asyncio.create_task(self._listen(reader))
        try:
            seen = await self._ask(do="observe")
            self._epoch, self._namespaces = seen["epoch"], seen["namespace"]
            yield
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            self._writer.close()
            for reserved in self._ports.values():
                reserved.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "ended" in message:
                    self._hints.tell(_cluster_of(message["ended"]))
                elif (reply := self._replies.pop(message["id"], None)) is not None and not reply.done():
                    reply.set_result(message)
        except ConnectionError:
            pass
        finally:
            self._lost = True
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(_keeper_gone())

    async def _ask(self, **request: object) -> dict[str, Any]:
        if self._writer is None or self._lost:
            raise _keeper_gone()
        number = next(self._ids)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(json.dumps({"id": number, **request}).encode() + b"\n")
            await self._writer.drain()
            answer: dict[str, Any] = await reply
        except ConnectionError as error:
            raise _keeper_gone() from error
        finally:
            self._replies.pop(number, None)
        if "error" in answer:
            raise ValueError(f"the keeper does not understand {request['do']!r}: {answer['error']}")
        return answer

    @property
    def epoch(self) -> str:
        """See `Runner.epoch`: the life of the keeper."""
        return self._epoch

    @property
    def namespaces(self) -> bool:
        """Whether instances have a process namespace of their own."""
        return self._namespaces

    async def place(self, cluster: str, name: str, ports: Sequence[str]) -> Endpoint:
        """See `Runner.place`. The ports were free a moment ago; whoever is quicker wins, and the instance is placed again.

        Nobody else who places instances on this machine is quicker: of fifty notebooks that start at once, two would often have
        been given the same port, which is free until somebody listens.
        """
        self._release(cluster, name)
        reserved, numbers = contextlib.ExitStack(), list[int]()
        with contextlib.ExitStack() as held:
            while len(numbers) < len(ports):
                listener = held.enter_context(socket.socket())
                listener.bind((_HOST, 0))
                number = listener.getsockname()[1]
                if _reserve(number, reserved):
                    numbers.append(number)
        self._ports[f"{cluster}/{name}"] = reserved
        return Endpoint(_HOST, dict(zip(ports, numbers, strict=True)))

    def _release(self, cluster: str, name: str) -> None:
        if (reserved := self._ports.pop(f"{cluster}/{name}", None)) is not None:
            reserved.close()

    async def secrets_folder(self, cluster: str) -> Path:
        """See `Runner.secrets_folder`."""
        return self._layout.cluster(cluster) / "secrets"

    async def kept_folder(self, cluster: str) -> Path:
        """See `Runner.kept_folder`. It is removed with the record."""
        return self._layout.cluster(cluster) / "kept"

    @property
    def listen(self) -> None:
        """See `Runner.listen`."""
        return None

    async def reach(self, site: Site) -> Site:
        """See `Runner.reach`. Everything here is seen alike."""
        return site

    async def apply(self, instance: Instance) -> None:
        """See `Runner.apply`."""
        folder = self._layout.cluster(instance.cluster)
        around = surroundings.read(folder)
        await self._ask(
            do="run",
            name=f"{instance.cluster}/{instance.name}",
            command=list(instance.command),
            modules=list(instance.preload),
            python=instance.python or sys.executable,
            surroundings=around,
            environment=self._environment(instance, around),
            folder=instance.folder or str(folder),
            log=str(folder / "logs" / f"{instance.name}.log"),
            grace=instance.grace,
        )

    def _environment(self, instance: Instance, around: Mapping[str, str]) -> dict[str, str]:
        environment = dict(around) | {"DODAS_CLUSTER": instance.cluster, "DODAS_INSTANCE": instance.name}
        if self._layout.secrets.exists():
            environment.setdefault("BEARER_TOKEN_FILE", str(self._layout.secrets / TOKEN))
        if instance.files:
            files = self._lay_out(instance)
            environment["DODAS_FILES"] = str(files)
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(files), environment.get("PYTHONPATH")]))
        if instance.credentials:
            environment["DODAS_CREDENTIALS"] = instance.credentials
            for file, variable in (("token", "BEARER_TOKEN_FILE"), ("x509up", "X509_USER_PROXY")):
                if (path := Path(instance.credentials) / file).exists():
                    environment[variable] = str(path)
        return environment | dict(instance.variables)

    def _lay_out(self, instance: Instance) -> Path:
        """Copy the user's files beside the record, so that they stay as they were at the launch."""
        files = self._layout.cluster(instance.cluster) / "files"
        if not files.exists():
            files.mkdir(mode=0o700)
            for source in map(Path, instance.files):
                target = files / source.name
                shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
        return files

    async def observe(self, cluster: str) -> Mapping[str, Running]:
        """See `Runner.observe`."""
        seen = await self._ask(do="observe")
        prefix = f"{cluster}/"
        return {name.removeprefix(prefix): _running(view) for name, view in seen["instances"].items() if name.startswith(prefix)}

    async def clusters(self) -> frozenset[str]:
        """Names of all clusters that have an instance."""
        seen = await self._ask(do="observe")
        return frozenset(map(_cluster_of, seen["instances"]))

    async def delete(self, cluster: str, name: str) -> None:
        """See `Runner.delete`."""
        await self._ask(do="end", name=f"{cluster}/{name}")

    async def kill(self, cluster: str, name: str) -> None:
        """See `Runner.kill`."""
        await self._ask(do="kill", name=f"{cluster}/{name}")

    async def forget(self, cluster: str, name: str) -> None:
        """See `Runner.forget`."""
        self._release(cluster, name)
        await self._ask(do="forget", name=f"{cluster}/{name}")

    async def quit(self) -> None:
        """End the keeper, and with it everything that it keeps."""
        with contextlib.suppress(ControllerUnreachable):
            await self._ask(do="quit")

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """See `Runner.watch`."""
        return self._hints.watch()

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `Runner.logs`."""
        return logs.read(self._layout, cluster, instance, lines=lines)


def _reserve(port: int, reserved: contextlib.ExitStack) -> bool:
    """Reserve a port among all who do so: a name of Linux's that one process has, and that goes with it. False if it is taken."""
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(f"\0jupyter-dodas/port/{port}")
    except OSError:
        mark.close()
        return False
    reserved.enter_context(mark)
    return True


def _running(view: dict[str, Any]) -> Running:
    if view["exit"] is None:
        return Running(InstanceState.RUNNING)
    code = view["exit"]
    return Running(InstanceState.ENDED, _words(code), code == 0, view["cpu_seconds"], view["peak_memory"])


def _words(code: int) -> str:
    number = -code if code < 0 else code - 128  # a namespace's first process cannot die of a signal; it says 128 + n
    if number > 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}"


def _cluster_of(name: str) -> str:
    return name.partition("/")[0]


def _keeper_gone() -> ControllerUnreachable:
    return ControllerUnreachable(
        "The keeper of this place does not answer", cause="It was ended, and every cluster with it.", remedy="Launch again."
    )
