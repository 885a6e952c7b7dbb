"""A hub as a pod, installed with the commands of the guide, under names of its own."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import yaml

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser, free_ports
from tests.namespace import kubeconfig, kubectl
from tests.place import ROOT

__all__ = ["Estate", "HubPod", "commands"]

_IMAGES: Final = os.environ.get("DODAS_TEST_IMAGES", "localhost/jupyter-dodas")
HUB: Final = "jupyter-dodas-hub"


class Estate:
    """The names of a hub and of its users' namespaces, and its rights: of deploy/hub/, with other names."""

    def __init__(self) -> None:
        self.admin = kubeconfig()
        mark = secrets.token_hex(3)
        self.namespace, self.prefix = f"hub-{mark}", f"user-{mark}-"
        self._mark = mark
        self._folder = tempfile.TemporaryDirectory(prefix="dodas-hub-pod-")
        self.folder = Path(self._folder.name)
        (self.folder / "deploy" / "hub").mkdir(parents=True)
        self._known = set(self.kubectl("get", "clusterroles", "-o", "name").split())
        for file in ("roles.yaml", "hub.yaml"):
            things = [self.renamed(one) for one in yaml.safe_load_all((ROOT / "deploy" / "hub" / file).read_text("utf-8"))]
            (self.folder / "deploy" / "hub" / file).write_text(yaml.safe_dump_all(filter(None, things)))

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """Run kubectl as an administrator does."""
        return kubectl("--kubeconfig", self.admin, *arguments, given=given, check=check)

    def of(self, user: str) -> str:
        """The namespace of a user."""
        return f"{self.prefix}{user}"

    def left(self, user: str, kinds: str = "pods,services,configmaps,secrets") -> Sequence[str]:
        """What clusters and notebooks of a user have left."""
        selector = "app.kubernetes.io/managed-by=jupyter-dodas"
        return self.kubectl("-n", self.of(user), "get", kinds, "-l", selector, "-o", "name", check=False).split()

    @contextmanager
    def homes(self, folder: Path, *users: str) -> Iterator[None]:
        """Have volumes for the homes of users, where no storage class makes them: folders of this machine, and so of the node."""
        if "is-default-class" in self.kubectl("get", "storageclasses", "-o", "json"):
            yield
            return
        names = []
        for user in users:
            (folder / user).mkdir()
            (folder / user).chmod(0o777)
            names.append(name := f"{self.of(user)}-home")
            spec: dict[str, Any] = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": ""}
            spec |= {"hostPath": {"path": str(folder / user)}, "claimRef": {"namespace": self.of(user), "name": "home"}}
            volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
            self.kubectl("apply", "-f", "-", given=json.dumps(volume))
        try:
            yield
        finally:
            self.kubectl("delete", "persistentvolume", *names, "--wait=false")

    def renamed(self, thing: Any) -> Any:
        """Return an object of deploy/hub with the names of this hub; None if it is not for a test cluster."""
        text = json.dumps(thing)
        for before, after in (
            ('"namespace": "jupyterhub"', f'"namespace": "{self.namespace}"'),
            ("serviceaccount:jupyterhub:", f"serviceaccount:{self.namespace}:"),
            ("hub.jupyterhub", f"hub.{self.namespace}"),
            ('\\"jupyter-\\"', f'\\"{self.prefix}\\"'),
        ):
            text = text.replace(before, after)
        found = json.loads(text)
        if found["kind"] == "Namespace":
            found["metadata"]["name"] = self.namespace
        if found["kind"] in ("ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
            found["metadata"]["name"] += f"-{self._mark}"
        if found["kind"] == "ValidatingAdmissionPolicyBinding":
            found["spec"]["policyName"] += f"-{self._mark}"
        return found

    def install_rights(self) -> None:
        """Install what a hub outside the cluster needs: roles, and an account."""
        things = yaml.safe_load_all((self.folder / "deploy" / "hub" / "hub.yaml").read_text())
        account = [one for one in things if one["kind"] in ("Namespace", "ServiceAccount")]
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(account))
        self.kubectl("apply", "-f", str(self.folder / "deploy" / "hub" / "roles.yaml"))

    def account(self) -> Path:
        """Return a kubeconfig with the account of the hub."""
        token = self.kubectl("-n", self.namespace, "create", "token", HUB).strip()
        found = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        found["users"] = [{"name": user["name"], "user": {"token": token}} for user in found["users"]]
        file = self.folder / "hub.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(json.dumps(found))
        return file

    def close(self) -> None:
        """Remove all of it, without waiting for that. Tests may have removed some, which goes meanwhile."""
        with self._folder:
            delete = ("delete", "--ignore-not-found", "--wait=false")
            mine = [name for name in self.kubectl("get", "namespaces", "-o", "name").split() if self._mark in name]
            for name in mine:
                self.kubectl("-n", name.partition("/")[2], *delete, "pods,deployments", "--all", "--grace-period=0", "--force")
            policies = "validatingadmissionpolicies,validatingadmissionpolicybindings,clusterrolebindings"
            roles = set(self.kubectl("get", "clusterroles", "-o", "name").split()) - self._known
            found = [name for name in self.kubectl("get", policies, "-o", "name").split() if self._mark in name]
            if left := [*mine, *found, *(name for name in roles if "/jupyter-dodas-" in name)]:
                self.kubectl(*delete, *left)


