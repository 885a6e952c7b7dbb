"""What an administrator applies: the controller in the namespace, and roles that are enough and no more."""

import re
import shlex
from collections.abc import Sequence
from contextlib import closing

import pytest
import yaml

from jupyter_dodas import aio
from jupyter_dodas.errors import ControllerUnreachable, MissingRights
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace, install_controller, take_charge
from tests.place import ROOT, Place

pytestmark = pytest.mark.anyio

DEPLOY = ROOT / "deploy"


class AsTheGuideSays(Namespace):
    """A namespace that an administrator gives a group, with the commands of the guide."""

    def make(self) -> None:
        group = f"system:serviceaccounts:{self.name}"
        for command in commands():
            told = command.replace("higgs-users", group).replace("higgs", self.name).replace("deploy/", f"{DEPLOY}/")
            self.admin(*shlex.split(told)[1:])


def commands() -> Sequence[str]:
    """Return the first block below "For administrators"."""
    below = (ROOT / "docs" / "guides" / "kubernetes.md").read_text().partition("## For administrators")[2]
    found = re.search(r"```sh\n(.*?)```", below, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


async def test_a_group_has_its_namespace_with_three_commands(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(commands()) == 3
    with closing(AsTheGuideSays(place, monkeypatch)) as namespace:
        take_charge(namespace)
        namespace.become("ada")
        async with await aio.launch("dask", name="higgs", workers=2, timeout=90) as cluster:
            assert isinstance(cluster, DaskCluster)
            async with await cluster.client() as client:
                assert await client.gather(client.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
            assert not namespace.place.controllers(), "the one in the namespace does it"
            assert set(await cluster.logs()) == {"scheduler", "worker-1", "worker-2"}
        await until(namespace.left, within=30, meets=lambda left: not left)


async def test_who_may_not_run_pods_is_told_to_have_a_controller_installed(namespace: Namespace) -> None:
    namespace.install("user.yaml")
    namespace.become("alice", "jupyter-dodas-user")
    with pytest.raises(ControllerUnreachable) as raised:
        await aio.launch("dask", name="higgs")
    assert "deploy/controller.yaml" in raised.value.remedy
    assert not namespace.left()


@pytest.mark.parametrize("resource", ["configmaps", "leases"])
async def test_a_missing_right_is_told_as_the_rule(namespace: Namespace, resource: str) -> None:
    role = next(yaml.safe_load_all((DEPLOY / "user.yaml").read_text()))
    role["rules"] = [rule for rule in role["rules"] if resource not in rule["resources"]]
    namespace.apply({**role, "metadata": {**role["metadata"], "namespace": namespace.name}})
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    with pytest.raises(MissingRights) as raised:
        await aio.launch("dask", name="higgs")
    assert f'resources: ["{resource}"]' in raised.value.remedy


def test_the_policies_let_only_the_namespace_in(namespace: Namespace) -> None:
    namespace.install("networkpolicies.yaml")
    found = yaml.safe_load(namespace.kubectl("get", "networkpolicies", "-o", "yaml"))["items"]
    allowed = {policy["metadata"]["name"]: policy["spec"].get("ingress", []) for policy in found}
    assert allowed == {"jupyter-dodas-clusters": [{"from": [{"podSelector": {}}]}], "jupyter-dodas-controller": []}
    chosen = found[0]["spec"]["podSelector"]["matchLabels"]
    assert chosen == {"app.kubernetes.io/managed-by": "jupyter-dodas"}


INSIDE = """
import warnings
import jupyter_dodas as dodas
warnings.simplefilter("ignore")
with dodas.dask(name="higgs", workers=1) as cluster:
    with cluster.client() as client:
        print("address", cluster.scheduler_address)
        print("sum", client.submit(sum, [1, 2, 3]).result())
print("left", list(dodas.list()))
"""


async def test_a_notebook_in_the_namespace_reaches_clusters_by_name(namespace: Namespace) -> None:
    namespace.install("user.yaml")
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    namespace.notebook(INSIDE, "alice")
    said = await namespace.said(within=90)
    assert "address tls://higgs-scheduler:18000\nsum 6\nleft []" in said, said
