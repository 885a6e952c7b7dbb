"""The toy service. It has all that a real one has, and starts in a few milliseconds."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from jupyter_dodas import options
from jupyter_dodas.options import GroupOptions
from jupyter_dodas.services.base import Instance, Link, Report, Role, Service, Site
from jupyter_dodas.spec import ClusterSpec

__all__ = ["ToyOptions", "ToyService"]


class ToyOptions(options.Options):
    """What a toy can be asked for."""

    fail: Literal["hub", "drone"] | None = Field(default=None, description="Who exits with an error as soon as it is started.")
    ignore_term: bool = Field(default=False, description="Whether drones ignore SIGTERM.")
    child: bool = Field(default=False, description="Whether each drone has a detached child of its own.")


class ToyService(Service):
    """A hub and drones."""

    kind: ClassVar[str] = "toy"
    title: ClassVar[str] = "Toy"
    summary: ClassVar[str] = "A hub with drones, to try things out."
    preload: ClassVar[tuple[str, ...]] = ("dodas_toy.hub", "dodas_toy.drone")
    Options: ClassVar[type[options.Options]] = ToyOptions

    def roles(self, asked: options.Options) -> tuple[Role, ...]:
        return Role("hub", ports=("work",), step="Hub answers"), Role("drone", scaled=True, step="Drones")

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        asked = ToyOptions.model_validate(dict(spec.options))
        hub = site.endpoints["hub"]
        arguments = [str(site.secrets / "toy.token"), hub.host, str(hub.ports["work"]), name]
        if asked.fail == role.name:
            arguments.append("--fail")
        if role.name == "drone":
            arguments += ["--ignore-term"] * asked.ignore_term + ["--child"] * asked.child
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            command=("python", "-m", f"dodas_toy.{role.name}", *arguments),
            cores=group.cores if role.scaled else 1,
            memory=int(group.memory) if role.scaled else 0,
            grace=1.0,
        )

    def secrets(self, spec: ClusterSpec) -> Mapping[str, bytes]:
        return {"toy.token": secrets.token_hex(16).encode()}

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        return ToyLink(site, changed)

    def addresses(self, site: Site) -> Mapping[str, str]:
        return {"hub": site.endpoints["hub"]["work"]} if "hub" in site.endpoints else {}


class ToyLink:
    """Listens to what the hub says, and asks it for drains."""

    def __init__(self, site: Callable[[], Site], changed: Callable[[], None]) -> None:
        self._site, self._changed = site, changed
        self._report = Report()
        self._ended: float | None = None
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError):
                reader, writer = await self._connect("watch")
                try:
                    while line := await reader.readline():
                        self._hear(json.loads(line))
                finally:
                    writer.close()
            if self._report != Report():
                self._report = Report()
                self._changed()
            await asyncio.sleep(0.02)

    async def _connect(self, role: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        site = self._site()
        hub = site.endpoints["hub"]
        reader, writer = await asyncio.open_connection(hub.host, hub.ports["work"])
        token = (site.secrets / "toy.token").read_text()
        writer.write(json.dumps({"token": token, "role": role}).encode() + b"\n")
        return reader, writer

    def _hear(self, said: dict[str, object]) -> None:
        ready, busy = said["ready"], said["busy"]
        assert isinstance(ready, list)
        assert isinstance(busy, list)
        wanted, last = said["wanted"], said["last_active"]
        self._report = Report(
            ready=frozenset(ready),
            busy=frozenset(busy),
            wanted=wanted if isinstance(wanted, int) else None,
            active=bool(said["active"]),
        )
        # What it says of the past ages with us.
        self._ended = time.monotonic() - last if isinstance(last, int | float) else None
        self._changed()

    async def report(self) -> Report:
        ago = None if self._ended is None else time.monotonic() - self._ended
        return replace(self._report, last_active=ago)

    async def drain(self, instances: Sequence[str]) -> Collection[str]:
        reader, writer = await self._connect("drain")
        writer.write(json.dumps({"drain": list(instances)}).encode() + b"\n")
        try:
            drained: list[str] = json.loads(await reader.readline())["drained"]
        finally:
            writer.close()
        return drained

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
