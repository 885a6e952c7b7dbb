"""Instances of one Dask cluster as processes, run as their service describes them, without any backend."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from distributed import Client

from jupyter_dodas.services.base import Endpoint, Report, Role, Site
from jupyter_dodas.services.dask.security import security
from jupyter_dodas.services.dask.service import DaskOptions, DaskService
from jupyter_dodas.services.link import ReportingLink
from jupyter_dodas.spec import ClusterSpec
from jupyter_dodas.testing.waiting import until


class Processes:
    """A scheduler and workers of the cluster ``higgs``."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.service = DaskService()
        self.options = DaskOptions(**{"memory": "1 GiB", **options})
        self.spec = ClusterSpec(
            name="higgs", uid="1", kind="dask", owner="mira", created=0.0, options=self.options.model_dump(mode="json")
        )
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700, parents=True)
        for name, content in self.service.secrets(self.spec).items():
            (secrets / name).write_bytes(content)
        self.roles = {role.name: role for role in self.service.roles(self.options)}
        ports = dict(zip(self.roles["scheduler"].ports, free_ports(3), strict=True))
        self.site = Site("higgs", {"scheduler": Endpoint("127.0.0.1", ports)}, secrets)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def addresses(self) -> Mapping[str, str]:
        return self.service.addresses(self.site)

    @property
    def endpoint(self) -> Endpoint:
        return self.site.endpoints["scheduler"]

    def start(self, *names: str) -> None:
        for name in names:
            group = self.options.all_groups().get(name.rpartition("-")[0], self.options)
            instance = self.service.instance(name, self._role(name), group, self.spec, self.site)
            assert instance.command[0] == "python"
            with (self.folder / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [sys.executable, *instance.command[1:]],
                    cwd=self.folder,
                    env={**os.environ, **instance.variables, "PYTHONPATH": str(Path(__file__).parent)},
                    stdout=log,
                    stderr=log,
                )

    def _role(self, name: str) -> Role:
        return self.roles["scheduler" if name == "scheduler" else "worker"]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def end(self, name: str, number: signal.Signals = signal.SIGTERM, within: float = 5) -> int:
        """Send a signal and return the exit code."""
        self.running[name].send_signal(number)
        return self.running.pop(name).wait(within)

    async def ended(self, name: str, within: float = 10) -> int:
        """Wait until a process has ended by itself, and return its exit code."""

        code = await until(self.running[name].poll, within=within, meets=lambda code: code is not None)
        assert code is not None
        return code

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()
        self.running.clear()

    def client(self, **settings: Any) -> Client:
        return Client(  # type: ignore[no-untyped-call]
            self.addresses["scheduler"], security=security(self.site.secrets), set_as_default=False, **settings
        )

    async def complete(self) -> None:
        """Wait until everybody who runs answers."""
        async with self.link() as watched:
            await watched.until(lambda report: report.ready == set(self.running))

    @asynccontextmanager
    async def link(self) -> AsyncIterator["Watched"]:
        watched = Watched(self)
        try:
            yield watched
        finally:
            await watched.link.close()


class Watched:
    """A link, and how often it said that something changed."""

    def __init__(self, processes: Processes) -> None:
        self.changes = 0
        self.link = ReportingLink(lambda: processes.site, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def until(self, good: Callable[[Report], object], within: float = 20) -> Report:
        return await until(self.link.report, within=within, meets=good)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
