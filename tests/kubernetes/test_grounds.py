"""The namespace of a user as a hub makes it: again and again the same, mended, and refused where it is not hers."""

import asyncio
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.errors import ControllerUnreachable, NotYours, PlaceUnreachable
from jupyter_dodas.hub.grounds import namespaces
from jupyter_dodas.hub.grounds.manifests import Estate
from jupyter_dodas.hub.grounds.namespaces import OwnNamespace
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Limits, Settings
from tests.hubpods import Estate as HubEstate
from tests.namespace import Namespace, kubeconfig, kubectl
from tests.place import Place

pytestmark = pytest.mark.anyio

IMAGE = os.environ.get("DODAS_TEST_IMAGES", "localhost/jupyter-dodas") + "/controller:1"


class Ground:
    """A user's namespace, and its ground."""

    def __init__(self, place: Place, estate: HubEstate, image: str = IMAGE) -> None:
        self.name = estate.of(f"ada-{secrets.token_hex(3)}")
        settings = Settings(backend="kubernetes", kubernetes_namespace=self.name, state=place.state)
        self._settings, self._image = settings, image
        self._admin = kubeconfig()

    def of(self, user: str, **estate: Any) -> OwnNamespace:
        return OwnNamespace(user, self._settings, Estate(self._image, self._settings, **estate))

    def kubectl(self, *arguments: str) -> str:
        return kubectl("--kubeconfig", self._admin, "-n", self.name, *arguments)

    def versions(self) -> Mapping[str, str]:
        """Every object that it is made of, with its version."""
        kinds = "serviceaccounts,rolebindings,networkpolicies,resourcequotas,limitranges"
        found = json.loads(self.kubectl("get", kinds, "-o", "json"))["items"]
        versions = {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}
        # What controllers of the cluster count is written into these as well.
        deployment = json.loads(self.kubectl("get", "deployment", "jupyter-dodas-controller", "-o", "json"))
        quota = json.loads(self.kubectl("get", "resourcequota", "jupyter-dodas", "-o", "json"))
        counted = {"Deployment": str(deployment["metadata"]["generation"]), "ResourceQuota/jupyter-dodas": str(quota["spec"])}
        return versions | counted

    def close(self) -> None:
        kubectl("--kubeconfig", self._admin, "delete", "namespace", self.name, "--wait=false", check=False)


@pytest.fixture(scope="module")
def estate() -> Iterator[HubEstate]:
    with closing(HubEstate()) as made:
        made.install_rights()
        yield made


@pytest.fixture
def ground(place: Place, estate: HubEstate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv("KUBECONFIG", kubeconfig())
    made = Ground(place, estate)
    yield made
    made.close()


async def test_it_is_made_once_and_mended(ground: Ground) -> None:
    before = Allowance(limits=Limits(workers=4, cores=8), groups=("cms",))
    await ground.of("ada").prepare(before)
    made = ground.versions()
    await ground.of("ada").prepare(before)
    assert ground.versions() == made, "what is as it is to be is left alone"

    ground.kubectl("delete", "deployment/jupyter-dodas-controller", "resourcequota/jupyter-dodas")
    ground.kubectl("label", "namespace", ground.name, "pod-security.kubernetes.io/enforce=baseline", "team=higgs", "--overwrite")
    await ground.of("ada").prepare(Allowance(limits=Limits(workers=2)))
    metadata = json.loads(ground.kubectl("get", "namespace", ground.name, "-o", "json"))["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert metadata["labels"]["team"] == "higgs", "what an administrator adds stays"
    assert json.loads(metadata["annotations"]["jupyter-dodas/limits"]) == {"limits": {"workers": 2}, "groups": [], "enforced": True}
    hard = json.loads(ground.kubectl("get", "resourcequota", "jupyter-dodas", "-o", "json"))["spec"]["hard"]
    assert hard == {"pods": "34", "services.loadbalancers": "0", "services.nodeports": "0"}, "cores are no longer limited"
    assert "jupyter-dodas-controller" in ground.kubectl("get", "deployments", "-o", "name")


async def test_two_first_starts_at_once_make_it_together(ground: Ground) -> None:
    one, other = (ground.of("ada", home_size="1Gi") for _ in range(2))
    await asyncio.gather(one.prepare(Allowance()), other.prepare(Allowance()))
    claims = ground.kubectl("get", "persistentvolumeclaims", "-o", "name")
    assert claims.split() == ["persistentvolumeclaim/home"]


async def test_a_hub_that_moves_goes_on_where_the_one_before_has_begun(
    ground: Ground, estate: HubEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.of("ada").prepare(Allowance())
    monkeypatch.setenv("KUBECONFIG", str(estate.account()))  # which has no rights in there but those that it now gives itself
    await ground.of("ada").prepare(Allowance(limits=Limits(workers=3)))
    assert "'pods': '35'" in ground.versions()["ResourceQuota/jupyter-dodas"]


async def test_one_that_is_somebody_elses_is_left_alone(ground: Ground) -> None:
    await ground.of("ada").prepare(Allowance())
    before = ground.versions()
    with pytest.raises(NotYours) as raised:
        await ground.of("eve").prepare(Allowance(limits=Limits(workers=99)))
    assert raised.value.cause == "It belongs to ada."
    assert ground.versions() == before


async def test_a_hub_without_rights_says_what_it_lacks(ground: Ground, namespace: Namespace) -> None:
    namespace.become("hub")
    with pytest.raises(PlaceUnreachable) as raised:
        await ground.of("ada").prepare(Allowance())
    assert "may not get" in raised.value.cause
    assert "deploy/hub/roles.yaml" in raised.value.remedy


async def test_a_controller_that_does_not_come_up_is_told_with_its_reason(
    ground: Ground, place: Place, estate: HubEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "_PATIENCE", 10.0)
    lame = Ground(place, estate, "localhost/nowhere:1")
    try:
        with pytest.raises(ControllerUnreachable) as raised:
            await lame.of("ada").prepare(Allowance())
    finally:
        lame.close()
    assert "The controller waits for its image localhost/nowhere:1" in raised.value.cause
    assert lame.name in raised.value.remedy


def test_an_administrator_may_keep_it_for_themselves(tmp_path: Path) -> None:
    settings = Settings(backend="kubernetes", kubernetes_namespace="higgs", state=tmp_path)
    asyncio.run(OwnNamespace("ada", settings).prepare(Allowance()))  # asks nobody
