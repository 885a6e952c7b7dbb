"""Rounds of faults on real pods. Each draws the moment at which somebody is killed, and sees that nobody's work suffers.

``--rounds N`` runs more of them; a seed that failed is repeated with ``--seed S --rounds 1``.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.spec import Condition, Phase
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace, fail, install_controller, lose_the_api_server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
]

UP: Final = 60.0
AWAY: Final = 3
TASKS: Final = 16
JOB: Final = "squares"
"""The name under which a scheduler keeps a job whose client may lose its way."""

Strike = Callable[["Scene"], Awaitable[None]]


async def test_round(round_seed: int, namespace: Namespace) -> None:
    """Targets take turns, so that ten rounds meet all of them; the moment is chance."""
    scene = Scene(namespace, random.Random(round_seed).random())
    await ROUNDS[round_seed % len(ROUNDS)](scene)
    await until(namespace.left, within=30, meets=lambda left: not left)
    assert [receipt["name"] for receipt in namespace.receipts()] == ["higgs"]


class Scene:
    """A namespace, and a moment between 0 and 1 from the beginning of what is disturbed to its likely end."""

    def __init__(self, namespace: Namespace, moment: float) -> None:
        self.namespace, self.moment = namespace, moment

    # -- the work -----------------------------------------------------------------------------------------------------

    async def launch(self, workers: int = 2) -> DaskCluster:
        cluster = await aio.launch("dask", name="higgs", workers=workers, timeout=UP)
        assert isinstance(cluster, DaskCluster)
        return cluster

    @asynccontextmanager
    async def job(self, cluster: DaskCluster) -> AsyncIterator[Sequence[Any]]:
        """Have squares computed, slowly, and enter when as many are done as the moment says."""
        async with await cluster.client() as client:

            def slow_square(number: int) -> int:
                time.sleep(0.2)
                return number**2

            squares = client.map(slow_square, range(TASKS), pure=False)
            await client.publish_dataset(squares, name=JOB)
            enough = 1 + int(0.6 * TASKS * self.moment)
            await until(lambda: sum(square.done() for square in squares), within=UP, meets=lambda done: done >= enough)
            assert not all(square.done() for square in squares)
            yield squares

    async def finished(self, cluster: DaskCluster) -> Sequence[int]:
        """Return what the job has come to, to whoever comes for it."""
        async with await cluster.client() as client:
            squares: Sequence[int] = await client.gather(await client.get_dataset(JOB))
            return squares

    async def works(self, cluster: DaskCluster, workers: int) -> None:
        """See that the cluster is as it was asked for, and computes."""
        await until(lambda: self.whole(cluster, workers), within=UP)
        async with await cluster.client() as client:
            await client.wait_for_workers(workers, timeout=UP)
            assert await client.gather(client.map(pow, range(10), [2] * 10)) == [number**2 for number in range(10)]

    async def whole(self, cluster: DaskCluster, workers: int) -> bool:
        """Whether it is ready with all that was asked for, and nothing else of it is there."""
        status = (await cluster.record()).status
        names = {f"higgs-{name}" for name in status.instances}
        return (
            status.phase is Phase.READY
            and len(names) == 1 + workers
            and all(one.condition is Condition.READY for one in status.instances.values())
            and {pod["metadata"]["name"] for pod in self.namespace.pods() if _runs(pod)} == names
        )

    # -- those who are struck -----------------------------------------------------------------------------------------

    async def delete(self, *what: str) -> None:
        """Have a pod deleted at once, without a word to it."""
        await asyncio.to_thread(self.namespace.kubectl, "delete", "pod", *what, "--grace-period=0", "--force")

    async def end_process(self, pod: str) -> None:
        """End the first process of a pod from outside, as a node short of memory does."""
        (found,) = [one for one in self.namespace.pods() if one["metadata"]["name"] == pod]
        os.kill(self.namespace.process(found["metadata"]["uid"]), signal.SIGKILL)

    async def pass_some(self, seconds: float) -> None:
        """Let the moment come, of so many seconds."""
        at = time.monotonic() + seconds * self.moment
        await until(lambda: time.monotonic() >= at, within=UP)


def _runs(pod: Any) -> bool:
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]


SQUARES: Final = [number**2 for number in range(TASKS)]


# -- in the middle of a job -------------------------------------------------------------------------------------------


def _a_worker(strike: Callable[[Scene, str], Awaitable[None]]) -> Strike:
    """A job outlives a worker, and the worker is replaced."""

    async def round_(scene: Scene) -> None:
        async with await scene.launch() as cluster:
            async with scene.job(cluster) as squares:
                await strike(scene, "higgs-worker-1")
                assert await squares[0].client.gather(squares) == SQUARES
            await scene.works(cluster, 2)

    return round_


def _the_scheduler(strike: Callable[[Scene, str], Awaitable[None]]) -> Strike:
    """A job is lost with its scheduler. The next one finds a new scheduler at the same address, and all workers there."""

    async def round_(scene: Scene) -> None:
        async with await scene.launch() as cluster:
            address = (await cluster.record()).status.addresses["scheduler"]
            before = (await cluster.record()).status.instances["scheduler"].started
            async with scene.job(cluster):
                await strike(scene, "higgs-scheduler")
            await until(cluster.record, within=UP, meets=lambda record: record.status.instances["scheduler"].started != before)
            await scene.works(cluster, 2)
            assert (await cluster.record()).status.addresses["scheduler"] == address

    return round_


async def _the_controller_of_a_user(scene: Scene) -> None:
    """Whoever asks for something next starts another controller, which goes on where the first was."""
    async with await scene.launch() as cluster:
        async with scene.job(cluster) as squares:
            controller = scene.namespace.place.controller()
            controller.kill()
            await until(controller.alive, within=5, meets=lambda alive: not alive)
            await cluster.scale(3)
            assert await squares[0].client.gather(squares) == SQUARES
        # Who waits asks again: threads of the one that was killed may have held its lock for a moment longer.
        await cluster.wait(timeout=UP)
        await scene.works(cluster, 3)


async def _the_controller_of_the_namespace(scene: Scene) -> None:
    """Its Deployment starts another, which waits until the first has certainly lost the Lease."""
    install_controller(scene.namespace)
    scene.namespace.install("user.yaml")
    scene.namespace.become("alice", "jupyter-dodas-user")
    async with await scene.launch() as cluster:
        async with scene.job(cluster) as squares:
            await scene.delete("-l", "app.kubernetes.io/name=jupyter-dodas-controller")
            await cluster.scale(3)
            assert await squares[0].client.gather(squares) == SQUARES
        await scene.works(cluster, 3)
    assert not scene.namespace.place.controllers()


async def _the_kubelet(scene: Scene) -> None:
    """Pods run on without it, and it starts what was asked for meanwhile as soon as it is back."""
    async with await scene.launch() as cluster:
        async with scene.job(cluster):
            failing = fail("kubelet", 3)
            await cluster.scale(3)
        await asyncio.to_thread(failing.wait)
        await scene.works(cluster, 3)
        assert await scene.finished(cluster) == SQUARES


# -- without an API server --------------------------------------------------------------------------------------------


async def _no_api_server_at_a_launch(scene: Scene) -> None:
    launching = asyncio.create_task(scene.launch())
    await until(lambda: scene.namespace.left("configmaps"), within=UP)
    await scene.pass_some(2.5)
    await asyncio.to_thread(lose_the_api_server, AWAY)
    async with await launching as cluster:
        await scene.works(cluster, 2)


async def _no_api_server_at_a_change_of_size(scene: Scene) -> None:
    async with await scene.launch() as cluster:
        async with scene.job(cluster):
            await cluster.scale(3)
            await scene.pass_some(1.5)
            await asyncio.to_thread(lose_the_api_server, AWAY)
        await scene.works(cluster, 3)
        assert await scene.finished(cluster) == SQUARES


async def _no_api_server_at_a_stop(scene: Scene) -> None:
    cluster = await scene.launch()
    await scene.works(cluster, 2)
    stopping = asyncio.create_task(cluster.stop())
    await scene.pass_some(1)
    await asyncio.to_thread(lose_the_api_server, AWAY)
    receipt = await stopping
    assert receipt is not None
    assert receipt.outcome == "stopped"


ROUNDS: Final[Sequence[Strike]] = (
    _a_worker(Scene.delete),
    _the_scheduler(Scene.delete),
    _the_controller_of_a_user,
    _the_kubelet,
    _no_api_server_at_a_launch,
    _a_worker(Scene.end_process),
    _the_scheduler(Scene.end_process),
    _the_controller_of_the_namespace,
    _no_api_server_at_a_change_of_size,
    _no_api_server_at_a_stop,
)
