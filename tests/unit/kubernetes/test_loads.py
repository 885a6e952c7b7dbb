"""What a metrics server says of pods."""

import pytest

from jupyter_dodas.backends.base import Load
from jupyter_dodas.backends.kubernetes.loads import of_pods
from jupyter_dodas.backends.kubernetes.objects import labels


def pod(cluster: str, instance: str, *used: dict[str, str]) -> dict[str, object]:
    metadata = {"labels": labels(cluster, "0123", "pod", **{"jupyter-dodas/instance": instance})}
    return {"metadata": metadata, "containers": [{"name": str(number), "usage": one} for number, one in enumerate(used)]}


@pytest.mark.parametrize(
    ("cpu", "memory", "load"),
    [
        ("125m", "512Mi", Load(0.125, 512 << 20)),
        ("12345678n", "131072Ki", Load(0.012345678, 128 << 20)),
        ("2", "1500", Load(2.0, 1500)),
        ("1.5", "2G", Load(1.5, 2 * 10**9)),
        ("0", "0", Load()),
    ],
)
def test_amounts_are_read_as_kubernetes_writes_them(cpu: str, memory: str, load: Load) -> None:
    found = of_pods({"items": [pod("higgs", "worker-1", {"cpu": cpu, "memory": memory})]})
    assert found == {"higgs": {"worker-1": load}}


def test_containers_are_added_up_and_strangers_left_out() -> None:
    one = {"cpu": "250m", "memory": "1Mi"}
    body = {
        "items": [pod("higgs", "worker-1", one, one), pod("higgs", "worker-2"), {"metadata": {"name": "other"}, "containers": []}]
    }
    assert of_pods(body) == {"higgs": {"worker-1": Load(0.5, 2 << 20), "worker-2": Load()}}
    assert of_pods({}) == {}
