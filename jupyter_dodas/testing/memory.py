"""A store and a runner that exist in memory alone. They pass the contracts, so a controller cannot tell them from others.

Nothing here knows the clock of the machine: all waiting is done on the running loop, whose time a test may bend.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jupyter_dodas.backends.base import InstanceState, Running
from jupyter_dodas.backends.hints import Hints
from jupyter_dodas.errors import AlreadyExists, NotFound, StaleGeneration
from jupyter_dodas.services.base import Endpoint, Instance, Site
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Receipt, Record

__all__ = ["KILLED", "Act", "MemoryRunner", "MemoryStore"]

KILLED: Final = Running(InstanceState.ENDED, "killed by SIGKILL")

_FIRST_PORT: Final = 20_000


@dataclass
class _Kept:
    """One record, as text: what does not survive the way to a disk does not survive here."""

    spec: str
    status: str
    secrets: dict[str, bytes] = field(default_factory=dict)

    def record(self) -> Record:
        return Record(spec=ClusterSpec.model_validate_json(self.spec), status=ClusterStatus.model_validate_json(self.status))


@dataclass
class _Place:
    """What all holders of a store share."""

    kept: dict[str, _Kept] = field(default_factory=dict)
    receipts: list[str] = field(default_factory=list)
    entrusted: dict[str, bytes] = field(default_factory=dict)
    hints: Hints = field(default_factory=Hints)


class MemoryStore:
    """The `Store` that forgets. Every call lets others run first, as one that reads a disk or a network does.

    Nobody hears of what was written through the same object.
    """

    def __init__(self, place: _Place | None = None) -> None:
        self._place = place or _Place()

    def elsewhere(self) -> "MemoryStore":
        """Return the same store, as another process would hold it."""
        return MemoryStore(self._place)

    async def create(self, spec: ClusterSpec) -> Record:
        """See `Store.create`."""
        await asyncio.sleep(0)
        if spec.name in self._place.kept:
            raise AlreadyExists(spec.name)
        kept = _Kept(spec.model_dump_json(), ClusterStatus(uid=spec.uid).model_dump_json())
        self._place.kept[spec.name] = kept
        self._place.hints.tell(spec.name, self)
        return kept.record()

    async def get(self, name: str) -> Record:
        """See `Store.get`."""
        await asyncio.sleep(0)
        return self._found(name).record()

    async def list(self) -> Sequence[Record]:
        """See `Store.list`."""
        await asyncio.sleep(0)
        return [self._place.kept[name].record() for name in sorted(self._place.kept)]

    async def change(self, spec: ClusterSpec) -> Record:
        """See `Store.change`."""
        await asyncio.sleep(0)
        kept = self._found(spec.name, spec.uid)
        stored = ClusterSpec.model_validate_json(kept.spec).generation
        if stored != spec.generation:
            raise StaleGeneration(spec.name, spec.generation, stored)
        kept.spec = spec.model_copy(update={"generation": stored + 1}).model_dump_json()
        self._place.hints.tell(spec.name, self)
        return kept.record()

    async def report(self, name: str, status: ClusterStatus) -> None:
        """See `Store.report`."""
        await asyncio.sleep(0)
        self._found(name, status.uid).status = status.model_dump_json()
        self._place.hints.tell(name, self)

    async def remove(self, name: str, uid: str) -> None:
        """See `Store.remove`."""
        await asyncio.sleep(0)
        kept = self._place.kept.get(name)
        if kept is not None and uid in ("", kept.record().spec.uid):
            del self._place.kept[name]
            self._place.hints.tell(name, self)

    async def keep_secrets(self, name: str, secrets: Mapping[str, bytes]) -> None:
        """See `Store.keep_secrets`."""
        await asyncio.sleep(0)
        self._found(name).secrets.update(secrets)

    async def secrets(self, name: str) -> Mapping[str, bytes]:
        """See `Store.secrets`."""
        await asyncio.sleep(0)
        return dict(self._place.kept[name].secrets) if name in self._place.kept else {}

    async def entrust(self, name: str, secret: bytes) -> None:
        """See `Store.entrust`."""
        await asyncio.sleep(0)
        self._place.entrusted[name] = secret

    async def entrusted(self, name: str) -> bytes:
        """See `Store.entrusted`."""
        await asyncio.sleep(0)
        return self._place.entrusted.get(name, b"")

    async def account(self, receipt: Receipt) -> None:
        """See `Store.account`."""
        await asyncio.sleep(0)
        self._place.receipts.append(receipt.model_dump_json())

    async def receipts(self) -> Sequence[Receipt]:
        """See `Store.receipts`."""
        await asyncio.sleep(0)
        receipts = [Receipt.model_validate_json(line) for line in self._place.receipts]
        return list({receipt.uid: receipt for receipt in receipts}.values())

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[AsyncIterator[str], None]:
        """See `Store.watch`."""
        async with self._place.hints.watch(self) as names:
            yield names

    def _found(self, name: str, uid: str | None = None) -> _Kept:
        kept = self._place.kept.get(name)
        if kept is None or uid not in (None, kept.record().spec.uid):
            raise NotFound(name, self._place.kept)
        return kept


@dataclass(frozen=True)
class Act:
    """What an instance does at its start.

    Parameters
    ----------
    says
        What it writes to its log.
    ends
        How it ends, at once; None if it runs until it is told to end.
    """

    says: str = ""
    ends: Running | None = None


def _stay(_: Instance) -> Act:
    return Act()


class MemoryRunner:
    """The `Runner` that runs nothing.

    Parameters
    ----------
    act
        What each instance does.
    lag
        Seconds from being asked to end to having ended.
    """

    def __init__(self, act: Callable[[Instance], Act] = _stay, *, lag: float = 0.0) -> None:
        self._act, self._lag = act, lag
        self._lives = itertools.count(1)
        self._epoch = f"life-{next(self._lives)}"
        self._instances: dict[tuple[str, str], Instance] = {}
        self._running: dict[tuple[str, str], Running] = {}
        self._logs: dict[tuple[str, str], str] = {}
        self._ports = itertools.count(_FIRST_PORT)
        self._hints = Hints()

    @property
    def epoch(self) -> str:
        """See `Runner.epoch`."""
        return self._epoch

    async def place(self, cluster: str, name: str, ports: Sequence[str]) -> Endpoint:
        """See `Runner.place`."""
        await asyncio.sleep(0)
        return Endpoint("127.0.0.1", {port: next(self._ports) for port in ports})

    async def secrets_folder(self, cluster: str) -> Path:
        """See `Runner.secrets_folder`; there is no such folder."""
        await asyncio.sleep(0)
        return Path("/nowhere") / cluster

    async def kept_folder(self, cluster: str) -> Path:
        """See `Runner.kept_folder`; there is no such folder."""
        await asyncio.sleep(0)
        return Path("/nowhere") / cluster

    @property
    def listen(self) -> None:
        """See `Runner.listen`."""
        return None

    async def reach(self, site: Site) -> Site:
        """See `Runner.reach`."""
        return site

    async def apply(self, instance: Instance) -> None:
        """See `Runner.apply`."""
        await asyncio.sleep(0)
        key = (instance.cluster, instance.name)
        if key in self._running:
            return
        act = self._act(instance)
        self._instances[key] = instance
        self._running[key] = Running(InstanceState.RUNNING)
        self._logs[key] = self._logs.get(key, "") + act.says
        if act.ends is not None:
            self.end(*key, act.ends)

    async def observe(self, cluster: str) -> Mapping[str, Running]:
        """See `Runner.observe`."""
        await asyncio.sleep(0)
        return {name: running for (of, name), running in self._running.items() if of == cluster}

    async def clusters(self) -> frozenset[str]:
        """See `Runner.clusters`."""
        await asyncio.sleep(0)
        return frozenset(cluster for cluster, _ in self._running)

    async def delete(self, cluster: str, name: str) -> None:
        """See `Runner.delete`."""
        await asyncio.sleep(0)
        ended = Running(InstanceState.ENDED, "killed by SIGTERM")
        asyncio.get_running_loop().call_later(self._lag, self._end_this, self._instances.get((cluster, name)), ended)

    async def kill(self, cluster: str, name: str) -> None:
        """See `Runner.kill`."""
        await asyncio.sleep(0)
        self.end(cluster, name)

    async def forget(self, cluster: str, name: str) -> None:
        """See `Runner.forget`."""
        await asyncio.sleep(0)
        running = self._running.get((cluster, name))
        if running is not None and running.state is InstanceState.ENDED:
            del self._running[cluster, name], self._instances[cluster, name]

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[AsyncIterator[str], None]:
        """See `Runner.watch`."""
        async with self._hints.watch() as names:
            yield names

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `Runner.logs`."""
        await asyncio.sleep(0)
        return {
            name: "\n".join(text.splitlines()[-lines:])
            for (of, name), text in self._logs.items()
            if of == cluster and instance in (None, name)
        }

    # -- what befalls it ----------------------------------------------------------------------------------------------

    @property
    def alive(self) -> Sequence[Instance]:
        """Every instance that runs."""
        return [self._instances[key] for key, running in self._running.items() if running.state is InstanceState.RUNNING]

    def end(self, cluster: str, name: str, ended: Running = KILLED) -> None:
        """Have an instance end by itself."""
        running = self._running.get((cluster, name))
        if running is not None and running.state is InstanceState.RUNNING:
            self._running[cluster, name] = ended
            self._hints.tell(cluster)

    def _end_this(self, instance: Instance | None, ended: Running) -> None:
        """End it, unless it has gone and another has its name now."""
        if instance is not None and self._instances.get((instance.cluster, instance.name)) is instance:
            self.end(instance.cluster, instance.name, ended)

    def die(self) -> None:
        """End everything at once and be another one, as a keeper does that is killed and started again."""
        self._epoch = f"life-{next(self._lives)}"
        self._instances.clear()
        self._running.clear()
