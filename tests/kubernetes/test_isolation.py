"""Two namespaces that know nothing of each other: one is attacked from inside the other, with all that a pod there has."""

import json
import re
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from jupyter_dodas import aio
from jupyter_dodas.certificates import issue
from jupyter_dodas.credentials import CERTIFICATE, KEY
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.services.dask.signin import DASHBOARD, Purpose, make
from tests.namespace import Namespace
from tests.place import Place

pytestmark = pytest.mark.anyio

USER, CONTROLLER = "jupyter-dodas-user", "jupyter-dodas-controller"

OBJECTS: Final[Mapping[str, Sequence[str]]] = {
    "api/v1": ("configmaps", "secrets", "pods", "services", "events", "serviceaccounts", "persistentvolumeclaims"),
    "apis/coordination.k8s.io/v1": ("leases",),
    "apis/rbac.authorization.k8s.io/v1": ("roles", "rolebindings"),
    "apis/networking.k8s.io/v1": ("networkpolicies",),
    "apis/apps/v1": ("deployments",),
}
PARTS: Final = (
    "pods/{pod}/log",
    "pods/{pod}/exec?command=id&stdout=1",
    "pods/{pod}/attach?stdout=1",
    "pods/{pod}/portforward?ports=18000",
    "pods/{pod}/proxy/status",
    "pods/{pod}/eviction",
    "pods/{pod}/ephemeralcontainers",
    "services/{pod}/proxy/status",
    "serviceaccounts/default/token",
    "serviceaccounts/jupyter-dodas-controller/token",
)
EVERYWHERE: Final = ("api/v1/secrets", "api/v1/pods", "api/v1/configmaps", "api/v1/nodes", "api/v1/namespaces")

ASK: Final = """
import json, ssl, sys, urllib.error, urllib.request
from pathlib import Path

account = Path("/var/run/secrets/kubernetes.io/serviceaccount")
trust = ssl.create_default_context(cafile=account / "ca.crt")

def ask(method, path, body=None, kind="application/json", **headers):
    headers |= {"Authorization": "Bearer " + (account / "token").read_text(), "Content-Type": kind}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request("https://kubernetes.default.svc/" + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            return answer.status, answer.read(2000).decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read(2000).decode()
"""


