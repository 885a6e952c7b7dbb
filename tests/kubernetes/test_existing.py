"""A cluster that is there, as an infrastructure: by an administrator's kubeconfig, and by the token of a user."""

import os
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from jupyter_dodas.errors import CredentialsRefused, InvalidSetting, ProvisionerUnreachable
from jupyter_dodas.provision.base import Access, Order, Provisioner, State
from jupyter_dodas.provision.existing import Existing
from jupyter_dodas.provision.kubeconfig import Kubeconfig
from jupyter_dodas.provision.template import load
from jupyter_dodas.testing.provisioners import ProvisionerContract


@pytest.fixture(scope="module")
def admin() -> Path:
    """The kubeconfig of the tests' cluster."""
    if not (found := os.environ.get("DODAS_TEST_KUBECONFIG")):
        pytest.skip("There is no Kubernetes cluster: script/kubernetes up makes one, DODAS_TEST_KUBECONFIG names another.")
    return Path(found)


def order(name: str, workers: int = 1) -> Order:
    template = load("kubernetes")
    return Order(name, template, template.check({"workers": workers}), "", {})


class TestExisting(ProvisionerContract):
    keeps: ClassVar[bool] = False
    scales: ClassVar[bool] = False

    @pytest.fixture
    def provisioner(self, admin: Path) -> Provisioner:
        return Existing.of({"kubeconfig": admin}, Access())

    @pytest.fixture
    def again(self, admin: Path) -> Provisioner:
        return Existing.of({"kubeconfig": admin}, Access())

    def order(self, name: str, workers: int = 1) -> Order:
        return order(name, workers)


@pytest.mark.anyio
async def test_what_it_gives_needs_no_other_file(admin: Path, tmp_path: Path) -> None:
    made = Existing.of({"kubeconfig": admin}, Access())
    identifier = await made.create(order("dodas-there"))
    given = await made.outputs(identifier)
    assert given.kubeconfig is not None
    moved = tmp_path / "kubeconfig"
    moved.write_text(given.kubeconfig.get_secret_value())
    await Kubeconfig.read(moved).check()
    # Not with the credentials of somebody else.
    changed = yaml.safe_load(moved.read_text())
    changed["users"][0]["user"] = {"token": "of-nobody"}
    moved.write_text(yaml.safe_dump(changed))
    stranger = Existing.of({"kubeconfig": moved}, Access())
    with pytest.raises(CredentialsRefused):
        await stranger.create(order("dodas-stranger"))
    found = await stranger.status("dodas-stranger")
    assert found.state is State.DEGRADED
    assert found.problem is not None
    assert found.problem.code == "credentials-refused"
    # Nor of another cluster than the one that it names.
    changed["clusters"][0]["cluster"] = {"server": changed["clusters"][0]["cluster"]["server"]}
    moved.write_text(yaml.safe_dump(changed))
    with pytest.raises(ProvisionerUnreachable):
        await Existing.of({"kubeconfig": moved}, Access()).create(order("dodas-other"))
    moved.write_text("clusters: 7")
    with pytest.raises(InvalidSetting):
        await Existing.of({"kubeconfig": moved}, Access()).plan(order("dodas-none"))
