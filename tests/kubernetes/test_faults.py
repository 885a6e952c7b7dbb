"""What may befall a namespace as a whole: its API server away, credentials revoked, the namespace deleted."""

import asyncio
import os
import subprocess

import pytest

from jupyter_dodas import aio
from jupyter_dodas.errors import CredentialsRefused, DodasError, InvalidSetting, PlaceUnreachable
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace
from tests.place import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Mismatched versions found")]


def fail(part: str, seconds: int) -> "subprocess.Popen[bytes]":
    """Kill a part of the test cluster; it comes back by itself."""
    if "/jupyter-dodas/kubernetes/" not in (os.environ.get("KUBECONFIG") or ""):
        pytest.skip("Parts of a cluster can be killed on the test cluster only: script/kubernetes up")
    return subprocess.Popen([ROOT / "script" / "kubernetes", "fail", part, str(seconds)], stdout=subprocess.DEVNULL)


async def test_an_api_server_that_is_away_for_long_changes_nothing(namespace: Namespace) -> None:
    cluster = await aio.launch("dask", name="higgs", workers=2, timeout=60)
    assert isinstance(cluster, DaskCluster)
    before = {name: one.started for name, one in (await cluster.record()).status.instances.items()}
    failing = fail("kube-apiserver", 30)
    await until(_unreachable(cluster), within=10)
    await until(_reachable(cluster), within=60)
    await asyncio.to_thread(failing.wait)
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
