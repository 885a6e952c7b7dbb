"""Why a pod does not run, in words: what Kubernetes says of it, turned into what happened, why, and what to do. Pure."""

import re
from typing import Final

from jupyter_dodas.backends.kubernetes.api import Object
from jupyter_dodas.backends.kubernetes.objects import INSTANCE, name_of
from jupyter_dodas.spec import Problem

__all__ = ["WARNINGS", "refusal", "trouble"]

WARNINGS: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedPostStartHook"})
"""Events that tell what the status of a pod does not."""

_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_CONTAINER: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

_SCHEDULING: Final[tuple[tuple[str, str], ...]] = (
    (r"persistentvolumeclaim \"[^\"]*\" not found", "Name a claim that there is in the setting kubernetes_pod."),
    (r"unbound .*PersistentVolumeClaims", "The claim has no volume yet; its storage class makes one, or your administrator does."),
    (r"node affinity|node\(s\) didn't match", "No node has these labels; mend the node selector in the setting kubernetes_pod."),
    (r"taint", "The nodes are kept for others; add a toleration to the setting kubernetes_pod if they are for you too."),
    (r"nvidia|gpu", "Ask for fewer GPUs for each worker, or wait until others end."),
    (r"Insufficient", "Ask for fewer or smaller workers, or wait until others end: it starts by itself."),
)
"""Remedies, by what the scheduler says. The first that fits."""


_REFUSALS: Final[tuple[tuple[str, str, str, str], ...]] = (
    (
        r"exceeded quota|failed quota",
        "quota",
        "{name} waits for room in the quota of the namespace {namespace}",
        "It starts by itself once others end. Stop what you do not need, or ask your administrator for more.",
    ),
    (
        r"being terminated",
        "namespace-ends",
        "{name} cannot start: the namespace {namespace} is being deleted",
        "Everything in it ends. Use another namespace.",
    ),
    (
        r"(maximum|minimum) .* usage per|LimitRange",
        "limited",
        "{name} is larger or smaller than the namespace {namespace} allows",
        "Ask for workers of another size.",
    ),
    (
        r"PodSecurity|admission webhook|denied",
        "policy",
        "A policy of the namespace {namespace} does not let {name} in",
        "Take out of kubernetes_pod what the cause names, or ask your administrator.",
    ),
)
"""By what the API server says: a code, what happened, and what to do. The first that fits."""

_PASSING: Final = re.compile(r"failed to sync \w+ cache|object .* not registered")
"""What a busy node says of a volume before it has read the secret in it. It tries again by itself, within seconds."""

_QUOTA: Final = re.compile(r".*exceeded quota: (?P<quota>[^,]+), (?P<what>.*)")


def trouble(pod: Object, complaint: tuple[str, str] | None = None) -> Problem | None:
    """Say what keeps a pod from running; None if nothing is known to.

    Parameters
    ----------
    complaint
        Reason and message of the last warning about it.
    """
    name, status = name_of(pod, INSTANCE), pod.get("status", {})
    for container in status.get("containerStatuses") or ():
        waiting = container.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE:
            return _image(name, container["image"], reason, message)
        if reason in _CONTAINER:
            return _container(name, reason, message)
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _unscheduled(name, condition.get("message", ""))
    if complaint is not None and not _PASSING.search(complaint[1]):
        return _complaint(name, *complaint)
    return None


def _image(name: str, image: str, reason: str, message: str) -> Problem:
    return Problem(
        code="image",
        message=f"{name} waits for its image {image}, which cannot be fetched",
        cause=message or reason,
        remedy="See that environment.image, or the setting kubernetes_image, names an image that the cluster can reach.",
    )


def _container(name: str, reason: str, message: str) -> Problem:
    root = "runAsNonRoot" in message or "will run as root" in message
    return Problem(
        code="container",
        message=f"{name} cannot be started in its image",
        cause=message or reason,
        remedy="Use an image whose programs run as an ordinary user." if root else "See that the image has what is asked for.",
    )


def _unscheduled(name: str, message: str) -> Problem:
    remedy = next((remedy for pattern, remedy in _SCHEDULING if re.search(pattern, message, re.IGNORECASE)), _SCHEDULING[-1][1])
    return Problem(code="unschedulable", message=f"{name} waits for a node that has room for it", cause=message, remedy=remedy)


def _complaint(name: str, reason: str, message: str) -> Problem:
    if "Mount" in reason or "Volume" in reason:
        return Problem(
            code="mount",
            message=f"{name} waits for a volume that cannot be mounted",
            cause=message,
            remedy="See that what the volumes of the setting kubernetes_pod name is there: kubectl get configmaps,pvc",
        )
    return Problem(
        code="node",
        message=f"The node of {name} cannot start it",
        cause=f"{reason}: {message}",
        remedy="It is tried again by itself; if this stays, tell your administrator.",
    )


def refusal(name: str, namespace: str, status: int, message: str) -> Problem:
    """Say why the API server does not take a pod."""
    for pattern, code, what, remedy in _REFUSALS:
        if re.search(pattern, message):
            cause = _QUOTA.sub(r"Quota \g<quota>: \g<what>.", message)
            return Problem(code=code, message=what.format(name=name, namespace=namespace), cause=cause, remedy=remedy)
    return Problem(
        code="refused",
        message=f"The Kubernetes cluster does not take {name}",
        cause=f"{status}: {message}",
        remedy="See that names and sizes in the options and in kubernetes_pod are such that Kubernetes takes them.",
    )
