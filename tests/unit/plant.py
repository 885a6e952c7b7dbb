"""A kind of cluster that exists in memory: workers that take a moment to answer, and work that takes a while.

It is the other end of a `MemoryRunner`: what runs there, works here. Nothing of it waits on the machine's clock.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from jupyter_dodas.backends.base import Running
from jupyter_dodas.errors import NotFound
from jupyter_dodas.options import GroupOptions, Options, validate
from jupyter_dodas.services.base import Instance, Link, Report, Role, Service, Site
from jupyter_dodas.spec import ClusterSpec, Intent, Phase
from jupyter_dodas.testing.memory import KILLED, Act, MemoryRunner, MemoryStore

__all__ = ["BOOT", "Floor", "Plant", "PlantRunner", "PlantService"]

BOOT = 0.5
"""Seconds from the start of an instance to its first answer."""


@dataclass
class Floor:
    """What happens in one cluster."""

    waiting: list[float] = field(default_factory=list)
    """Seconds that each piece of work will take."""
    running: dict[str, tuple[Instance, float]] = field(default_factory=dict)
    draining: set[str] = field(default_factory=set)
    finished: int = 0
    submitted: int = 0
    last_active: float | None = None


class Plant:
    """Everything that works, in all clusters."""

    def __init__(self, store: MemoryStore) -> None:
        self.runner = PlantRunner(self, store)
        self.floors: dict[str, Floor] = {}
        self.listeners: dict[str, set[Callable[[], None]]] = {}
        self.broken: set[str] = set()
        """Clusters of which no instance comes up any more."""
        self.wrongs: list[str] = []
        """What no controller may do, and this one did."""
        self.allowed: Callable[[Instance], str | None] = lambda _: None
        """Tells what is wrong with starting an instance now."""
        self._since: dict[tuple[str, str], float] = {}

    def floor(self, cluster: str) -> Floor:
        return self.floors.setdefault(cluster, Floor())

    def start(self, instance: Instance) -> Act:
        """Begin to run, and answer after a moment."""
        if (wrong := self.allowed(instance)) is not None:
            self.wrongs.append(f"{instance.cluster}/{instance.name} was started: {wrong}")
        loop = asyncio.get_running_loop()
        self._since[instance.cluster, instance.name] = loop.time()
        self.floor(instance.cluster).draining.discard(instance.name)
        loop.call_later(BOOT, self._boot, instance)
        return Act()

    def _boot(self, instance: Instance) -> None:
        if instance.cluster in self.broken and any(i is instance for i in self.runner.alive):
            self.runner.end(instance.cluster, instance.name)
        self.look(instance.cluster)

    def submit(self, cluster: str, times: int, seconds: float) -> None:
        """Have some work done."""
        floor = self.floor(cluster)
        floor.waiting += [seconds] * times
        floor.submitted += times
        self.look(cluster)

    def up(self, cluster: str) -> Mapping[str, Instance]:
        """The instances that answer; none does without a hub."""
        now = asyncio.get_running_loop().time()
        found = {i.name: i for i in self.runner.alive if i.cluster == cluster and now - self._since[i.cluster, i.name] >= BOOT}
        return found if "hub" in found and cluster not in self.broken else {}

    def look(self, cluster: str) -> None:
        """Hand out work, take back that of the dead, and tell who listens."""
        loop, floor, up = asyncio.get_running_loop(), self.floor(cluster), self.up(cluster)
        for name, (instance, seconds) in list(floor.running.items()):
            if up.get(name) is not instance:
                del floor.running[name]
                floor.waiting.append(seconds)
        for name, instance in up.items():
            if floor.waiting and name != "hub" and name not in floor.running and name not in floor.draining:
                seconds = floor.waiting.pop()
                floor.running[name] = (instance, seconds)
                loop.call_later(seconds, self._finish, instance)
        if floor.waiting or floor.running:
            floor.last_active = loop.time()
        for tell in list(self.listeners.get(cluster, ())):
            tell()

    def _finish(self, instance: Instance) -> None:
        floor = self.floor(instance.cluster)
        does = floor.running.get(instance.name)
        if does is not None and does[0] is instance is self.up(instance.cluster).get(instance.name):
            del floor.running[instance.name]
            floor.finished += 1
            floor.last_active = asyncio.get_running_loop().time()
        self.look(instance.cluster)

    def report(self, cluster: str) -> Report:
        """What the cluster says of itself."""
        floor, up = self.floor(cluster), self.up(cluster)
        if not up:
            return Report()
        work = len(floor.waiting) + len(floor.running)
        ago = None if floor.last_active is None else asyncio.get_running_loop().time() - floor.last_active
        return Report(frozenset(up), frozenset(floor.running), work, work > 0, ago)

    def judge(self, cluster: str, name: str) -> None:
        """Somebody ends an instance of a cluster that goes on: it must have been drained, if it ever answered."""
        floor = self.floor(cluster)
        if name in floor.running:
            self.wrongs.append(f"{cluster}/{name} was ended at work")
        elif name in self.up(cluster) and name not in floor.draining:
            self.wrongs.append(f"{cluster}/{name} was ended without a drain")


class PlantRunner(MemoryRunner):
    """A runner whose instances are the plant's: it hears of every end, and judges those that are ordered."""

    def __init__(self, plant: Plant, store: MemoryStore) -> None:
        super().__init__(plant.start, lag=0.2)
        self._plant, self._store = plant, store

    async def delete(self, cluster: str, name: str) -> None:
        if await self._goes_on(cluster):
            self._plant.judge(cluster, name)
        await super().delete(cluster, name)

    async def _goes_on(self, cluster: str) -> bool:
        """Whether neither user nor fate ends all of a cluster."""
        try:
            spec, status = dict(await self._store.get(cluster)).values()
        except NotFound:
            return False
        return (
            spec.intent is Intent.RUN
            and spec.restarts == status.restarts
            and status.phase in (Phase.STARTING, Phase.READY, Phase.DEGRADED)
        )

    async def judge_drain(self, cluster: str, names: Collection[str]) -> None:
        """Somebody has workers freed: of a group that follows the work, and is not larger than asked, only idle ones."""
        try:
            record = await self._store.get(cluster)
        except NotFound:
            return
        if record.status.observed_generation != record.spec.generation:
            return  # decided for what was asked before
        options = validate(Options, "plant", record.spec.options)
        floor = self._plant.floor(cluster)
        for group, asked in options.all_groups().items():
            members = {i.name for i in self.alive if i.cluster == cluster and i.group == group and i.name not in floor.draining}
            for name in members & set(names) & floor.running.keys():
                if asked.adapt is not None and len(members) <= asked.adapt.maximum:
                    self._plant.wrongs.append(f"{cluster}/{name} was to end, while it worked and the work wanted it")

    def end(self, cluster: str, name: str, ended: Running = KILLED) -> None:
        super().end(cluster, name, ended)
        self._plant.look(cluster)


