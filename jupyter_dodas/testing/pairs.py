"""What a service on a backend owes its user: launch, use, scale, find again, stop, and nothing left."""

# ruff: noqa: D102 - a test's name says what it shows

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, Final, Protocol

import pytest

from jupyter_dodas import aio
from jupyter_dodas.errors import AlreadyExists, NotFound
from jupyter_dodas.spec import Condition, InstanceStatus, Phase
from jupyter_dodas.testing.waiting import until

__all__ = ["Ground", "PairContract"]

_UP: Final = 150.0
"""Seconds; JVMs that start in pods on a busy machine of two cores have taken a minute."""
_GONE: Final = 30.0
_ALL: Final = 10_000


class Ground(Protocol):
    """The place that a test launches on. The settings of the test's process lead to it."""

    async def kill_controller(self) -> None:
        """End the controller at once, without a word."""
        ...

    async def left(self) -> Sequence[str]:
        """Name everything that runs for clusters here: processes or pods, but not the controller."""
        ...


@pytest.mark.anyio
class PairContract:
    """Subclass it, supply `ground`, name the kind, and say in `use` how a client works with it."""

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Everything here is asyncio's."""
        return "asyncio"

    @pytest.fixture
    def ground(self) -> Ground:
        """Return a place without clusters."""
        raise NotImplementedError

    async def use(self, cluster: aio.Cluster) -> None:
        """Have some work done by a cluster, and see that the results are right."""
        raise NotImplementedError

    async def launch(self, **options: Any) -> aio.Cluster:
        """Launch ``higgs``."""
        return await aio.launch(self.kind, name="higgs", timeout=_UP, **{**self.options, **options})

    async def test_from_launch_to_stop(self, ground: Ground) -> None:
        phases: list[Phase] = []
        cluster = await self.launch(workers=2, follower=lambda record: phases.append(record.status.phase))
        async with cluster:
            record = await cluster.record()
            assert phases[-1] is record.status.phase is Phase.READY
            assert [change.phase for change in record.status.history] == [Phase.STARTING, Phase.READY]
            assert len(_workers(record.status.instances)) == 2
            assert all(i.condition is Condition.READY for i in record.status.instances.values())
            assert all(step.ended is not None for step in record.status.steps)
            assert await ground.left()
            await self.use(cluster)
            found = await aio.connect("higgs")
            assert type(found) is type(cluster)
            await self.use(found)
            assert [one.name for one in await aio.list()] == ["higgs"]
            assert set(await cluster.logs()) == set(record.status.instances)
            with pytest.raises(AlreadyExists):
                await self.launch()
        assert await cluster.phase() is Phase.STOPPED
        assert list(await aio.list()) == []
        with pytest.raises(NotFound):
            await aio.connect("higgs")
        await until(ground.left, within=_GONE, meets=lambda left: not left)

    async def test_it_grows_and_shrinks(self, ground: Ground) -> None:
        async with await self.launch(workers=1) as cluster:
            starts = dict(_starts((await cluster.record()).status.instances))
            for workers in (3, 1):
                await cluster.scale(workers)
                await cluster.wait(timeout=_UP)
                record = await cluster.record()
                assert len(_workers(record.status.instances)) == workers
                # Which one stays may depend on who is busy; it is never started again.
                starts |= {name: at for name, at in _starts(record.status.instances).items() if name not in starts}
                assert _starts(record.status.instances).items() <= starts.items()
                await self.use(cluster)

    async def test_logs_go_on(self, ground: Ground) -> None:
        """Every line once, in its order, also of who comes later."""
        said: dict[str, list[str]] = {}
        async with await self.launch(workers=1) as cluster:
            reading = asyncio.create_task(_read(cluster, said))
            await until(lambda: said.get("worker-1"), within=_UP)
            await cluster.scale(2)
            await until(lambda: said.get("worker-2"), within=_UP)
            known = await cluster.logs(lines=_ALL)
        async with asyncio.timeout(_GONE):
            await reading
        for name, text in known.items():
            assert "\n".join(said.get(name, ())).startswith(text)

    async def test_what_it_uses_is_told_to_who_looks(self, ground: Ground) -> None:
        async with await self.launch(workers=2) as cluster:
            used = await cluster.usage()
            if used is not None:  # not every place can tell
                used = await until(cluster.usage, within=_UP, meets=lambda load: load is not None and load.memory > 0)
                assert used is not None
                assert 0 <= used.cores < 64

    async def test_a_dead_controller_is_replaced_and_nothing_is_lost(self, ground: Ground) -> None:
        async with await self.launch(workers=2) as cluster:
            before = await cluster.record()
            await ground.kill_controller()
            await self.use(await aio.connect("higgs"))
            await cluster.scale(3)
            await cluster.wait(timeout=_UP)
            after = (await cluster.record()).status.instances
            assert _starts(before.status.instances).items() <= _starts(after).items(), "it was started again, not adopted"
            await self.use(cluster)
            await ground.kill_controller()
        assert await cluster.phase() is Phase.STOPPED
        await until(ground.left, within=_GONE, meets=lambda left: not left)

    async def test_it_starts_again_when_asked(self, ground: Ground) -> None:
        async with await self.launch(workers=1) as cluster:
            before = await cluster.record()
            await cluster.restart(timeout=_UP)
            after = await cluster.record()
            assert not _starts(before.status.instances).items() & _starts(after.status.instances).items()
            await self.use(cluster)

    async def test_a_name_is_free_again(self, ground: Ground) -> None:
        first = await self.launch(workers=1)
        receipt = await first.stop()
        assert receipt is not None
        assert (receipt.name, receipt.kind, receipt.outcome) == ("higgs", self.kind, "stopped")
        async with await self.launch(workers=1) as second:
            await self.use(second)
            assert await first.phase() is Phase.STOPPED
            assert await first.stop() == receipt
            assert await second.phase() is Phase.READY


def _workers(instances: Mapping[str, InstanceStatus]) -> Sequence[str]:
    return [name for name, instance in instances.items() if instance.group is not None]


def _starts(instances: Mapping[str, InstanceStatus]) -> Mapping[str, float | None]:
    return {name: instance.started for name, instance in instances.items()}


async def _read(cluster: aio.Cluster, said: dict[str, list[str]]) -> None:
    async with aclosing(cluster.tail(lines=_ALL)) as logs:
        async for lines in logs:
            for name, line in lines:
                said.setdefault(name, []).append(line)
