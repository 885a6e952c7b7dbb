"""Infrastructures by the real Infrastructure Manager, on machines that are only noted (its Dummy cloud)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_dodas.provision.base import Order, Provisioner, State
from jupyter_dodas.testing.provisioners import ProvisionerContract
from tests.provision.conftest import KUBECONFIG
from tests.provision.im import ACCOUNT, InfrastructureManager
from tests.provision.orders import SECRET, by_account, gone, order, reached

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def nothing_is_left(im: InfrastructureManager) -> Iterator[None]:
    """Whatever a test does, it leaves nothing in the Infrastructure Manager."""
    im.control(fail=[], hang=[], ssh_error=[], off={}, dead={})
    yield
    left = im.left()
    im.clear(left)  # the next one has done nothing
    assert left == set()


class TestInfrastructureManager(ProvisionerContract):
    @pytest.fixture(autouse=True)
    def _where(self, recipes: str) -> None:
        self.recipes = recipes

    @pytest.fixture
    def provisioner(self, im: InfrastructureManager, tmp_path: Path) -> Provisioner:
        return by_account(im.url, tmp_path)

    @pytest.fixture
    def again(self, im: InfrastructureManager, tmp_path: Path) -> Provisioner:
        return by_account(im.url, tmp_path)

    def order(self, name: str, workers: int = 1) -> Order:
        return order(name, self.recipes, workers=workers)


async def test_what_it_gives_and_what_it_keeps_to_itself(
    im: InfrastructureManager, recipes: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = by_account(im.url, tmp_path)
    identifier = await made.create(order("dodas-gives", recipes, workers=2))
    found = await reached(made, identifier, State.READY)
    assert [vm.role for vm in found.machines] == ["front_server", "wn_server", "wn_server"]
    given = await made.outputs(identifier)
    assert given.kubeconfig is not None
    assert given.kubeconfig.get_secret_value() == KUBECONFIG
    assert given.values == {"front_address": "127.101.0.1", "worker_addresses": "127.101.0.2, 127.101.0.3"}
    log = await made.log(identifier)
    assert "TASK [kubeconfig]" in log
    assert {vm.role: vm.addresses[-1] for vm in found.machines[:1]} == {"front_server": "127.101.0.1"}
    await gone(made, identifier)
    told = f"{log}{caplog.text}{given}{found}{made!r}{vars(made)!r}"
    assert not [word for word in (SECRET, "only-for-the-admin", ACCOUNT["password"]) if word in told]


async def test_a_plan_tells_of_a_quota_that_is_too_small(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made = by_account(im.url, tmp_path)
    plan = await made.plan(order("dodas-large", recipes, workers=99))
    assert [(one.role, one.count) for one in plan.machines] == [("front_server", 1), ("wn_server", 99)]
    assert not plan.exceeded
    im.control(quota={"cores": 20, "ram": -1})
    plan = await made.plan(order("dodas-large", recipes, workers=99))
    assert [(line.name, line.asked, line.used, line.limit) for line in plan.exceeded] == [("cores", 200, 1, 20)]
    assert {line.name: line.limit for line in plan.quota} == {"cores": 20, "memory": None}


# -- what goes wrong -------------------------------------------------------------------------------------------------------


async def test_a_recipe_that_fails_is_told_with_its_cause(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made = by_account(im.url, tmp_path)
    identifier = await made.create(order("dodas-fail-1", recipes))
    found = await reached(made, identifier, State.FAILED, State.READY)
    assert found.problem is not None
    assert found.problem.code == "provision-failed"
    assert "Failed to update the cache of packages" in found.problem.cause
    assert "does not matter" not in found.problem.cause
    assert "Failed to update" in await made.log(identifier)
    await gone(made, identifier)


async def test_it_does_not_wait_two_hours_for_machines_that_take_no_ssh(
    im: InfrastructureManager, recipes: str, tmp_path: Path
) -> None:
    im.control(ssh_error=["dodas-deaf"])
    made = by_account(im.url, tmp_path)
    identifier = await made.create(order("dodas-deaf", recipes))
    found = await reached(made, identifier, State.FAILED, State.READY)
    assert {vm.state for vm in found.machines} == {"running"}, "as far as the Infrastructure Manager is concerned, all is well"
    assert found.problem is not None
    assert "SSH" in found.problem.cause
    await gone(made, identifier)


async def test_it_has_a_deadline_of_its_own_that_outlives_it(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made = by_account(im.url, tmp_path, contextualization_timeout=3)
    identifier = await made.create(order("dodas-hang-1", recipes))
    found = await reached(made, identifier, State.FAILED, State.READY)
    assert found.problem is not None
    assert "in time" in found.problem.message
    # Another one, after a restart, counts from the same moment.
    assert (await by_account(im.url, tmp_path, contextualization_timeout=3).status(identifier)).state is State.FAILED
    patient = by_account(im.url, tmp_path)
    assert (await patient.status(identifier)).state is State.CONFIGURING
    await gone(made, identifier)


async def test_machines_that_are_off_or_dead_are_replaced(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made, name = by_account(im.url, tmp_path), "dodas-losses"
    wanted = order(name, recipes, workers=3)
    im.control(dead={name: [3]})
    identifier = await made.create(wanted)
    await reached(made, identifier, State.READY)
    # One is off, as the cloud says; another is dead, of which it says that it runs.
    im.control(off={name: [2]})
    found = await reached(made, identifier, State.DEGRADED)
    assert found.problem is not None
    assert "wn_server 2 is off" in found.problem.cause
    assert (await made.outputs(identifier)).kubeconfig is not None
    await made.scale(identifier, wanted)
    found = await reached(made, identifier, State.READY, State.FAILED)
    assert [vm.id for vm in found.machines] == ["0", "1", "4", "5"]
    assert found.state is State.READY
    await gone(made, identifier)


async def test_without_its_front_end_it_has_failed(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made = by_account(im.url, tmp_path)
    identifier = await made.create(order("dodas-headless", recipes))
    await reached(made, identifier, State.READY)
    im.control(off={"dodas-headless": [0]})
    found = await reached(made, identifier, State.FAILED)
    assert found.problem is not None
    assert "front_server 0 is off" in found.problem.cause
    await gone(made, identifier)