class PlantService(Service):
    """A hub and workers."""

    kind: ClassVar[str] = "plant"
    title: ClassVar[str] = "Plant"
    summary: ClassVar[str] = "Work without processes."

    def __init__(self, plant: Plant | None = None) -> None:
        self._plant = plant or Plant(MemoryStore())

    def roles(self, asked: Options) -> tuple[Role, ...]:
        return Role("hub", ports=("work",)), Role("worker", scaled=True)

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        cores, memory = (group.cores, int(group.memory)) if role.scaled else (1, 0)
        return Instance(name, spec.name, role.name, ("work",), cores=cores, memory=memory)

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        return PlantLink(self._plant, site().cluster, changed)


class PlantLink:
    """Hears of everything at once."""

    def __init__(self, plant: Plant, cluster: str, changed: Callable[[], None]) -> None:
        self._plant, self._cluster, self._changed = plant, cluster, changed
        plant.listeners.setdefault(cluster, set()).add(changed)

    async def report(self) -> Report:
        await asyncio.sleep(0)
        return self._plant.report(self._cluster)

    async def drain(self, instances: Sequence[str]) -> Collection[str]:
        await asyncio.sleep(0)
        floor = self._plant.floor(self._cluster)
        await self._plant.runner.judge_drain(self._cluster, set(instances) - floor.draining)
        floor.draining |= set(instances)
        return [name for name in instances if name in self._plant.up(self._cluster) and name not in floor.running]

    async def close(self) -> None:
        await asyncio.sleep(0)
        with suppress(KeyError):
            self._plant.listeners[self._cluster].discard(self._changed)
