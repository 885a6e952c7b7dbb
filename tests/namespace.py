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
from tests.place import Place

__all__ = ["KubernetesGround", "Namespace", "kubectl"]

_SELECTOR: Final = "app.kubernetes.io/managed-by=jupyter-dodas"
_KINDS: Final = "pods,services,configmaps,secrets"


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """Run kubectl with the kubeconfig of the tests; return what it says."""
    done = subprocess.run(
        [os.environ.get("DODAS_TEST_KUBECTL", "kubectl"), *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


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
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": _RESTRICTED}})
        blocking_until(lambda: "default" in self.kubectl("get", "serviceaccounts", "-o", "name"), within=20)

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True, as_admin: bool = True) -> str:
        """Run kubectl in the namespace."""
        who = ("--kubeconfig", self._admin) if as_admin else ()
        return kubectl(*who, "-n", self.name, *arguments, given=given, check=check)

    def apply(self, *things: Any) -> None:
        """Make or change objects."""
        for thing in things:
            kubectl("--kubeconfig", self._admin, "apply", "-f", "-", given=json.dumps(thing))

    def become(self, account: str, role: str) -> None:
        """Have this process act with an account of the namespace that has one role."""
        self.kubectl("create", "serviceaccount", account, check=False)
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
        amount, name = {"storage": "1Gi"}, f"{self.name}-{claim}"
        common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        bound = {"namespace": self.name, "name": claim}
        volume = {**common, "capacity": amount, "hostPath": {"path": str(folder)}, "claimRef": bound}
        self._volumes.append(name)
        self.apply(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": bound,
                "spec": {**common, "volumeName": name, "resources": {"requests": amount}},
            },
        )

    def left(self, kinds: str = _KINDS) -> Sequence[str]:
        """Name every object here that carries our label."""
        return self.kubectl("get", kinds, "-l", _SELECTOR, "-o", "name").split()

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
