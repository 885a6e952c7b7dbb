"""What may befall a namespace as a whole: its API server away, credentials revoked, the namespace deleted."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from jupyter_dodas import aio
from jupyter_dodas.errors import CredentialsRefused, DodasError, InvalidSetting, PlaceUnreachable
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace, fail, lose_the_api_server

if TYPE_CHECKING:
    from distributed import Client

pytestmark = pytest.mark.anyio


async def test_an_api_server_that_is_away_for_long_changes_nothing(namespace: Namespace) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=2, timeout=60)
    assert isinstance(cluster, DaskCluster)
    before = {name: one.started for name, one in (await cluster.record()).status.instances.items()}
    losing = asyncio.create_task(asyncio.to_thread(lose_the_api_server, 30))
    await until(_unreachable(cluster), within=10)
    await losing
    await until(_reachable(cluster), within=60)
    controller = namespace.place.controller()
    await cluster.scale(3)
    await cluster.wait(timeout=60)
    assert controller.alive(), "it waited for its place"
    after = {name: one.started for name, one in (await cluster.record()).status.instances.items()}
    assert before.items() <= after.items()
    async with await cluster.client() as client:
        assert await client.submit(sum, [1, 2]) == 3
    await cluster.stop()


def _unreachable(cluster: aio.Cluster):  # type: ignore[no-untyped-def]
    async def look() -> bool:
        try:
            await cluster.record()
        except PlaceUnreachable:
            return True
        return False

    return look


def _reachable(cluster: aio.Cluster):  # type: ignore[no-untyped-def]
    async def look() -> bool:
        try:
            await cluster.record()
        except DodasError:
            return False
        return True

    return look


async def test_a_killed_kubelet_ends_nothing(namespace: Namespace) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=2, timeout=60)
    assert isinstance(cluster, DaskCluster)
    before = {name: one.started for name, one in (await cluster.record()).status.instances.items()}
    await asyncio.to_thread(fail("kubelet", 5).wait)
    async with await cluster.client() as client:
        assert await client.submit(sum, [1, 2]) == 3
    assert before == {name: one.started for name, one in (await cluster.record()).status.instances.items()}
    await cluster.stop()


async def test_revoked_credentials_are_told(namespace: Namespace) -> None:
    namespace.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "reader", "namespace": namespace.name},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
        }
    )
    namespace.become("alice", "reader")
    assert list(await aio.list()) == []
    namespace.kubectl("delete", "serviceaccount", "alice")

    async def refused() -> bool:
        try:
            await aio.list()
        except CredentialsRefused as error:
            return "Sign in" in error.remedy
        return False

    await until(refused, within=30)


async def test_a_namespace_that_is_being_deleted_takes_nothing(namespace: Namespace) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=1, timeout=60)
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")
    with pytest.raises((InvalidSetting, PlaceUnreachable)) as raised:
        await aio.launch("dask", name="w", workers=1)
    assert namespace.name in raised.value.message
    await until(cluster.phase, within=60, meets=lambda phase: phase == "stopped")


async def test_a_namespace_that_is_not_there_is_named(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_KUBERNETES_NAMESPACE", f"{namespace.name}-none")
    with pytest.raises((InvalidSetting, PlaceUnreachable)) as raised:
        await aio.launch("dask", name="higgs")
    assert f"{namespace.name}-none" in raised.value.message


# -- nobody's work is done twice --------------------------------------------------------------------------------------


def squaring(nap: float) -> Callable[[int], int]:
    """Return a function that leaves a mark with the scheduler, and squares a number, slowly."""

    def square(number: int) -> int:
        from distributed import get_worker

        get_worker().log_event("ran", number)
        time.sleep(nap)
        return number**2

    return square


async def ran(client: "Client") -> Counter[int]:
    """Tell how often each square was computed."""
    return Counter(number for _, number in await client.get_events("ran"))


async def test_no_task_is_computed_twice_while_a_cluster_shrinks_and_grows(namespace: Namespace) -> None:
    async with await aio.launch("dask", name="higgs", workers=4, timeout=60) as cluster:
        assert isinstance(cluster, DaskCluster)
        async with await cluster.client() as client:
            squares: list[Any] = []

            async def keep_busy() -> None:
                while True:
                    new = range(len(squares), len(squares) + 8)
                    squares.extend(client.map(squaring(0.3), new, pure=False))
                    await until(lambda: sum(not one.done() for one in squares), within=60, meets=lambda undone: undone < 12)

            busy = asyncio.create_task(keep_busy())
            for workers in (1, 3, 2):
                some = 4 + sum(one.done() for one in squares)
                await until(lambda: sum(one.done() for one in squares), within=60, meets=some.__le__)
                await cluster.scale(workers)
                await cluster.wait(timeout=60)
                assert not busy.done()
            busy.cancel()
            assert await client.gather(squares) == [number**2 for number in range(len(squares))]
            assert await ran(client) == Counter(range(len(squares)))


async def test_a_node_that_is_emptied_takes_neither_tasks_nor_data_along(namespace: Namespace) -> None:
    """Who empties a node deletes its pods, and gives them their time."""
    async with await aio.launch("dask", name="higgs", workers=2, timeout=60) as cluster:
        assert isinstance(cluster, DaskCluster)
        before = (await cluster.record()).status.instances["worker-1"]
        async with await cluster.client() as client:
            there = {"workers": "worker-1", "allow_other_workers": True, "pure": False}
            kept = client.map(squaring(0), range(20), **there)
            await client.gather(kept)
            slow = client.submit(squaring(4), 100, **there)
            await until(lambda: ran(client), within=10, meets=lambda ran: 100 in ran)
            namespace.kubectl("delete", "pod", "higgs-worker-1", "--wait=false")
            assert await slow == 100**2
            assert await client.gather(kept) == [number**2 for number in range(20)]
            again = await until(
                cluster.record, within=60, meets=lambda one: one.status.instances["worker-1"].started != before.started
            )
            assert again.status.instances["worker-1"].last_exit == "exit code 0"
            await client.wait_for_workers(2, timeout=60)
            assert await client.gather(kept) == [number**2 for number in range(20)]
            assert await ran(client) == Counter([*range(20), 100])


# -- two writers ------------------------------------------------------------------------------------------------------

KEEPS = """
import jupyter_dodas as dodas
cluster = dodas.connect("higgs")
print("here", flush=True)
for hours in range(1, 7):
    cluster.keep(hours=hours)
    print(hours, flush=True)
"""


async def test_two_who_change_a_record_at_once_lose_nothing_of_each_other(namespace: Namespace) -> None:
    """Each change is written on what was read, or refused and made anew; the controller writes all the while."""
    cluster = await aio.launch("dask", name="higgs", workers=0, timeout=60)
    first = (await cluster.record()).spec
    other = namespace.place.run(KEEPS)
    assert other.stdout is not None
    assert other.stdout.readline() == b"here\n"
    for workers in range(1, 7):
        await cluster.adapt(0, workers)
    assert await asyncio.to_thread(other.stdout.read) == b"".join(b"%d\n" % hours for hours in range(1, 7))
    last = (await cluster.record()).spec
    assert last.generation == first.generation + 12
    assert last.options["adapt"] == {"minimum": 0, "maximum": 6}
    assert last.keep_until is not None
    assert last.keep_until > time.time() + 5.9 * 3600
    await cluster.stop()
