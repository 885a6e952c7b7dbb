"""Why a pod does not run, from what Kubernetes says."""

from typing import Any

import pytest

from jupyter_dodas.backends.kubernetes.objects import INSTANCE
from jupyter_dodas.backends.kubernetes.trouble import refusal, trouble


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {INSTANCE: "worker-1"}}, "status": status}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod(containerStatuses=[{"image": "a:1", "state": {"waiting": {"reason": reason, "message": message}}}])


def unscheduled(message: str) -> dict[str, Any]:
    return pod(conditions=[{"type": "PodScheduled", "status": "False", "message": message}])


@pytest.mark.parametrize(
    ("pod", "code", "remedy"),
    [
        (waiting("ErrImagePull", "not found"), "image", "environment.image"),
        (waiting("ImagePullBackOff"), "image", "environment.image"),
        (waiting("InvalidImageName"), "image", "environment.image"),
        (
            waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
            "container",
            "ordinary user",
        ),
        (waiting("CreateContainerError", "no space"), "container", "image has"),
        (unscheduled("0/1 nodes are available: 1 Insufficient cpu."), "unschedulable", "smaller workers"),
        (unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."), "unschedulable", "GPUs"),
        (unscheduled("1 node(s) didn't match Pod's node affinity/selector."), "unschedulable", "node selector"),
        (unscheduled("1 node(s) had untolerated taint {gpu: }."), "unschedulable", "toleration"),
        (unscheduled('persistentvolumeclaim "data" not found'), "unschedulable", "claim"),
        (unscheduled("pod has unbound immediate PersistentVolumeClaims"), "unschedulable", "storage class"),
        (unscheduled("something new"), "unschedulable", "wait until others end"),
    ],
)
def test_what_a_status_says(pod: dict[str, Any], code: str, remedy: str) -> None:
    problem = trouble(pod)
    assert problem is not None
    assert problem.code == code
    assert "worker-1" in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("reason", "code"), [("FailedMount", "mount"), ("FailedAttachVolume", "mount"), ("FailedCreatePodSandBox", "node")]
)
def test_what_an_event_says(reason: str, code: str) -> None:
    problem = trouble(pod(phase="Pending"), (reason, "why"))
    assert problem is not None
    assert (problem.code, "why" in problem.cause) == (code, True)


@pytest.mark.parametrize(
    "why",
    [
        'MountVolume.SetUp failed for volume "files" : failed to sync secret cache: timed out waiting for the condition',
        'MountVolume.SetUp failed for volume "account" : object "cms"/"kube-root-ca.crt" not registered',
    ],
)
def test_what_a_busy_node_says_before_it_has_read_a_secret_is_no_trouble(why: str) -> None:
    assert trouble(pod(phase="Pending"), ("FailedMount", why)) is None


@pytest.mark.parametrize("pod", [pod(), waiting("ContainerCreating"), waiting("PodInitializing")])
def test_what_takes_its_time_is_no_trouble(pod: dict[str, Any]) -> None:
    assert trouble(pod) is None


@pytest.mark.parametrize(
    ("message", "code", "cause"),
    [
        (
            'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0',
            "quota",
            "requested: pods=1",
        ),
        ('pods "x" is forbidden: failed quota: q: must specify limits.cpu', "quota", "must specify"),
        ("unable to create new content in namespace n because it is being terminated", "namespace-ends", "terminated"),
        ('pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi', "limited", "1Gi"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": hostNetwork', "policy", "hostNetwork"),
        ('admission webhook "policy" denied the request: no', "policy", "denied"),
        ('Pod "x" is invalid: spec.volumes[1].name: Invalid value', "refused", "Invalid value"),
    ],
)
def test_what_a_refusal_says(message: str, code: str, cause: str) -> None:
    problem = refusal("worker-1", "n", 403, message)
    assert problem.code == code
    assert cause in problem.cause
    assert problem.remedy
