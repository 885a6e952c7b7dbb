"""The demo with clusters as pods: the numbers of the data, from a namespace that was made for it and is gone afterwards."""

import re
import signal
import subprocess

import pytest

from tests.namespace import Namespace
from tests.place import ROOT

UP = ROOT / "script" / "up"


@pytest.mark.timeout(400)
def test_the_demo_finds_the_numbers_in_pods_and_leaves_nothing(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DODAS_KUBERNETES_NAMESPACE")
    done = subprocess.run([UP, "--demo", "--backend", "kubernetes"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for number in (2304, 500, 443):
        assert re.search(rf" {number} +{number}$", done.stdout, re.MULTILINE), done.stdout
    purity = re.search(r"^purity in the window +([\d.]+)% +([\d.]+)%$", done.stdout, re.MULTILINE)
    assert purity, done.stdout
    assert float(purity[1]) < 88 < 92 < float(purity[2])
    mass = re.search(r"^Z mass  ([\d.]+) \+- ([\d.]+) GeV$", done.stdout, re.MULTILINE)
    assert mass, done.stdout
    assert 90.0 < float(mass[1]) < 91.5
    own = re.search(r"^Clusters run as pods in the namespace ([\w-]+) of your Kubernetes", done.stderr, re.MULTILINE)
    assert own, done.stderr
    assert own[1] != namespace.name
    assert own[1] not in namespace.admin("get", "namespaces", "-o", "name")
    assert not namespace.left()
    assert namespace.place.processes() == []


def test_a_namespace_that_is_named_is_used_and_stays(namespace: Namespace) -> None:
    command = [str(UP), "--port", "0", "--backend", "kubernetes"]
    said = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert f"the namespace {namespace.name} of your Kubernetes" in said
    assert namespace.admin("get", "namespace", namespace.name, "-o", "jsonpath={.status.phase}") == "Active"


def test_who_may_not_make_a_namespace_is_told_to_name_one(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace.install("user.yaml")
    namespace.become("ada", "jupyter-dodas-user")
    monkeypatch.delenv("DODAS_KUBERNETES_NAMESPACE")
    done = subprocess.run([UP, "--backend", "kubernetes"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "error: You may not make a namespace" in done.stderr
    assert "hint: Name one that you may use: DODAS_KUBERNETES_NAMESPACE=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_backend_that_does_not_exist_is_told() -> None:
    done = subprocess.run([UP, "--backend", "kubernets"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'kubernets' (choose from 'local', 'kubernetes')" in done.stderr