@pytest.fixture
def attacker(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    """The namespace that the attacks come from. Made first, so that the settings lead to the other."""
    made = Namespace(place, monkeypatch)
    made.install("user.yaml", "controller.yaml")
    made.kubectl("scale", "deployment", CONTROLLER, "--replicas=0")
    yield made
    made.close()


@pytest.fixture
def victim(attacker: Namespace, namespace: Namespace) -> Namespace:
    namespace.install("user.yaml", "networkpolicies.yaml")
    return namespace


def give_account(namespace: Namespace, *roles: str) -> str:
    """Make an account with roles of the namespace."""
    namespace.kubectl("create", "serviceaccount", "alice")
    for role in roles:
        binding = ("create", "rolebinding", f"alice-{role}", f"--role={role}", f"--serviceaccount={namespace.name}:alice")
        namespace.kubectl(*binding)
    return "alice"


async def attack(namespace: Namespace, code: str, account: str = "default", **known: object) -> Any:
    """Run code in a pod of a namespace; return what it has found, a JSON text in the last line."""
    given = "".join(f"{name} = json.loads({json.dumps(value)!r})\n" for name, value in known.items())
    namespace.notebook(f"import json\n{given}{code}", account)
    said = await namespace.said(within=60)
    try:
        return json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        raise AssertionError(said) from None


# -- the API ----------------------------------------------------------------------------------------------------------

EVERY_VERB: Final = """
calls = {
    "list": ("GET", "{many}", None), "watch": ("GET", "{many}?watch=1&timeoutSeconds=1", None), "create": ("POST", "{many}", {}),
    "deletecollection": ("DELETE", "{many}", None), "get": ("GET", "{one}", None), "update": ("PUT", "{one}", {}),
    "patch": ("PATCH", "{one}", {}), "delete": ("DELETE", "{one}", None),
}
found = {}
for group, kinds in objects.items():
    for kind in kinds:
        many = f"{group}/namespaces/{there}/{kind}"
        one = f"{many}/{names.get(kind, 'default')}"
        for verb, (method, path, body) in calls.items():
            patch = "application/merge-patch+json" if method == "PATCH" else "application/json"
            found[f"{verb} {kind}"] = ask(method, path.format(many=many, one=one), body, patch)[0]
for part in parts:
    for method in ("GET", "POST", "PUT", "DELETE"):
        body = {} if method in ("POST", "PUT") else None
        found[f"{method} {part}"] = ask(method, f"api/v1/namespaces/{there}/{part}", body)[0]
for path in everywhere:
    found[path] = ask("GET", path)[0]
secrets = f"api/v1/namespaces/{there}/secrets"
for who in ("system:admin", f"system:serviceaccount:{there}:default", f"system:serviceaccount:{there}:jupyter-dodas-controller"):
    found[f"as {who}"] = ask("GET", secrets, **{"Impersonate-User": who})[0]
found["as a group"] = ask("GET", secrets, **{"Impersonate-User": "alice", "Impersonate-Group": "system:masters"})[0]
own = ask("GET", f"api/v1/namespaces/{here}/configmaps")[0]
print(json.dumps([own, found]))
"""


async def test_another_namespace_is_closed_to_every_verb(attacker: Namespace, victim: Namespace) -> None:
    """The account has both roles of its namespace, more than any one needs."""
    cluster = await aio.launch("dask", name="higgs", workers=0, timeout=60)
    shown = victim.kubectl("get", "configmaps,secrets,pods,services,leases,roles", "-o", "name").split()
    names = {f"{kind}s": name for kind, _, name in (one.replace(".", "/").partition("/") for one in shown) if "/" not in name}
    assert names["pods"] == "higgs-scheduler"
    own, found = await attack(
        attacker,
        ASK + EVERY_VERB,
        give_account(attacker, USER, CONTROLLER),
        objects=OBJECTS,
        parts=[part.format(pod="higgs-scheduler") for part in PARTS],
        everywhere=EVERYWHERE,
        names=names,
        here=attacker.name,
        there=victim.name,
    )
    assert own == 200, "the account is one that works"
    assert len(found) > 100
    assert {call: status for call, status in found.items() if status != 403} == {}
    assert (await cluster.record()).status.problem is None
    await cluster.stop()


RIGHTS: Final = """
base = f"api/v1/namespaces/{here}"
rbac = f"apis/rbac.authorization.k8s.io/v1/namespaces/{here}"
admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
me = [{"kind": "ServiceAccount", "name": "alice", "namespace": here}]
tried = {
    "run a pod": ask("POST", f"{base}/pods", pod),
    "end a pod": ask("DELETE", f"{base}/pods/x"),
    "enter a pod": ask("POST", f"{base}/pods/x/exec?command=id"),
    "list secrets": ask("GET", f"{base}/secrets"),
    "watch secrets": ask("GET", f"{base}/secrets?watch=1&timeoutSeconds=1"),
    "delete a secret": ask("DELETE", f"{base}/secrets/x"),
    "make a service": ask("POST", f"{base}/services", {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 1}]}}),
    "take the Lease": ask("PUT", f"apis/coordination.k8s.io/v1/namespaces/{here}/leases/jupyter-dodas-controller", {}),
    "be the controller": ask("POST", f"{base}/serviceaccounts/jupyter-dodas-controller/token", {}),
    "give herself a role": ask("POST", f"{rbac}/rolebindings", {"metadata": {"name": "x"}, "roleRef": admin, "subjects": me}),
    "make a role": ask("POST", f"{rbac}/roles", {"metadata": {"name": "x"}, "rules": []}),
    "have it shared": ask("PATCH", f"api/v1/namespaces/{here}", {"metadata": {}}, "application/merge-patch+json"),
    "run pods by a Deployment": ask("POST", f"apis/apps/v1/namespaces/{here}/deployments", {}),
    "run pods by a Job": ask("POST", f"apis/batch/v1/namespaces/{here}/jobs", {}),
}
print(json.dumps({what: answer[0] for what, answer in tried.items()}))
"""

PLAIN: Final = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}


async def test_a_user_has_what_her_role_gives_and_no_more(attacker: Namespace) -> None:
    tried = await attack(attacker, ASK + RIGHTS, give_account(attacker, USER), here=attacker.name, pod=PLAIN)
    assert {what: status for what, status in tried.items() if status != 403} == {}


