"""True machines: made by a cloud, set up over SSH by the Infrastructure Manager and our recipes, with a Kubernetes on them."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from jupyter_dodas.provision.base import Access, Order, State, Status
from jupyter_dodas.provision.clouds import Ec2
from jupyter_dodas.provision.im.provisioner import InfrastructureManager as Provisioner
from jupyter_dodas.provision.template import load
from jupyter_dodas.testing.waiting import until
from tests.provision.im import ACCOUNT, header
from tests.provision.machines.world import IMAGE, World, network, parts
from tests.provision.recipes import recipes as serving

pytestmark = [
    pytest.mark.anyio,
    # Where nothing is kept yet, the programs of Kubernetes are built and a disk is made.
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can make machines of namespaces"),
]

# In which machines are set up, on one that has much else to do.
PATIENCE = 300.0
SECRET = "s3cr3t-of-tests"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    used = parts()
    with network():
        made = World(tmp_path_factory.mktemp("world"), used)
        try:
            yield made
        finally:
            made.close()
        assert made.left() == []


@pytest.fixture(scope="module")
def recipes(world: World) -> Iterator[str]:
    """Address of the recipes, in the network of the machines."""
    with serving() as address:
        yield address


@pytest.fixture
def provisioner(world: World, tmp_path: Path) -> Provisioner:
    account = tmp_path / "account"
    account.write_text("\n".join(ACCOUNT.values()))
    account.chmod(0o600)
    cloud = Ec2(name="machines", username="key", password=SecretStr("of-tests"))
    return Provisioner.of({"url": world.im.url, "account": account}, Access(clouds=[cloud]))


def order(recipes: str, workers: int, **inputs: object) -> Order:
    template = load("kubernetes")
    small = {"memory": "1 GiB", "front_memory": "1 GiB", "disk": "8 GiB"}
    given = {"image": IMAGE, "installer": "programs", "workers": workers, **small, **inputs}
    return Order("dodas-machines", template, template.check(given), recipes, dict.fromkeys(template.secrets, SECRET))


async def settled(provisioner: Provisioner, identifier: str, wanted: State) -> Status:
    async def look() -> Status:
        await asyncio.sleep(0.5)  # each look takes processor time from what is looked at
        return await provisioner.status(identifier)

    found = await until(look, within=PATIENCE, meets=lambda status: status.state in (State.READY, State.FAILED, State.GONE))
    assert found.state is wanted, (found, (await provisioner.log(identifier))[-6000:])
    return found


async def test_a_cluster_on_machines_grows_survives_a_death_and_goes(world: World, recipes: str, provisioner: Provisioner) -> None:
    identifier = await provisioner.create(order(recipes, workers=1))
    await settled(provisioner, identifier, State.READY)
    front, first = world.machines()
    outputs = await provisioner.outputs(identifier)
    assert outputs.values["front_address"] == front.public
    assert first.public in outputs.values["worker_addresses"]
    assert outputs.kubeconfig is not None
    # This one is good for as long as the cluster is there.
    kubeconfig = outputs.kubeconfig.get_secret_value()
    assert f"https://{front.public}:6443" in kubeconfig
    await until(lambda: world.nodes(kubeconfig), within=PATIENCE, meets=lambda nodes: nodes == [first.private])
    # Who comes without a certificate may nothing, and who has the token of workers may only join.
    assert status_without_certificate(front.public) in (401, 403)
    joining = front.run("cat", "/etc/kubernetes/join.conf").replace(front.private, front.public)
    assert world.kubectl(joining, "auth", "can-i", "list", "secrets", "--all-namespaces", check=False).strip() == "no"
    assert front.run("stat", "--format=%a", "/etc/kubernetes/admin.conf").strip() == "600"
    world.kubectl(kubeconfig, "run", "pod", "--image=localhost/pause:1", "--image-pull-policy=Never")
    began = await until(lambda: runs(world, kubeconfig), within=PATIENCE)

    await provisioner.scale(identifier, order(recipes, workers=2))
    await settled(provisioner, identifier, State.READY)
    *_, second = world.machines()
    both = sorted([first.private, second.private])
    await until(lambda: world.nodes(kubeconfig), within=PATIENCE, meets=lambda nodes: nodes == both)
    # Each knows the way to the pods of the other.
    await until(lambda: first.run("ip", "route"), within=PATIENCE, meets=lambda routes: f"via {second.private} " in routes)

    # Of a machine that dies the cloud says that it runs.
    second.kill()
    assert set(world.instances().values()) == {"running"}
    await provisioner.scale(identifier, order(recipes, workers=1))
    await settled(provisioner, identifier, State.READY)
    assert len(world.kubectl(kubeconfig, "get", "nodes", "--output", "name").split()) == 1
    assert world.nodes(kubeconfig) == [first.private]
    assert world.machines() == [front, first]
    # All recipes ran two more times, and disturbed nothing.
    assert runs(world, kubeconfig) == began
    assert SECRET not in said(world, identifier)

    await provisioner.delete(identifier)
    await settled(provisioner, identifier, State.GONE)
    await until(world.machines, within=PATIENCE, meets=lambda machines: not machines)
    await until(world.instances, within=PATIENCE, meets=lambda instances: not instances)
    assert world.im.listed() == set()


async def test_a_recipe_that_fails_is_told_in_words(world: World, recipes: str, provisioner: Provisioner) -> None:
    # There is nowhere to fetch it from.
    identifier = await provisioner.create(order(recipes, workers=0, installer="k3s", kubernetes_version="v1.34.2+k3s1"))
    found = await settled(provisioner, identifier, State.FAILED)
    assert found.problem is not None
    assert "resolution" in found.problem.cause, found.problem
    await provisioner.delete(identifier)
    await settled(provisioner, identifier, State.GONE)
    await until(world.machines, within=PATIENCE, meets=lambda machines: not machines)
    await until(world.instances, within=PATIENCE, meets=lambda instances: not instances)
    assert world.im.listed() == set()


def runs(world: World, kubeconfig: str) -> Mapping[str, object] | None:
    """The state of the container of the pod, once it runs."""
    (one,) = json.loads(world.kubectl(kubeconfig, "get", "pod", "pod", "--output", "json"))["status"].get("containerStatuses", [{}])
    return one if "running" in one.get("state", {}) else None


def status_without_certificate(address: str) -> int:
    return httpx.get(f"https://{address}:6443/api/v1/nodes", verify=False, timeout=30).status_code


def said(world: World, identifier: str) -> str:
    """All that the Infrastructure Manager gives of what recipes have said."""
    headers = header() | {"Authorization": header()["Authorization"] + r"\nid = x; type = EC2; username = key; password = of-tests"}
    return httpx.get(f"{world.im.url}/infrastructures/{identifier}/contmsg", headers=headers, timeout=60).raise_for_status().text
