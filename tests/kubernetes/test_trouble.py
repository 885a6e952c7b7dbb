"""What keeps pods from running, told in words with a remedy within ten seconds, and what befalls those that run."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas import aio
from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.spec import Phase, Record
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace

pytestmark = pytest.mark.anyio

SOON = 10.0


async def told(cluster: aio.Cluster) -> Record:
    """Return its record, as soon as something is said to be wrong."""
    return await until(cluster.record, within=SOON, meets=lambda record: record.status.problem is not None)


@pytest.fixture
def pod(namespace: Namespace, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_KUBERNETES_POD", json.dumps(request.param))


TROUBLES: list[Any] = [
    pytest.param(
        {}, {"environment": {"image": "localhost/no-such/image:9"}}, "image", "no-such/image:9", "environment.image", id="image"
    ),
    pytest.param({}, {"environment": {"image": "Not An Image"}}, "refused|image", "", "kubernetes_image|options", id="image-name"),
    pytest.param({}, {"memory": "4 TiB"}, "unschedulable", "Insufficient memory", "smaller workers", id="memory"),
    pytest.param({}, {"gpus": 2}, "unschedulable", "nvidia.com/gpu", "GPUs", id="gpus"),
    pytest.param({"node_selector": {"disk": "none"}}, {}, "unschedulable", "selector", "node selector", id="selector"),
    pytest.param({"volumes": [{"mount": "/data", "claim": "none"}]}, {}, "unschedulable", '"none" not found', "claim", id="claim"),
    pytest.param({"volumes": [{"mount": "/data", "config": "none"}]}, {}, "mount", '"none" not found', "configmaps", id="mount"),
]


@pytest.mark.parametrize(("pod", "options", "code", "cause", "remedy"), TROUBLES, indirect=["pod"])
async def test_what_cannot_run_is_explained(
    namespace: Namespace, pod: None, options: Mapping[str, Any], code: str, cause: str, remedy: str
) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=1, wait=False, **options)
    problem = (await told(cluster)).status.problem
    assert problem is not None
    assert problem.code in code.split("|")
    assert cause in f"{problem.message} {problem.cause}"
    assert any(word in problem.remedy for word in remedy.split("|")), problem.remedy
    await cluster.stop()
    assert not namespace.left("pods")


HOSTILE: list[Any] = [
    {"hostNetwork": True},
    {"host_network": True},
    {"serviceAccountName": "jupyter-dodas-controller"},
    {"securityContext": {"runAsUser": 0}},
    {"containers": [{"securityContext": {"privileged": True}}]},
    {"volumes": [{"mount": "/node", "hostPath": {"path": "/"}}]},
    {"volumes": [{"mount": "/run/dodas/secrets", "config": "mine"}]},
    {"labels": {"jupyter-dodas/cluster": "another"}},
]


@pytest.mark.parametrize("pod", HOSTILE, indirect=True, ids=str)
async def test_what_must_not_be_added_to_pods_is_refused(namespace: Namespace, pod: None) -> None:
    with pytest.raises(InvalidSetting, match="kubernetes_pod"):
        await aio.launch("dask", name="higgs", workers=1, wait=False)
    assert not namespace.left()


async def test_a_quota_of_zero_is_waited_for(namespace: Namespace) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": namespace.name}}
    namespace.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    await until(lambda: "pods: 0/0" in namespace.kubectl("get", "quota"), within=10)
    cluster = await aio.launch("dask", name="higgs", workers=1, wait=False)
    record = await told(cluster)
    assert record.status.problem is not None
    assert (record.status.phase, record.status.problem.code) == (Phase.PENDING, "quota")
    assert "pods=0" in record.status.problem.cause
    namespace.kubectl("delete", "quota", "none")
    await cluster.wait(timeout=60)
    assert (await cluster.record()).status.problem is None
    await cluster.stop()


async def test_what_was_held_can_be_stopped(namespace: Namespace) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": namespace.name}}
    namespace.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    await until(lambda: "pods: 0/0" in namespace.kubectl("get", "quota"), within=10)
    cluster = await aio.launch("dask", name="higgs", workers=1, wait=False)
    await told(cluster)
    await cluster.stop(timeout=20)
    await until(namespace.left, within=20, meets=lambda left: not left)


async def test_a_worker_out_of_memory_is_named_as_such(namespace: Namespace) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=1, memory="256 MiB", timeout=60)
    assert isinstance(cluster, DaskCluster)
    async with await cluster.client() as client:
        eating = client.submit(bytearray, 2**30, allow_other_workers=False, retries=0)
        ended = await until(
            cluster.record,
            within=30,
            meets=lambda record: "memory" in (record.status.instances["worker-1"].last_exit or ""),
        )
        eating.release()
    assert "more memory than it has" in (ended.status.instances["worker-1"].last_exit or "")
    receipt = await cluster.stop()
    assert receipt is not None
    assert receipt.peak_memory > 240 * 2**20


@pytest.mark.parametrize("victim", ["worker-1", "scheduler"])
async def test_a_killed_pod_is_replaced(namespace: Namespace, victim: str) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=2, timeout=60)
    assert isinstance(cluster, DaskCluster)
    before = (await cluster.record()).status.instances[victim].started
    namespace.kubectl("delete", "pod", f"higgs-{victim}", "--grace-period=0", "--force")
    await until(cluster.record, within=60, meets=lambda record: record.status.instances[victim].started != before)
    await cluster.wait(timeout=60)
    async with await cluster.client() as client:
        await client.wait_for_workers(2, timeout=60)
        assert await client.submit(sum, [1, 2, 3]) == 6
    await cluster.stop()


async def test_deleting_the_record_deletes_everything(namespace: Namespace) -> None:
    await aio.launch("dask", name="higgs", workers=1, timeout=60)
    namespace.kubectl("delete", "configmap", "dodas-higgs")
    await until(namespace.left, within=60, meets=lambda left: not left)


async def test_strangers_are_refused(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_dodas.errors import NotYours

    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    first = await aio.launch("dask", name="higgs", workers=0, wait=False)
    monkeypatch.setattr("getpass.getuser", lambda: "mallory")
    with pytest.raises(NotYours) as raised:
        await aio.launch("dask", name="w", workers=0, wait=False)
    assert "alice" in raised.value.cause
    namespace.kubectl("annotate", "namespace", namespace.name, "jupyter-dodas/shared=true")
    second = await aio.launch("dask", name="w", workers=0, wait=False)
    await asyncio.gather(first.stop(), second.stop())
