"""TFaaS endpoints on this machine: callers get their answers whoever comes, goes or is killed, and nothing is left in the end."""

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas import aio
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import until
from tests.endpoints import UP, Load, caller, deploy, predict, publish, replaced, scaling, stocked, upload, versions
from tests.place import Place, Process

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def launch(name: str = "tagger", **options: Any) -> aio.Cluster:
    return await aio.launch("tfaas", name=name, timeout=UP, **options)


@pytest.fixture
def store(place: Place) -> str:
    """A folder with two versions of ``scale``, of which the first is published."""
    return stocked(place.root / "models", 1.0, 2.0)


def process(place: Place, instance: str, cluster: str = "tagger") -> Process:
    """The process of an instance, below its guard."""
    return place.children(place.instances(cluster)[instance])[0]


def left(place: Place) -> Sequence[str]:
    """Name the folders of clusters."""
    return [folder.name for folder in (place.state / "clusters").iterdir()]


async def answered(load: Load, more: int = 50) -> None:
    """Wait for some more answers."""
    wanted = len(load.answers) + more
    await until(lambda: len(load.answers), within=UP, meets=lambda count: count >= wanted)


async def scaled(cluster: aio.Cluster, replicas: int) -> None:
    """Have so many replicas, and wait until they answer."""
    await cluster.scale(replicas)
    await cluster.wait(timeout=UP)
    record = await cluster.record()
    assert len([name for name, one in record.status.instances.items() if one.group]) == replicas


async def test_no_request_fails_while_replicas_come_and_go_and_versions_are_swapped(place: Place, store: str) -> None:
    async with await launch(store=store) as endpoint, caller(endpoint) as client:
        second, first = await versions(client)
        async with Load(client) as load:
            await answered(load)
            await scaled(endpoint, 3)
            await answered(load)
            await publish(client, "scale", second)
            await until(lambda: load.answers[-1], within=UP, meets=lambda answer: answer == 2.0)
            await scaled(endpoint, 1)
            await answered(load)
            await publish(client, "scale", first)
            await until(lambda: load.answers[-1], within=UP, meets=lambda answer: answer == 1.0)
            await scaled(endpoint, 0)
            await answered(load)
        assert load.failures == []
        assert set(load.answers) == {1.0, 2.0}


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(10_000)], ids="seed-{}".format)
async def test_no_request_fails_when_a_replica_is_killed(place: Place, store: str, seed: int) -> None:
    draw = random.Random(seed)
    async with await launch(replicas=2, store=store) as endpoint, caller(endpoint) as client:
        async with Load(client) as load:
            for _ in range(3):
                await answered(load, draw.randrange(10, 100))
                victim, before = draw.choice(["worker-1", "worker-2"]), await endpoint.record()
                process(place, victim).kill()
                await answered(load)
                await replaced(endpoint, victim, before)
        assert load.failures == []


async def test_a_killed_server_is_started_again_and_finds_its_models(place: Place) -> None:
    async with await launch() as endpoint:
        async with caller(endpoint) as client:
            await deploy(client, "scale", 1.0)
            await deploy(client, "scale", 3.0)
            staged = await upload(client, "other", scaling(5.0))
            before = await endpoint.record()
            process(place, "server").kill()
        await replaced(endpoint, "server", before)
        async with caller(endpoint) as client:
            assert await predict(client) == 3.0
            assert (await client.post("/dodas/v1/models/scale/rollback")).status_code == 200
            assert await predict(client) == 1.0
            await publish(client, "other", staged)
            assert await predict(client, "other") == 5.0
        await endpoint.restart(timeout=UP)
        async with caller(endpoint) as client:
            assert await predict(client) == 1.0
    await until(
        lambda: left(place), within=30, meets=lambda names: not names
    )  # what has no folder of its own ends with its endpoint


async def test_models_in_a_folder_outlive_their_endpoint(place: Place, store: str) -> None:
    for name in ("one", "another"):
        async with await launch(name, store=store) as endpoint, caller(endpoint) as client:
            assert await predict(client) == 1.0
    assert Path(store).is_dir()


async def test_replicas_follow_requests(place: Place, store: str) -> None:
    """From none, where the server itself answers, to some, and back."""
    async with await launch(adapt=[0, 2], target=2, store=store) as endpoint, caller(endpoint) as client:
        assert replicas(place) == []
        async with Load(client, callers=16) as load:
            await until(lambda: replicas(place), within=UP, meets=bool)
            await answered(load)
        assert load.failures == []
        await until(lambda: replicas(place), within=UP, meets=lambda names: not names)
        assert await predict(client) == 1.0


def replicas(place: Place) -> Sequence[str]:
    return [name for name in place.instances("tagger") if name != "server"]


async def test_requests_keep_it_and_looks_do_not(place: Place, store: str) -> None:
    """A page that is open asks every few seconds how things are; nobody uses the endpoint for that."""
    async with await launch(idle_timeout=4, store=store) as endpoint, caller(endpoint) as client:
        began = time.monotonic()
        while time.monotonic() - began < 6:
            assert await predict(client) == 1.0
            await asyncio.sleep(0.5)
        looking = asyncio.create_task(_look(client))
        await until(endpoint.phase, within=60, meets=lambda phase: phase is Phase.STOPPED)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look(client: Any) -> None:
    while True:
        await client.get("/dodas/v1/status")
        await asyncio.sleep(0.2)


async def test_two_endpoints_know_nothing_of_each_other(place: Place, store: str) -> None:
    other = stocked(place.root / "others", 2.0)
    async with await launch("one", store=store) as one, await launch("two", store=other) as two:
        async with caller(one) as first, caller(two) as second:
            assert (await predict(first), await predict(second)) == (1.0, 2.0)
            swapped = second.headers["Authorization"]
            assert (await first.get("/dodas/v1/models", headers={"Authorization": swapped})).status_code == 401
        await one.stop()
        async with caller(two) as second:
            assert await predict(second) == 2.0


async def test_who_may_call_is_the_endpoints_policy(place: Place, store: str) -> None:
    async with await launch(anonymous="predict", store=store) as endpoint, caller(endpoint, token=False) as stranger:
        assert await predict(stranger) == 1.0
        assert (await stranger.post("/dodas/v1/models/scale/rollback")).status_code in (401, 403)


async def test_a_server_that_is_told_to_end_comes_back(place: Place, store: str) -> None:
    async with await launch(store=store) as endpoint:
        before = await endpoint.record()
        process(place, "server").kill(signal.SIGTERM)
        await replaced(endpoint, "server", before)
        async with caller(endpoint) as client:
            assert await predict(client) == 1.0


async def test_nothing_is_left_of_a_stopped_endpoint(place: Place, store: str) -> None:
    async with await launch(replicas=2, store=store) as endpoint, caller(endpoint) as client:
        assert await predict(client) == 1.0
    await until(place.left, within=30, meets=lambda left: not left)
    await until(lambda: left(place), within=30, meets=lambda names: not names)
