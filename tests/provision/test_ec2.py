"""Infrastructures on EC2, as moto gives it: machines that live, are ended by others, and are replaced."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from jupyter_dodas.provision.base import Provisioner, State
from jupyter_dodas.provision.clouds import Ec2
from jupyter_dodas.testing.waiting import until
from tests.provision.im import Ec2Server, InfrastructureManager
from tests.provision.orders import by_account, gone, order, reached

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2Server]:
    with Ec2Server(tmp_path_factory.mktemp("moto")) as found:
        yield found


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory, kubeconfig: Path, ec2: Ec2Server) -> Iterator[InfrastructureManager]:
    folder = tmp_path_factory.mktemp("amazon")
    with InfrastructureManager(folder, kubeconfig=kubeconfig, moto=ec2.url, pretend=["Dummy", "EC2"]) as found:
        yield found


def by_amazon(amazon: InfrastructureManager, folder: Path) -> Provisioner:
    cloud = Ec2(name="amazon", username="AKIATESTS", password=SecretStr("abc/def+ghi="))
    return by_account(amazon.url, folder, [cloud])


async def test_machines_live_and_die(amazon: InfrastructureManager, ec2: Ec2Server, recipes: str, tmp_path: Path) -> None:
    made = by_amazon(amazon, tmp_path)
    wanted = order("dodas-amazon", recipes, workers=2, image=Ec2Server.image)
    plan = await made.plan(wanted)
    assert [one.count for one in plan.machines] == [1, 2]
    identifier = await made.create(wanted)
    found = await reached(made, identifier, State.READY, State.FAILED, within=200)
    assert (found.state, found.problem) == (State.READY, None)
    assert len(ec2.instances()) == 3
    assert ec2.groups()
    assert all(vm.addresses for vm in found.machines)

    # Somebody ends a worker: this is seen, and another one comes when it is asked for.
    before = set(ec2.instances())
    worker = next(vm for vm in found.machines if vm.role == "wn_server")
    lost = ec2.at(worker.addresses[-1])
    ec2.terminate(lost)
    found = await reached(made, identifier, State.DEGRADED, within=120)
    assert found.problem is not None
    assert f"wn_server {worker.id} is off" in found.problem.cause
    await made.scale(identifier, wanted)
    found = await reached(made, identifier, State.READY, State.FAILED, within=200)
    assert (found.state, len(found.machines)) == (State.READY, 3)
    assert before - {lost} < set(ec2.instances())
    assert len(ec2.instances()) == 3

    # Somebody ends all of them: it is deleted all the same, and nothing stays behind.
    for instance in ec2.instances():
        ec2.terminate(instance)
    await reached(made, identifier, State.FAILED, within=120)
    await gone(made, identifier, within=200)
    assert ec2.instances() == {}
    await until(ec2.groups, within=60, meets=lambda left: not left)
    assert amazon.left() == set()


async def test_it_is_deleted_while_machines_are_made(
    amazon: InfrastructureManager, ec2: Ec2Server, recipes: str, tmp_path: Path
) -> None:
    made = by_amazon(amazon, tmp_path)
    identifier = await made.create(order("dodas-brief", recipes, workers=2, image=Ec2Server.image))
    await gone(made, identifier, within=200)
    await until(ec2.instances, within=60, meets=lambda left: not left)
    await until(ec2.groups, within=60, meets=lambda left: not left)
    assert amazon.left() == set()
