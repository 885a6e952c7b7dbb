"""What an administrator applies: the controller in the namespace, and roles that are enough and no more."""

import os

import pytest
import yaml  # type: ignore[import-untyped]

from jupyter_dodas import aio, settings
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.errors import ControllerUnreachable, DodasError, MissingRights
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.testing.waiting import blocking_until, until
from tests.namespace import Namespace
from tests.place import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Mismatched versions found")]

DEPLOY = ROOT / "deploy"


def install(namespace: Namespace, *files: str) -> None:
    for file in files:
        namespace.kubectl("apply", "-f", str(DEPLOY / file))


def install_controller(namespace: Namespace) -> None:
    """Install it, and wait until it is in charge. The node is small."""
    install(namespace, "controller.yaml", "networkpolicies.yaml")
    namespace.kubectl("set", "env", "deployment/jupyter-dodas-controller", "DODAS_KUBERNETES_RESERVE=0.05")
    namespace.kubectl("rollout", "status", "deployment/jupyter-dodas-controller", "--timeout=60s")
    holder = ("get", "lease", "jupyter-dodas-controller", "-o", "jsonpath={.spec.holderIdentity}")
    blocking_until(lambda: namespace.kubectl(*holder, check=False), within=60)


async def test_a_user_launches_with_the_controller_of_the_namespace(namespace: Namespace) -> None:
    install(namespace, "user.yaml")
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    async with await aio.launch("dask", name="higgs", workers=2, timeout=90) as cluster:
        assert isinstance(cluster, DaskCluster)
        async with await cluster.client() as client:
            assert await client.gather(client.map(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]
        assert not namespace.place.controllers(), "the one in the namespace does it"
        assert set(await cluster.logs()) == {"scheduler", "worker-1", "worker-2"}
    await until(namespace.left, within=30, meets=lambda left: not left)


async def test_who_may_not_run_pods_is_told_to_have_a_controller_installed(namespace: Namespace) -> None:
    install(namespace, "user.yaml")
    namespace.become("alice", "jupyter-dodas-user")
    with pytest.raises(ControllerUnreachable) as raised:
        await aio.launch("dask", name="higgs")
    assert "deploy/controller.yaml" in raised.value.remedy
    assert not namespace.left()


@pytest.mark.parametrize("resource", ["configmaps", "leases"])
async def test_a_missing_right_is_told_as_the_rule(namespace: Namespace, resource: str) -> None:
    role = yaml.safe_load((DEPLOY / "user.yaml").read_text())
    role["rules"] = [rule for rule in role["rules"] if resource not in rule["resources"]]
    namespace.apply({**role, "metadata": {**role["metadata"], "namespace": namespace.name}})
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    with pytest.raises(MissingRights) as raised:
        await aio.launch("dask", name="higgs")
    assert f'resources: ["{resource}"]' in raised.value.remedy


async def test_another_namespace_is_closed(namespace: Namespace, place: object, monkeypatch: pytest.MonkeyPatch) -> None:
    install(namespace, "user.yaml", "controller.yaml")
    for account in ("alice", "jupyter-dodas-controller"):
        namespace.become(account, "jupyter-dodas-user" if account == "alice" else "jupyter-dodas-controller")
        monkeypatch.setenv("DODAS_KUBERNETES_NAMESPACE", "kube-system")
        api = Api(settings.load())
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            for path in ("configmaps", "secrets", "pods", "services", "events", "leases", "pods/x/log", "pods/x/portforward"):
                named = path if method in ("GET", "POST") or "/" in path else f"{path}/x"
                with pytest.raises(DodasError) as raised:
                    await api.ask(method, named, {} if method != "GET" else None)
                assert isinstance(raised.value, MissingRights), f"{method} {named}: {raised.value}"


def test_the_policies_let_only_the_namespace_in(namespace: Namespace) -> None:
    install(namespace, "networkpolicies.yaml")
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
    install(namespace, "user.yaml")
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    variables = {"DODAS_BACKEND": "kubernetes", "HOME": "/tmp"}
    container = {
        "name": "notebook",
        "image": os.environ["DODAS_KUBERNETES_IMAGE"].replace("worker", "notebook"),
        "command": ["python", "-c", INSIDE],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"serviceAccountName": "alice", "restartPolicy": "Never", "securityContext": user, "containers": [container]}
    metadata = {"name": "notebook", "namespace": namespace.name}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    phase = ("get", "pod", "notebook", "-o", "jsonpath={.status.phase}")
    await until(lambda: namespace.kubectl(*phase), within=90, meets=lambda found: found in ("Succeeded", "Failed"))
    said = namespace.kubectl("logs", "notebook")
    assert "address tls://higgs-scheduler:18000\nsum 6\nleft []" in said, said
