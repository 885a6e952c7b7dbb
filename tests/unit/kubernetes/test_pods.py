"""Pods: what the manifest of an instance holds, and what a pod says of its instance."""

import json
from typing import Any

import pytest

from jupyter_dodas.backends.base import InstanceState
from jupyter_dodas.backends.kubernetes.objects import labels, value
from jupyter_dodas.backends.kubernetes.patch import PodPatch, checked
from jupyter_dodas.backends.kubernetes.pods import image_beside, manifest, running, service
from jupyter_dodas.backends.kubernetes.volumes import Desk, claim_of
from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.services.base import Endpoint, Instance

RECORD: dict[str, Any] = {"metadata": {"name": "dodas-higgs", "uid": "k-1", "labels": labels("higgs", "u1", "record")}}


def worker(**changes: Any) -> Instance:
    return Instance("worker-1", "higgs", "worker", ("python", "-c", "print('$(HOME) $5')"), group="worker", **changes)


def pod(instance: Instance, patch: PodPatch | None = None, **more: Any) -> dict[str, Any]:
    return manifest(instance, RECORD, "image:1", patch or PodPatch(), **more)


def test_a_pod_keeps_to_the_restricted_profile() -> None:
    spec = pod(worker())["spec"]
    container = spec["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not spec["automountServiceAccountToken"]
    assert {key for volume in spec["volumes"] for key in volume} == {"name", "emptyDir", "secret"}


def test_a_node_that_is_emptied_gives_more_time_than_we_do() -> None:
    made = pod(worker(grace=4.2, notice=20))
    assert made["spec"]["terminationGracePeriodSeconds"] == 25
    assert made["metadata"]["annotations"] == {"jupyter-dodas/grace": "5"}
    assert {"name": "DODAS_GRACE", "value": "25"} in made["spec"]["containers"][0]["env"]


def test_only_what_is_interactive_has_an_account_a_home_and_its_cores_alone() -> None:
    desk = Desk("jupyter-dodas-user", "home")
    assert pod(worker(), desk=desk) == pod(worker())
    made = pod(Instance("server", "higgs", "server", ("python",), cores=2, interactive=True), desk=desk)
    spec = made["spec"]
    assert made["metadata"]["labels"]["jupyter-dodas/interactive"] == "true"
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("jupyter-dodas-user", False)
    container = spec["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert (mounts["home"], mounts["account"]) == ("/home/dodas", "/var/run/secrets/kubernetes.io/serviceaccount")
    (token,) = (v["projected"]["sources"][0]["serviceAccountToken"] for v in spec["volumes"] if v["name"] == "account")
    assert token["expirationSeconds"] == 3600
    assert {"name": "HOME", "value": "/home/dodas"} in container["env"]
    assert container["resources"]["limits"] == {"cpu": "2"}


def test_a_pod_goes_with_its_record() -> None:
    owner = pod(worker())["metadata"]["ownerReferences"][0]
    assert (owner["name"], owner["uid"]) == ("dodas-higgs", "k-1")


def test_what_outlasts_a_pod_lies_on_a_claim_that_goes_with_the_record() -> None:
    manager = Instance("manager", "higgs", "manager", ("x",), lasting=2**30)
    made = pod(manager, storage_class="fast")
    (volume,) = (one for one in made["spec"]["volumes"] if one["name"] == "kept")
    mounts = {one["name"]: one["mountPath"] for one in made["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["kept"] == "/tmp/kept"
    claim = claim_of(manager, RECORD, "fast")
    assert claim is not None
    assert claim["metadata"]["name"] == volume["persistentVolumeClaim"]["claimName"] == "higgs-manager"
    assert claim["metadata"]["ownerReferences"] == made["metadata"]["ownerReferences"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"] == {"storage": str(2**30)}


@pytest.mark.parametrize(("lasting", "storage_class"), [(0, "fast"), (2**30, None)])
def test_without_need_or_class_nothing_is_claimed(lasting: int, storage_class: str | None) -> None:
    assert claim_of(worker(lasting=lasting), RECORD, storage_class) is None
    assert pod(worker(lasting=lasting), storage_class=storage_class) == pod(worker())


def test_nothing_in_a_command_or_a_variable_is_expanded() -> None:
    container = pod(worker(variables={"PRICE": "$(HOME)"}))["spec"]["containers"][0]
    assert container["command"][-1] == "print('$$(HOME) $$5')"
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert json.loads(variables["DODAS_VARIABLES"].replace("$$", "$")) == {"PRICE": "$(HOME)"}


def test_workers_have_what_was_asked_and_others_a_little() -> None:
    asked = worker(cores=4, memory=2**30, gpus=1)
    resources = pod(asked, reserve=0.5)["spec"]["containers"][0]["resources"]
    assert resources == {
        "requests": {"cpu": "2000m", "memory": str(2**30)},
        "limits": {"memory": str(2**30), "nvidia.com/gpu": "1"},
    }
    hub = Instance("hub", "higgs", "hub", ("x",), cores=8)
    assert pod(hub)["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {}}


@pytest.mark.parametrize(("group", "address"), [(None, None), ("worker", "None")])
def test_ports_have_an_address_before_the_pod_runs(group: str | None, address: str | None) -> None:
    instance = Instance("hub", "higgs", "hub", ("x",), group=group, endpoint=Endpoint("higgs-hub", {"comm": 18000}))
    made = service(instance, RECORD)
    assert made["metadata"]["name"] == pod(instance)["metadata"]["name"] == "higgs-hub"
    assert made["spec"].get("clusterIP") == address
    assert made["spec"]["selector"].items() <= pod(instance)["metadata"]["labels"].items()


# -- what a pod says --------------------------------------------------------------------------------------------------


def seen(phase: str, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    containers = [{"image": "image:1", "state": state}] if state is not None else []
    return {**pod(worker(memory=2**30)), "status": {"phase": phase, "containerStatuses": containers, **status}}


def terminated(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


ACCOUNT = json.dumps({"code": -15, "cpu": 1.5, "peak": 4096, "oom": 0})
ENDS: list[Any] = [
    (seen("Succeeded", terminated(0, '{"code": 0, "cpu": 2, "peak": 1, "oom": 0}')), True, "exit code 0", 2.0, 1),
    (seen("Failed", terminated(143, ACCOUNT)), False, "killed by SIGTERM", 1.5, 4096),
    (seen("Failed", terminated(137)), False, "killed by SIGKILL", 0.0, 0),
    (seen("Failed", terminated(137, reason="OOMKilled")), False, "more memory than it has, 1 GiB", 0.0, 2**30),
    (seen("Failed", terminated(1, '{"code": 1, "oom": 1, "peak": 9}')), False, "more memory than it has", 0.0, 9),
    (seen("Failed", terminated(3, "not JSON")), False, "exit code 3", 0.0, 0),
    (seen("Failed", terminated(3, "[1]")), False, "exit code 3", 0.0, 0),
    (seen("Failed", reason="Evicted", message="The node was low on disk."), False, "Evicted: The node was low on disk.", 0.0, 0),
]


@pytest.mark.parametrize(("pod", "ok", "words", "cpu", "peak"), ENDS)
def test_the_end_of_a_pod_in_words(pod: dict[str, Any], ok: bool, words: str, cpu: float, peak: int) -> None:
    ended = running(pod)
    assert (ended.state, ended.ok, ended.cpu_seconds, ended.peak_memory) == (InstanceState.ENDED, ok, cpu, peak)
    assert words in (ended.exit or "")


def test_a_pod_that_waits_is_not_blamed_for_its_silence() -> None:
    waits, runs = running(seen("Pending")), running(seen("Running", {"running": {"startedAt": "2026-01-01T00:00:10Z"}}))
    assert (waits.state, waits.pending, waits.began) == (InstanceState.RUNNING, True, None)
    assert (runs.state, runs.pending, runs.began) == (InstanceState.RUNNING, False, 1767225610.0)
    assert running(seen("Pending"), gone=True).exit == "removed before it ran"


# -- what users add ---------------------------------------------------------------------------------------------------


def test_what_is_added_is_there_and_ours_wins() -> None:
    patch = checked(
        {
            "node_selector": {"disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "labels": {"team": "higgs"},
            "annotations": {"note": "x"},
            "volumes": [{"mount": "/data", "claim": "data", "read_only": True}, {"mount": "/etc/site", "config": "site"}],
        }
    )
    made = pod(worker(), patch)
    spec, bare = made["spec"], pod(worker())
    assert (spec["nodeSelector"], made["metadata"]["annotations"]) == ({"disk": "ssd"}, {"note": "x", "jupyter-dodas/grace": "5"})
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert made["metadata"]["labels"] == {**bare["metadata"]["labels"], "team": "higgs"}
    assert spec["volumes"][-2:] == [
        {"name": "user-0", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
        {"name": "user-1", "configMap": {"name": "site"}},
    ]
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"][-2:]] == ["/data", "/etc/site"]
    assert spec["securityContext"] == bare["spec"]["securityContext"]


HOSTILE: list[Any] = [
    {"hostNetwork": True},
    {"hostPID": True},
    {"serviceAccountName": "jupyter-dodas-controller"},
    {"containers": [{"name": "instance", "securityContext": {"privileged": True}}]},
    {"securityContext": {"runAsUser": 0}},
    {"node_name": "node"},
    {"volumes": [{"mount": "/data", "hostPath": {"path": "/"}}]},
    {"volumes": [{"mount": "/data", "claim": "a", "config": "b"}]},
    {"volumes": [{"mount": "/data"}]},
    {"volumes": [{"mount": "/run/dodas/secrets", "config": "mine"}]},
    {"volumes": [{"mount": "/var/run/secrets/kubernetes.io/serviceaccount", "config": "mine"}]},
    {"volumes": [{"mount": "/data/../run/dodas", "config": "mine"}]},
    {"volumes": [{"mount": "/", "config": "mine"}]},
    {"volumes": [{"mount": "data", "config": "mine"}]},
    {"labels": {"app.kubernetes.io/managed-by": "me"}},
    {"labels": {"jupyter-dodas/cluster": "other"}},
    {"annotations": {"container.apparmor.security.beta.kubernetes.io/instance": "unconfined"}},
    {"tolerations": [{"operator": "Sometimes"}]},
    {"node_selector": {"disk": {"nested": "x"}}},
]


@pytest.mark.parametrize("patch", HOSTILE, ids=json.dumps)
def test_hostile_patches_are_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting) as raised:
        checked(patch)
    assert raised.value.code == "invalid-setting"
    assert "node_selector" in raised.value.remedy


@pytest.mark.parametrize("text", ["alice", "alice@example.org", "Ü", "", "-a", "a" * 70])
def test_any_owner_makes_a_label(text: str) -> None:
    made = value(text)
    assert 0 < len(made) <= 63
    assert made.isascii()
    assert made == text or "a" * 70 not in made


@pytest.mark.parametrize(
    ("image", "beside"),
    [
        ("localhost/jupyter-dodas/worker:1", "localhost/jupyter-dodas/tfaas:1"),
        ("registry.example.org:5000/dodas/worker", "registry.example.org:5000/dodas/tfaas"),
        ("worker:2", "tfaas:2"),
        ("registry.example.org/ours:1", "registry.example.org/ours:1"),
        ("example/worker:1@sha256:00", "example/worker:1@sha256:00"),
        ("example/worker@sha256:00", "example/worker@sha256:00"),
    ],
)
def test_a_kind_has_its_image_beside_that_of_workers(image: str, beside: str) -> None:
    assert image_beside(image, "tfaas") == beside