def commands() -> Sequence[str]:
    """Return the first block below "On Kubernetes" in the guide."""
    below = (ROOT / "docs" / "guides" / "notebooks.md").read_text("utf-8").partition("## On Kubernetes")[2]
    found = re.search(r"```sh\n(.*?)```", below, re.DOTALL)
    assert found is not None
    return [line.partition("  #")[0].strip() for line in found[1].splitlines()]


class HubPod(AbstractContextManager["HubPod"]):
    """A hub with its proxy and the development IAM in a pod. Browsers come by forwarded ports.

    Parameters
    ----------
    lines
        More lines for its configuration.
    """

    def __init__(self, lines: str = "") -> None:
        self.estate = Estate()
        self._browsers: list[Browser] = []
        self.port, self._iam_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self._forwarding: subprocess.Popen[bytes] | None = None
        try:
            self._fit(lines)
            *install, forward = (self._told(command) for command in commands())
            for command in install:
                subprocess.run(
                    ["bash", "-c", command], cwd=self.estate.folder, env=self._environment(), check=True, capture_output=True
                )
            self.kubectl("rollout", "status", f"deployment/{HUB}", "--timeout=120s")
            blocking_until(lambda: self._answers(forward), within=60)
        except BaseException as error:
            error.add_note(self.said())
            self.__exit__()
            raise

    def _fit(self, lines: str) -> None:
        """Have the manifests fit a small cluster without storage, and the ports that are free on this machine."""
        file = self.estate.folder / "deploy" / "hub" / "hub.yaml"
        things = [one for one in yaml.safe_load_all(file.read_text()) if one["kind"] != "PersistentVolumeClaim"]
        for thing in things:
            if thing["kind"] == "ConfigMap":
                thing["data"]["jupyterhub_config.py"] += "\nc.JupyterHub.log_level = 'DEBUG'\n" + lines
            if thing["kind"] == "Deployment":
                told = {
                    "DODAS_HUB_PORT": str(self.port),
                    "DODAS_HUB_IAM_PORT": str(self._iam_port),
                    "DODAS_HUB_NAMESPACE": f"{self.estate.prefix}{{username}}",
                    "DODAS_HUB_IMAGE": f"{_IMAGES}/notebook:1",
                    "DODAS_HUB_CONTROLLER_IMAGE": f"{_IMAGES}/controller:1",
                    "DODAS_KUBERNETES_IMAGE": f"{_IMAGES}/worker:1",
                    "DODAS_KUBERNETES_RESERVE": "0.05",
                }
                pod = thing["spec"]["template"]["spec"]
                pod["volumes"] = [{"name": "state", "emptyDir": {}}, *(one for one in pod["volumes"] if one["name"] != "state")]
                for container in pod["containers"]:
                    kept = [one for one in container["env"] if one["name"] not in told]
                    container["env"] = [*({"name": name, "value": value} for name, value in told.items()), *kept]
                    container["image"] = f"{_IMAGES}/hub:1"
                    for port in container.get("ports", ()):
                        port["containerPort"] = self.port
        file.write_text(yaml.safe_dump_all(things))

    def _told(self, command: str) -> str:
        """Return a command of the guide with the names of this hub."""
        return command.replace("jupyterhub", self.estate.namespace).replace("8000 8002", f"{self.port} {self._iam_port}")

    def _environment(self) -> dict[str, str]:
        program = Path(os.environ.get("DODAS_TEST_KUBECTL") or shutil.which("kubectl") or "kubectl")
        return {**os.environ, "KUBECONFIG": self.estate.admin, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def _answers(self, forward: str) -> bool:
        # It ends when nobody listens yet.
        if self._forwarding is None or self._forwarding.poll() is not None:
            command = ["bash", "-c", f"exec {forward}"]
            self._forwarding = subprocess.Popen(command, env=self._environment(), stdout=subprocess.DEVNULL)
        try:
            return all(
                httpx.get(url, timeout=2).is_success for url in (f"{self.url}/hub/health", f"http://127.0.0.1:{self._iam_port}/jwk")
            )
        except httpx.HTTPError:
            return False

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace of the hub."""
        return self.estate.kubectl("-n", self.estate.namespace, *arguments)

    def said(self) -> str:
        """What stands in the log of the hub."""
        return self.estate.kubectl("-n", self.estate.namespace, "logs", f"deployment/{HUB}", "--container=hub", check=False)

    def browser(self) -> Browser:
        """A browser without any cookie."""
        made = Browser(self)
        self._browsers.append(made)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for browser in self._browsers:
            browser.client.close()
        if self._forwarding is not None:
            self._forwarding.send_signal(signal.SIGTERM)
            self._forwarding.wait(10)
        self.estate.close()
