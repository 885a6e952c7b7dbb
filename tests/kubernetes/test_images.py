"""What stands in the images, as pods of them tell."""

import functools
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jupyter_dodas.testing.waiting import blocking_until
from tests.namespace import kubeconfig, kubectl
from tests.place import ROOT

# Run in a pod: what it is, as JSON.
TELL = """
import hashlib, importlib.metadata, importlib.util, json, os, pathlib, shutil, site, sys
def archive():
    from jupyter_dodas.services.spark import archive, java
    return archive.find(java.find_java(os.environ), java.find_spark())
print(json.dumps({
    "uid": os.getuid(),
    "first": pathlib.Path("/proc/1/comm").read_text().strip(),
    "writes": [path for path in [os.path.expanduser("~"), "/tmp"] if os.access(path, os.W_OK)],
    "reads_only": not os.access(site.getsitepackages()[0], os.W_OK),
    "compilers": [name for name in ["cc", "gcc", "g++", "clang", "make", "go", "uv"] if shutil.which(name)],
    "settings": [name for name in os.environ if name.startswith(("PIP_", "UV_"))]
        + [path for path in ["/etc/pip.conf", "/etc/uv", "/run/index", "/run/authorities", "/src"] if os.path.exists(path)],
    "python": ".".join(map(str, sys.version_info[:2])),
    "packages": {one.name: one.version for one in importlib.metadata.distributions()},
    "java": bool(shutil.which("java")),
    "archive": archive() if importlib.util.find_spec("pyspark") else None,
    "code": {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in pathlib.Path(site.getsitepackages()[0]).glob("jupyter_dodas") for path in folder.rglob("*.py")},
}))
"""
IMAGES = sorted(file.parent.name for file in ROOT.glob("images/*/Containerfile"))


@pytest.fixture(scope="module")
def told() -> Iterator[Mapping[str, Any]]:
    """What a pod of each image says, under the strictest profile."""
    asked = functools.partial(kubectl, "--kubeconfig", kubeconfig())
    namespace = f"images-{secrets.token_hex(4)}"
    asked("create", "namespace", namespace)
    asked("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    blocking_until(lambda: "default" in asked("-n", namespace, "get", "serviceaccounts", "-o", "name"), within=20)
    for name in IMAGES:
        asked("-n", namespace, "apply", "-f", "-", given=json.dumps(pod(name)))
    finished = ("-n", namespace, "get", "pods", "--field-selector=status.phase=Succeeded", "-o", "name")
    blocking_until(lambda: asked(*finished).split(), within=90, meets=lambda names: len(names) == len(IMAGES))
    yield {name: json.loads(asked("-n", namespace, "logs", name)) for name in IMAGES}
    asked("delete", "namespace", namespace, "--wait=false")


def pod(name: str) -> Mapping[str, Any]:
    container = {
        "name": name,
        "image": os.environ.get("DODAS_TEST_IMAGES", "localhost/jupyter-dodas") + f"/{name}:1",
        "args": ["python", "-c", TELL],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    safe = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "restartPolicy": "Never", "securityContext": safe}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("name", IMAGES)
def test_an_unprivileged_user_runs_below_tini(told: Mapping[str, Any], name: str) -> None:
    assert (told[name]["uid"], told[name]["first"]) == (1000, "tini")
    assert told[name]["reads_only"]
    assert len(told[name]["writes"]) == 2


@pytest.mark.parametrize("name", IMAGES)
def test_nothing_of_the_build_is_left(told: Mapping[str, Any], name: str) -> None:
    assert told[name]["compilers"] == []
    assert told[name]["settings"] == []


@pytest.mark.parametrize("name", IMAGES)
def test_every_package_has_the_version_of_the_constraints(told: Mapping[str, Any], name: str) -> None:
    pins = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in map(Requirement, constraints())}
    pins[canonicalize_name("tensorflow-cpu")] = pins[canonicalize_name("tensorflow")]
    # This package itself, and pip for users, are not pinned.
    others = {canonicalize_name(one): version for one, version in told[name]["packages"].items()}
    unpinned = others.keys() - pins.keys()
    assert unpinned <= {"jupyter-dodas", "pip"}
    assert {one: version for one, version in others.items() if one not in unpinned and version != pins[one]} == {}


@pytest.mark.parametrize("name", [name for name in IMAGES if name != "base"])
def test_the_package_is_that_of_the_checkout(told: Mapping[str, Any], name: str) -> None:
    package = ROOT / "jupyter_dodas"
    here = {path.relative_to(package).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in package.rglob("*.py")}
    assert told[name]["code"] == here


def constraints() -> list[str]:
    return Path(ROOT / "constraints.txt").read_text("utf-8").splitlines()


def test_notebook_and_worker_have_the_same_packages_and_python(told: Mapping[str, Any]) -> None:
    notebook, worker = told["notebook"], told["worker"]
    assert worker["packages"].items() <= notebook["packages"].items()
    assert worker["python"] == notebook["python"]
    assert worker["java"]


@pytest.mark.parametrize("name", ["worker", "notebook"])
def test_spark_finds_its_classes_in_memory(told: Mapping[str, Any], name: str) -> None:
    assert told[name]["archive"].startswith("/opt/dodas/share/jupyter-dodas/spark-")


def test_the_hub_brings_its_proxy_and_nothing_to_compute_with(told: Mapping[str, Any]) -> None:
    packages = {name.replace("-", "_") for name in told["hub"]["packages"]}
    assert {"jupyterhub", "oauthenticator", "kubernetes", "jupyter_dodas"} <= packages
    assert not {"distributed", "pyspark", "jupyterlab"} & packages


def test_the_controller_has_what_it_takes_and_no_more(told: Mapping[str, Any]) -> None:
    packages = told["controller"]["packages"]
    assert {"jupyter_dodas", "kubernetes", "cryptography"} <= {name.replace("-", "_") for name in packages}
    assert not {"distributed", "pyspark", "numpy"} & set(packages)


def test_the_server_of_models_converts_them_and_has_nothing_of_clusters(told: Mapping[str, Any]) -> None:
    packages = {canonicalize_name(name) for name in told["tfaas"]["packages"]}
    assert {"ai-edge-litert", "onnxruntime", "uvicorn", "keras", "tensorflow-cpu", "tf2onnx"} <= packages
    assert not {"distributed", "pyspark", "kubernetes", "jupyterlab"} & packages
