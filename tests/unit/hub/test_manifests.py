"""What a hub makes in the namespace of a user, and the files that an administrator applies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from jupyter_dodas.hub.grounds.manifests import Estate, home, namespace, wanted
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Limits, Settings

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
CONTROLLER: Final = "deployments/jupyter-dodas-controller"


def deployed(file: str) -> Sequence[Mapping[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / file).read_text("utf-8")))


def made(limits: Limits | None = None, *, hub: Sequence[str] = (), **estate: Any) -> Mapping[str, Any]:
    settings = Settings(kubernetes_image="worker:2", kubernetes_namespace="jupyter-ada", backend="kubernetes")
    return wanted("jupyter-ada", Estate("controller:2", settings, **estate), limits or Limits(), hub=hub, api=[("10.0.0.5", 6443)])


def variables(things: Mapping[str, Any]) -> Mapping[str, str]:
    (container,) = things[CONTROLLER]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


@pytest.mark.parametrize("role", ["user", "controller"])
def test_roles_of_the_cluster_are_those_of_a_namespace(role: str) -> None:
    (here,) = (one for one in deployed(f"{role}.yaml") if one["kind"] == "Role")
    (there,) = (one for one in deployed("hub/roles.yaml") if one["metadata"]["name"] == here["metadata"]["name"])
    assert (there["kind"], there["rules"]) == ("ClusterRole", here["rules"])


def test_the_controller_has_the_settings_of_the_hub_but_not_its_folders() -> None:
    told = variables(made())
    assert told["DODAS_KUBERNETES_IMAGE"] == "worker:2"
    assert told["DODAS_KUBERNETES_ACCOUNT"] == "jupyter-dodas-user"
    assert (
        not {"DODAS_STATE", "DODAS_RUNTIME", "DODAS_BACKEND", "DODAS_KUBERNETES_NAMESPACE", "DODAS_KUBERNETES_HOME"} & told.keys()
    )
    (container,) = made()[CONTROLLER]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "controller:2"


def test_a_home_is_made_and_mounted_where_it_has_a_size() -> None:
    assert variables(made(home_size="10Gi"))["DODAS_KUBERNETES_HOME"] == "home"
    sized = Estate("controller:2", Settings(), "10Gi")
    assert home(sized)["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    assert home(Estate("controller:2", Settings(), "10Gi", "fast"))["spec"]["storageClassName"] == "fast"


def test_the_quota_leaves_room_for_what_is_no_worker() -> None:
    hard = made(Limits(workers=8, cores=16, memory=2**34), largest=2**33)["resourcequotas/jupyter-dodas"]["spec"]["hard"]
    assert int(hard["pods"]) > 8
    assert int(hard["requests.cpu"]) > 16
    assert int(hard["requests.memory"]) > 2**34 + 2**33
    assert made()["resourcequotas/jupyter-dodas"]["spec"]["hard"] == {"services.loadbalancers": "0", "services.nodeports": "0"}


def test_notebooks_reach_a_hub_outside_and_the_api_server_by_their_addresses() -> None:
    rules = made(hub=["192.0.2.7"])["networkpolicies/jupyter-dodas-ways-out"]["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}]} in rules
    assert {"to": [{"ipBlock": {"cidr": "10.0.0.5/32"}}], "ports": [{"port": 6443, "protocol": "TCP"}]} in rules
    assert "192.0.2.7" not in str(made())


def test_the_namespace_says_whose_it_is_and_what_they_may_hold() -> None:
    allowance = Allowance(limits=Limits(workers=2), groups=("cms",), enforced=True)
    metadata = namespace("jupyter-ada", "ada", allowance)["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert metadata["annotations"]["jupyter-dodas/owner"] == "ada"
    assert Allowance.model_validate_json(metadata["annotations"]["jupyter-dodas/limits"]) == allowance
