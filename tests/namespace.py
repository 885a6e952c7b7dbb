"""A namespace of its own for each test that runs something on Kubernetes, and what is left in it."""

import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from jupyter_dodas.testing.waiting import blocking_until, until
from tests.place import ROOT, Place

__all__ = ["KubernetesGround", "Namespace", "fail", "install_controller", "kubectl", "lose_the_api_server", "take_charge"]

_SELECTOR: Final = "app.kubernetes.io/managed-by=jupyter-dodas"
_KINDS: Final = "pods,services,configmaps,secrets"


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """Run kubectl with the kubeconfig of the tests; return what it says."""
    done = subprocess.run(
        [os.environ.get("DODAS_TEST_KUBECTL", "kubectl"), *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def fail(part: str, seconds: int) -> "subprocess.Popen[bytes]":
    """Kill a part of the test cluster; it comes back by itself after so many seconds."""
    if "/jupyter-dodas/kubernetes/" not in kubeconfig():
        pytest.skip("Parts of a cluster can be killed on the test cluster only: script/kubernetes up")
    return subprocess.Popen([ROOT / "script" / "kubernetes", "fail", part, str(seconds)], stdout=subprocess.DEVNULL)


def lose_the_api_server(seconds: int) -> None:
    """Have the API server away for so many seconds, until it answers again.

    Its clients begin anew then: after a few losses in a row they would take up to a minute before they look again.
    """
    fail("kube-apiserver", seconds).wait()
    blocking_until(lambda: kubectl("--kubeconfig", kubeconfig(), "get", "--raw", "/readyz", check=False), within=60)
    for starting in [fail(part, 0) for part in ("kube-scheduler", "kube-controller-manager", "kube-proxy", "kubelet")]:
        starting.wait()
    names = ("--kubeconfig", kubeconfig(), "--namespace", "kube-system")
    kubectl(*names, "delete", "pods", "--selector=app=coredns", "--grace-period=0", "--force")
    kubectl(*names, "rollout", "status", "deployment/coredns", "--timeout=60s")


class Namespace:
    """A namespace, and this test's settings that lead to it."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self._monkeypatch = place, monkeypatch
        self.name = f"test-{secrets.token_hex(4)}"
        self._volumes: list[str] = []
        image = os.environ.get("DODAS_TEST_IMAGES", "localhost/jupyter-dodas") + "/worker:1"
        settings = {"NAMESPACE": self.name, "IMAGE": image, "RESERVE": "0.05"}
        for name, value in settings.items():
            monkeypatch.setenv(f"DODAS_KUBERNETES_{name}", value)
        monkeypatch.setenv("DODAS_BACKEND", "kubernetes")
        self._admin = kubeconfig()
        monkeypatch.setenv("KUBECONFIG", self._admin)
        self.make()
        blocking_until(lambda: "default" in self.kubectl("get", "serviceaccounts", "-o", "name"), within=20)

    def make(self) -> None:
        """Make the namespace."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": _RESTRICTED}})

    def admin(self, *arguments: str) -> str:
        """Run kubectl as an administrator does."""
        return kubectl("--kubeconfig", self._admin, *arguments)

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True, as_admin: bool = True) -> str:
        """Run kubectl in the namespace."""
        who = ("--kubeconfig", self._admin) if as_admin else ()
        return kubectl(*who, "-n", self.name, *arguments, given=given, check=check)

    def apply(self, *things: Any) -> None:
        """Make or change objects."""
        for thing in things:
            kubectl("--kubeconfig", self._admin, "apply", "-f", "-", given=json.dumps(thing))

    def become(self, account: str, role: str | None = None) -> None:
        """Have this process act with an account of the namespace, and give it a role."""
        self.kubectl("create", "serviceaccount", account, check=False)
        if role is not None:
            self.kubectl("create", "rolebinding", f"{account}-{role}", f"--role={role}", f"--serviceaccount={self.name}:{account}")
        token = self.kubectl("create", "token", account).strip()
        found = json.loads(kubectl("--kubeconfig", self._admin, "config", "view", "--raw", "--flatten", "-o", "json"))
        found["users"] = [{"name": user["name"], "user": {"token": token}} for user in found["users"]]
        file = self.place.root / f"{account}.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(json.dumps(found))
        self._monkeypatch.setenv("KUBECONFIG", str(file))

    def share(self, folder: Path, claim: str) -> None:
        """Give pods a folder of this machine, as an administrator may; the node must be on this machine."""
        name = self.volume(folder, claim)
        spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": name}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"namespace": self.name, "name": claim},
                "spec": {**spec, "resources": {"requests": {"storage": "1Gi"}}},
            },
        )

    def volume(self, folder: Path, claim: str, storage_class: str = "") -> str:
        """Make a volume of a folder of this machine for a claim, and return its name."""
        name = f"{self.name}-{claim}"
        spec = {
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "storageClassName": storage_class,
            "capacity": {"storage": "100Gi"},
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": self.name, "name": claim},
        }
        self._volumes.append(name)
        self.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
        return name

    def left(self, kinds: str = _KINDS) -> Sequence[str]:
        """Name every object here that carries our label."""
        return self.kubectl("get", kinds, "-l", _SELECTOR, "-o", "name").split()

    def pods(self) -> Sequence[Any]:
        """Return the pods of clusters."""
        found: Sequence[Any] = json.loads(self.kubectl("get", "pods", "-l", _SELECTOR, "-o", "json"))["items"]
        return found

    def process(self, uid: str) -> int:
        """Return the first process of a pod's container, if its node is on this machine."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                here = uid in (folder / "cgroup").read_text() or uid.replace("-", "_") in (folder / "cgroup").read_text()
                if here and b"kubernetes.wrapper" in (folder / "cmdline").read_bytes():
                    return int(folder.name)
            except OSError:
                continue  # it has ended
        pytest.skip("Processes of pods can be killed on the test cluster only: script/kubernetes up")

    def receipts(self) -> Sequence[Any]:
        """Return what was accounted for here."""
        found = json.loads(self.kubectl("get", "configmap", "jupyter-dodas-accounts", "-o", "json"))
        return [json.loads(line) for line in found["data"]["receipts.jsonl"].splitlines()]

    def install(self, *files: str) -> None:
        """Apply what an administrator does."""
        for file in files:
            self.kubectl("apply", "-f", str(ROOT / "deploy" / file))

    def notebook(self, code: str, account: str) -> None:
        """Run code in a pod, as a user's notebook that has an account of the namespace; `said` tells what it prints."""
        container = {
            "name": "notebook",
            "image": os.environ["DODAS_KUBERNETES_IMAGE"].replace("worker", "notebook"),
            "command": ["python", "-c", code],
            "env": [{"name": "DODAS_BACKEND", "value": "kubernetes"}, {"name": "HOME", "value": "/tmp"}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        user = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
        spec = {"serviceAccountName": account, "restartPolicy": "Never", "securityContext": user, "containers": [container]}
        metadata = {"name": "notebook", "namespace": self.name}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def said(self, within: float) -> str:
        """Return what the notebook printed, once it has ended."""
        phase = ("get", "pod", "notebook", "-o", "jsonpath={.status.phase}")
        try:
            await until(lambda: self.kubectl(*phase), within=within, meets=lambda found: found in ("Succeeded", "Failed"))
        except AssertionError as error:
            error.add_note(self.kubectl("logs", "notebook", check=False))
            raise
        return self.kubectl("logs", "notebook")

    def close(self) -> None:
        """Remove it with all that is in it, without waiting for that."""
        for process in self.place.controllers():
            process.kill()
        kubectl("--kubeconfig", self._admin, "delete", "namespace", self.name, "--wait=false", check=False)
        for volume in self._volumes:
            kubectl("--kubeconfig", self._admin, "delete", "persistentvolume", volume, "--wait=false")
        self.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false", check=False)


_RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}


def kubeconfig() -> str:
    """Return the kubeconfig of the cluster that tests run on; skip where there is none."""
    found = os.environ.get("DODAS_TEST_KUBECONFIG") or os.environ.get("KUBECONFIG") or ""
    if not found or not Path(found).exists():
        pytest.skip("There is no Kubernetes cluster: script/kubernetes up makes one, DODAS_TEST_KUBECONFIG names another.")
    return found


def install_controller(namespace: Namespace) -> None:
    """Install the controller, and wait until it is in charge."""
    namespace.install("controller.yaml", "networkpolicies.yaml")
    take_charge(namespace)


def take_charge(namespace: Namespace) -> None:
    """Wait until the controller of a namespace is in charge. The node is small."""
    namespace.kubectl("set", "env", "deployment/jupyter-dodas-controller", "DODAS_KUBERNETES_RESERVE=0.05")
    namespace.kubectl("rollout", "status", "deployment/jupyter-dodas-controller", "--timeout=60s")
    holder = ("get", "lease", "jupyter-dodas-controller", "-o", "jsonpath={.spec.holderIdentity}")
    blocking_until(lambda: namespace.kubectl(*holder, check=False), within=60)


class KubernetesGround:
    """A namespace as the contract of pairs wants it."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def kill_controller(self) -> None:
        """See `Ground.kill_controller`."""
        process = self._namespace.place.controller()
        process.kill()
        await until(process.alive, within=5, meets=lambda alive: not alive)

    async def left(self) -> Sequence[str]:
        """See `Ground.left`."""
        return self._namespace.left("pods")