TAMED: Final[Mapping[str, Any]] = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
WILD: Final[Mapping[str, Any]] = {
    "privileged": {"containers": [{"securityContext": {**TAMED, "privileged": True, "allowPrivilegeEscalation": True}}]},
    "hostPath": {"volumes": [{"name": "node", "hostPath": {"path": "/"}}]},
    "hostNetwork": {"hostNetwork": True},
    "hostPID": {"hostPID": True},
    "hostIPC": {"hostIPC": True},
    "hostPort": {"containers": [{"ports": [{"containerPort": 1, "hostPort": 1}]}]},
    "capabilities": {"containers": [{"securityContext": {**TAMED, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}]},
    "root": {"containers": [{"securityContext": {**TAMED, "runAsNonRoot": False}}]},
    "uid 0": {"containers": [{"securityContext": {**TAMED, "runAsUser": 0}}]},
    "escalation": {"containers": [{"securityContext": {**TAMED, "allowPrivilegeEscalation": True}}]},
    "unconfined": {"containers": [{"securityContext": {**TAMED, "seccompProfile": {"type": "Unconfined"}}}]},
}


def wild_pod(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a pod that would be let in, but for one thing."""
    container = {"name": "x", "image": "x", "securityContext": TAMED, **spec.get("containers", [{}])[0]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {**spec, "containers": [container]}}


async def test_a_pod_that_reaches_for_its_node_is_refused(attacker: Namespace) -> None:
    """Even one that the controller's account asks for."""
    code = """
base = f"api/v1/namespaces/{here}/pods?dryRun=All"
print(json.dumps({what: ask("POST", base, pod) for what, pod in pods.items()}))
"""
    pods = {"tame": wild_pod({}), **{what: wild_pod(spec) for what, spec in WILD.items()}}
    tried = await attack(attacker, ASK + code, give_account(attacker, CONTROLLER), here=attacker.name, pods=pods)
    assert tried.pop("tame")[0] == 201
    assert tried.keys() == WILD.keys()
    assert all(status == 403 and "PodSecurity" in said for status, said in tried.values()), tried


# -- what runs --------------------------------------------------------------------------------------------------------

KNOCK: Final = """
import socket, ssl, tempfile, urllib.error, urllib.request
from pathlib import Path

def hear(connection):
    \"\"\"Say what a Dask client says first, and return what comes back.\"\"\"
    connection.settimeout(2)
    heard = b""
    try:
        connection.sendall((8).to_bytes(8, "little") + b"greeting")
        while len(heard) < 200 and (data := connection.recv(1000)):
            heard += data
    except OSError:
        pass
    return len(heard)

def knock(host, port, certificate):
    with socket.create_connection((host, port), timeout=5) as plain:
        if certificate is None:
            return hear(plain)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            if certificate:
                folder = Path(tempfile.mkdtemp())
                for name, text in certificate.items():
                    (folder / name).write_text(text)
                context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
            with context.wrap_socket(plain) as secured:
                return hear(secured)
        except OSError:
            return 0

def look(page, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(page, headers=headers), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code

heard = [[knock(*address, certificate) for address in addresses] for certificate in certificates]
print(json.dumps([heard, [{page: look(page, one) for page in pages} for one in headers]]))
"""


async def test_a_cluster_of_another_namespace_answers_nobody_without_its_keys(attacker: Namespace, victim: Namespace) -> None:
    """Its addresses are known, and no policy of the network is enforced."""
    cluster, addresses = await launched(victim)
    (host, _), *_ = addresses
    own, theirs = issue("higgs", DASHBOARD), secrets_of(victim)
    headers = [{}, *({"Authorization": f"Bearer {keys[DASHBOARD].strip().decode()}"} for keys in (own, theirs))]
    paths = ("status", "info/main/workers.html", "json/counts.json", "metrics", "api/v1/retire_workers", "statics/css/base.css")
    pages = [f"http://{host}:18001/{path}" for path in paths]
    heard, seen = await attack(
        attacker,
        KNOCK,
        addresses=addresses,
        certificates=[None, {}, *({name: keys[name].decode() for name in (CERTIFICATE, KEY)} for keys in (own, theirs))],
        headers=headers,
        pages=[*pages, f"http://{host}:18001/login?code={make(own[DASHBOARD].strip(), Purpose.CODE, time.time())}"],
    )
    assert min(heard.pop()) > 0, "whoever has the certificate is answered"
    assert heard == [[0] * len(addresses)] * 3
    assert seen.pop()[pages[0]] == 200, "whoever has the key is let in"
    assert {status for one in seen for status in one.values()} <= {401, 403, 404}, seen
    await cluster.stop()


async def launched(namespace: Namespace) -> tuple[DaskCluster, Sequence[tuple[str, int]]]:
    """Launch a cluster, whose pods have no account of the namespace; return it with where it listens."""
    cluster = await aio.launch("dask", name="higgs", workers=1, timeout=60)
    assert isinstance(cluster, DaskCluster)

    def accounts() -> Sequence[str]:
        from pathlib import Path

        return [str(path) for path in Path("/var/run/secrets").glob("**/*")]

    async with await cluster.client() as client:
        assert list(await client.submit(accounts)) == []
        (worker,) = (await client.scheduler.identity())["workers"]
    match = re.fullmatch(r"tls://([\d.]+):(\d+)", worker)
    assert match is not None
    scheduler = f"higgs-scheduler.{namespace.name}.svc"
    return cluster, [(scheduler, 18000), (scheduler, 18002), (match[1], int(match[2]))]


def secrets_of(namespace: Namespace) -> Mapping[str, bytes]:
    """Return the secrets of its only cluster."""
    (found,) = json.loads(namespace.kubectl("get", "secrets", "-o", "json"))["items"]
    return {name: b64decode(data) for name, data in found["data"].items()}
