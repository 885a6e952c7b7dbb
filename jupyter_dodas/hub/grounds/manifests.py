"""What a hub makes in the namespace of a user, as objects. Pure.

Roles are not among it: an administrator installs them once, for the cluster, and the hub only binds them. So it can give nobody
more than they hold.
"""

import ipaddress
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.backends.kubernetes.api import Object
from jupyter_dodas.backends.kubernetes.objects import ALLOWANCE, INTERACTIVE, MANAGED, OURS, OWNER
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Limits, Settings

__all__ = ["CONTROLLER", "HOME", "HUB", "ROLES", "USER", "Estate", "binding", "home", "namespace", "roles", "told", "wanted"]

HUB, USER, CONTROLLER = "jupyter-dodas-hub", "jupyter-dodas-user", "jupyter-dodas-controller"
"""Names of roles, and of whom they are bound to."""
ROLES: Final = "kubectl apply --filename deploy/hub/roles.yaml"
HOME: Final = "home"
"""The claim of a user's home."""

_RBAC: Final = "rbac.authorization.k8s.io"
_OF_HUB: Final = {
    "namespaceSelector": {"matchLabels": {"jupyter-dodas/hub": "true"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": HUB}},
}
_PRIVATE: Final[Mapping[str, Sequence[str]]] = {
    "0.0.0.0/0": ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    "::/0": ("fc00::/7", "fe80::/10"),
}
"""The world, and what is not of it: private networks, and where clouds tell machines their secrets."""

_HERE_ONLY: Final = frozenset(
    {
        "DODAS_BACKEND",
        "DODAS_KUBERNETES_CONFIG",
        "DODAS_KUBERNETES_CONTEXT",
        "DODAS_KUBERNETES_NAMESPACE",
        "DODAS_RUNTIME",
        "DODAS_STATE",
    }
)

_HEADS: Final = 32
"""Room for what is no worker: schedulers, the controller, notebooks."""
_HEAD_MEMORY: Final = 256 * 2**20
_NOTEBOOKS: Final = 4
"""Notebooks that a user may have at once within the quota of memory."""


@dataclass(frozen=True)
class Estate:
    """What an administrator has every namespace be like.

    Parameters
    ----------
    controller
        The image of the controller.
    settings
        What it is to be set to, as the hub is.
    home_size, home_class
        Of the claim for the user's files; without a size there is none, without a class it is of the default one.
    largest
        Bytes of memory that one notebook may have.
    """

    controller: str
    settings: Settings
    home_size: str = ""
    home_class: str = ""
    largest: int = 0


def roles() -> Mapping[str, Object]:
    """Return the roles that are given in namespaces, by their paths, for a cluster whose administrator the hub is."""
    given = (HUB, USER, CONTROLLER)
    found = {one["metadata"]["name"]: one for one in _deployed("hub/roles") if one["kind"] == "ClusterRole"}
    return {f"/apis/{_RBAC}/v1/clusterroles/{name}": found[name] for name in given}


def namespace(name: str, owner: str, allowance: Allowance) -> Object:
    """Return the namespace itself."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {MANAGED: OURS, "pod-security.kubernetes.io/enforce": "restricted"},
            "annotations": {OWNER: owner, ALLOWANCE: allowance.model_dump_json(exclude_none=True)},
        },
    }


def binding(role: str, subject: Object) -> tuple[str, Object]:
    """Return what gives somebody a role of the cluster in this namespace alone."""
    thing = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    return f"rolebindings/{role}", thing


def wanted(
    name: str, estate: Estate, limits: Limits, *, hub: Sequence[str], api: Sequence[tuple[str, int]]
) -> Mapping[str, Object]:
    """Return everything else that is to be in the namespace but the home, by its path.

    Parameters
    ----------
    limits
        Of its user.
    hub
        Addresses of the hub, if it is not in the cluster.
    api
        Addresses and ports of the API server.
    """
    found = {f"serviceaccounts/{account}": _account(account) for account in (USER, CONTROLLER)}
    found |= dict(binding(role, {"kind": "ServiceAccount", "name": role, "namespace": name}) for role in (USER, CONTROLLER))
    found[f"deployments/{CONTROLLER}"] = _controller(estate)
    found |= {
        f"networkpolicies/{policy['metadata']['name']}": policy for policy in (*_deployed("networkpolicies"), *_policies(hub, api))
    }
    found[f"resourcequotas/{OURS}"] = _thing("ResourceQuota", OURS, {"hard": _hard(limits, estate.largest)})
    head = {"type": "Container", "defaultRequest": {"memory": str(_HEAD_MEMORY)}}
    found[f"limitranges/{OURS}"] = _thing("LimitRange", OURS, {"limits": [head]})
    return found


def told(settings: Settings) -> Mapping[str, str]:
    """Return settings of the hub as variables for pods in the namespace, without those that mean something here alone."""
    return {name: value for name, value in settings.variables().items() if name not in _HERE_ONLY}


def home(estate: Estate) -> Object:
    """Return the claim for the user's files."""
    spec: Object = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": estate.home_size}}}
    if estate.home_class:
        spec["storageClassName"] = estate.home_class
    return _thing("PersistentVolumeClaim", HOME, spec)


def _thing(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _account(name: str) -> Object:
    # A token of it is for the pods that ask for one.
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name},
        "automountServiceAccountToken": name == CONTROLLER,
    }


def _controller(estate: Estate) -> Object:
    (thing,) = (one for one in _deployed("controller") if one["kind"] == "Deployment")
    template = thing["spec"]["template"]
    (container,) = template["spec"]["containers"]
    home = {"DODAS_KUBERNETES_HOME": HOME} if estate.home_size else {}
    variables = {**told(estate.settings), "DODAS_KUBERNETES_ACCOUNT": USER, **home}
    container = {
        **container,
        "image": estate.controller,
        "env": [{"name": name, "value": value.replace("$", "$$")} for name, value in sorted(variables.items())],
    }
    spec = {**template["spec"], "containers": [container]}
    return {**thing, "spec": {**thing["spec"], "template": {**template, "spec": spec}}}


def _hard(limits: Limits, largest: int) -> Mapping[str, str]:
    """Return the quota: the controller holds the limits, and this holds the controller, with room for what is no worker."""
    hard = {"services.loadbalancers": "0", "services.nodeports": "0"}
    if limits.workers is not None:
        hard["pods"] = str(limits.workers + _HEADS)
    if limits.cores is not None:
        hard["requests.cpu"] = str(limits.cores + _HEADS // 8)
    if limits.memory is not None:
        hard["requests.memory"] = str(int(limits.memory) + _HEADS * _HEAD_MEMORY + _NOTEBOOKS * largest)
    return hard


def _policies(hub: Sequence[str], api: Sequence[tuple[str, int]]) -> Sequence[Object]:
    """Return who reaches notebooks beside their namespace, and what is reached from clusters and notebooks."""
    names = {"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}
    servers = [{"to": [_network(address)], "ports": [{"port": port, "protocol": "TCP"}]} for address, port in api]
    outside = [{"to": [_network(address)]} for address in hub]
    world = [{"ipBlock": {"cidr": everything, "except": list(private)}} for everything, private in _PRIVATE.items()]
    ways = [
        {"to": [{"namespaceSelector": {}}], "ports": list(names)},
        {"to": [{"podSelector": {}}]},
        {"to": [_OF_HUB]},
        *outside,
        *servers,
        {"to": world},
    ]
    return (
        _policy("jupyter-dodas-notebooks", {INTERACTIVE: "true"}, "Ingress", [{"from": [_OF_HUB]}]),
        _policy("jupyter-dodas-ways-out", {MANAGED: OURS}, "Egress", ways),
    )


def _network(address: str) -> Object:
    return {"ipBlock": {"cidr": str(ipaddress.ip_network(address))}}


def _policy(name: str, pods: Mapping[str, str], way: str, rules: Sequence[Any]) -> Object:
    thing = _thing(
        "NetworkPolicy", name, {"podSelector": {"matchLabels": dict(pods)}, "policyTypes": [way], way.lower(): list(rules)}
    )
    return {**thing, "apiVersion": "networking.k8s.io/v1"}


@cache
def _deployed(file: str) -> Sequence[Object]:
    """Return the objects of a file of deploy/, which an installed package has among the data of its environment."""
    import yaml  # the client for Kubernetes brings it

    checkout = Path(__file__).parents[3] / "deploy"
    folder = checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "jupyter-dodas" / "deploy"
    return tuple(yaml.safe_load_all((folder / f"{file}.yaml").read_text("utf-8")))
