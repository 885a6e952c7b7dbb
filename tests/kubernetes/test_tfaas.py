"""TFaaS endpoints in pods: what is uploaded is predicted with, whichever pod dies, and nothing is left in the end."""

from collections.abc import AsyncIterator

import pytest

from jupyter_dodas import aio
from jupyter_dodas.testing.waiting import until
from tests.endpoints import UP, Load, caller, deploy, predict, replaced, scaling, upload
from tests.namespace import Namespace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture
async def endpoint(namespace: Namespace) -> AsyncIterator[aio.Cluster]:
    """An endpoint with two replicas."""
    async with await aio.launch("tfaas", name="tagger", replicas=2, timeout=UP) as cluster:
        yield cluster
    await until(namespace.left, within=60, meets=lambda left: not left)


def kill(namespace: Namespace, instance: str) -> None:
    """Have a pod go at once, as with its node."""
    namespace.kubectl("delete", "pod", f"tagger-{instance}", "--grace-period=0", "--force", "--wait=false")


async def test_no_request_fails_while_replicas_die_come_and_go(namespace: Namespace, endpoint: aio.Cluster) -> None:
    async with caller(endpoint) as client:
        await deploy(client, "scale", 1.0)
        async with Load(client, callers=4) as load:
            await until(lambda: len(load.answers), within=UP, meets=lambda count: count > 50)
            before = await endpoint.record()
            kill(namespace, "worker-1")
            await replaced(endpoint, "worker-1", before)
            for replicas in (3, 1):
                await endpoint.scale(replicas)
                await endpoint.wait(timeout=UP)
            more = len(load.answers) + 50
            await until(lambda: len(load.answers), within=UP, meets=lambda count: count > more)
        assert load.failures == []
        assert set(load.answers) == {1.0}


async def kept(namespace: Namespace, versions: int) -> None:
    """Wait until a replica has a copy of so many versions, and knows that two of them were published."""
    root = "/tmp/kept/replicas/worker-1/kept/models"
    look = f"find {root} -name manifest.json; grep -l '\"generation\":2' {root}/scale/model.json"
    asked = ("exec", "tagger-worker-1", "--", "sh", "-c", look)
    await until(lambda: namespace.kubectl(*asked, check=False).split(), within=UP, meets=lambda found: len(found) == versions + 1)


async def test_a_new_server_has_the_models_of_the_one_that_died(namespace: Namespace, endpoint: aio.Cluster) -> None:
    async with caller(endpoint) as client:
        await deploy(client, "scale", 1.0)
        await deploy(client, "scale", 2.0)
        staged = await upload(client, "other", scaling(5.0))
        before = await endpoint.record()
        await kept(namespace, 3)
    kill(namespace, "server")
    await replaced(endpoint, "server", before)
    async with caller(endpoint) as client:
        # A process that was killed hard may tell the controller for a moment more that all is well.
        await until(lambda: client.get("/v2/models/scale/ready"), within=UP, meets=lambda said: said.status_code == 200)
        assert await predict(client) == 2.0
        assert (await client.post("/dodas/v1/models/scale/rollback")).status_code == 200
        assert await predict(client) == 1.0
        versions = (await client.get("/dodas/v1/models/other")).json()["versions"]
        assert [one["version"] for one in versions] == [staged]
