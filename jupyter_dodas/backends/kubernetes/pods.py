"""Instances as pods: the manifest of one, and what a pod says of its instance. Pure."""

import json
import math
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from jupyter_dodas.backends.base import InstanceState, Running
from jupyter_dodas.backends.kubernetes import wrapper
from jupyter_dodas.backends.kubernetes.api import Object
from jupyter_dodas.backends.kubernetes.objects import (
    CLUSTER,
    GRACE,
    INSTANCE,
    INTERACTIVE,
    UID,
    labels,
    name_of,
    owned_by,
    pod_name,
)
from jupyter_dodas.backends.kubernetes.patch import PodPatch
from jupyter_dodas.backends.kubernetes.trouble import trouble
from jupyter_dodas.backends.kubernetes.volumes import HOME, NO_DESK, Desk, volumes_of
from jupyter_dodas.services.base import Instance

__all__ = ["CONTAINER", "FIRST_PORT", "image_beside", "manifest", "running", "service"]

CONTAINER: Final = "instance"
FIRST_PORT: Final = 18_000
"""Every instance has an address of its own, so all may have the same ports."""

_USER: Final = 1000
_CORE_CPU: Final = "100m"
"""What is reserved for a scheduler and the like, which mostly wait."""
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_WRAPPER: Final = ("python", "-m", "jupyter_dodas.backends.kubernetes.wrapper")


def image_beside(image: str, name: str) -> str:
    """Return the image of this name that lies beside ``worker``; where the images have other names, one is for all kinds."""
    path, slash, last = image.rpartition("/")
    own, colon, tag = last.partition(":")
    return f"{path}{slash}{name}{colon}{tag}" if own == "worker" and "@" not in tag else image


def manifest(
    instance: Instance,
    record: Object,
    image: str,
    patch: PodPatch,
    *,
    reserve: float = 1.0,
    desk: Desk = NO_DESK,
    storage_class: str | None = None,
) -> Object:
    """Return the pod that runs an instance.

    Parameters
    ----------
    record
        The object that owns it.
    reserve
        The part of a worker's cores that is kept free for it.
    desk
        What it has if it is interactive.
    storage_class
        Of the claim for what outlasts it, if it needs one; None for nothing that does.
    """
    uid = name_of(record, UID)
    desk = desk if instance.interactive else NO_DESK
    volumes, mounts = volumes_of(instance, uid, desk, storage_class)
    more = {INTERACTIVE: "true"} if instance.interactive else {}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(instance.cluster, instance.name),
            "labels": labels(
                instance.cluster, uid, "pod", **{INSTANCE: instance.name, "jupyter-dodas/role": instance.role}, **more
            ),
            "annotations": {GRACE: str(_seconds(instance.grace))},
            **owned_by(record),
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": _seconds(instance.grace + instance.notice),
            **({"serviceAccountName": desk.account} if desk.account else {}),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(instance, image, mounts, reserve, desk)],
            "volumes": volumes,
        },
    }
    return patch.apply(pod)


def _seconds(time: float) -> int:
    return max(1, math.ceil(time))


def _container(instance: Instance, image: str, mounts: Sequence[Object], reserve: float, desk: Desk) -> Object:
    container: Object = {
        "name": CONTAINER,
        "image": instance.image or image,
        "imagePullPolicy": "IfNotPresent",
        "command": [_literally(word) for word in (*_WRAPPER, *instance.command)],
        "workingDir": wrapper.WORK,
        "env": _environment(instance, HOME if desk.home else wrapper.WORK),
        "resources": _resources(instance, reserve),
        "volumeMounts": list(mounts),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if instance.endpoint is not None and instance.endpoint.ports:
        container["ports"] = [{"name": port, "containerPort": number} for port, number in instance.endpoint.ports.items()]
    return container


def service(instance: Instance, record: Object) -> Object:
    """Return what gives the ports of an instance an address that is known before it runs, and stays when it is started again."""
    assert instance.endpoint is not None, "only what has ports has an address"
    uid = name_of(record, UID)
    spec: Object = {
        "selector": {CLUSTER: instance.cluster, UID: uid, INSTANCE: instance.name},
        # Peers wait for it themselves, and sooner than a probe would see that it answers.
        "publishNotReadyAddresses": True,
        "ports": [{"name": port, "port": number, "targetPort": number} for port, number in instance.endpoint.ports.items()],
    }
    if instance.group is not None or instance.any_port:
        spec["clusterIP"] = "None"  # peers of a worker reach ports of it that nobody has named
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": pod_name(instance.cluster, instance.name),
            "labels": labels(instance.cluster, uid, "service", **{INSTANCE: instance.name}),
            **owned_by(record),
        },
        "spec": spec,
    }


def running(pod: Object, *, gone: bool = False, complaint: tuple[str, str] | None = None) -> Running:
    """Return what a pod says of its instance.

    Parameters
    ----------
    gone
        Whether the pod is no more, and this is what was known last.
    complaint
        Reason and message of the last warning about it.
    """
    status = pod.get("status", {})
    container: Object = next(iter(status.get("containerStatuses") or ()), {})
    ended = container.get("state", {}).get("terminated")
    if ended is None and status.get("phase") not in _ENDED and not gone:
        started = container.get("state", {}).get("running", {}).get("startedAt")
        return Running(
            InstanceState.RUNNING,
            began=datetime.fromisoformat(started).timestamp() if started else None,
            pending=started is None,
            trouble=None if started else trouble(pod, complaint),
        )
    return _ended(pod, ended or {}, gone=gone)


def _ended(pod: Object, ended: Mapping[str, Any], *, gone: bool) -> Running:
    status = pod.get("status", {})
    account: Mapping[str, Any] = {}
    with suppress(ValueError):
        found = json.loads(ended.get("message") or "{}")
        account = found if isinstance(found, dict) else {}
    code = account.get("code", ended.get("exitCode"))
    limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory")
    out_of_memory = ended.get("reason") == "OOMKilled" or (account.get("oom", 0) and code != 0)
    if out_of_memory:
        words = "killed by the kernel for using more memory than it has" + (f", {int(limit) / 2**30:.2g} GiB" if limit else "")
    elif status.get("reason") and not ended:
        words = f"{status['reason']}: {status.get('message', '')}".strip(": ")
    elif code is None:
        words = "removed before it ran" if gone else "killed by SIGKILL"
    else:
        words = _words(int(code))
    # Whoever was killed at once has left no account.
    peak = int(account.get("peak", int(limit) if out_of_memory and limit else 0))
    return Running(InstanceState.ENDED, words, code == 0 and not out_of_memory, float(account.get("cpu", 0.0)), peak)


def _words(code: int) -> str:
    number = -code if code < 0 else code - 128
    if number > 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
    return f"exit code {code}"


def _environment(instance: Instance, home: str) -> list[Object]:
    found = {
        "HOME": home,
        "PYTHONUNBUFFERED": "1",
        wrapper.ACCOUNT: "/dev/termination-log",
        wrapper.VARIABLES: json.dumps(dict(instance.variables), ensure_ascii=False),
        wrapper.GRACE: str(_seconds(instance.grace + instance.notice)),
        "DODAS_CLUSTER": instance.cluster,
        "DODAS_INSTANCE": instance.name,
    }
    if (folder := instance.folder or (home if home != wrapper.WORK else None)) is not None:
        found[wrapper.FOLDER] = folder
    return [{"name": name, "value": _literally(text)} for name, text in found.items()]


def _literally(text: str) -> str:
    """Keep Kubernetes from expanding ``$(VARIABLE)``."""
    return text.replace("$", "$$")


def _resources(instance: Instance, reserve: float) -> Object:
    requests: Object = {"cpu": _CORE_CPU if instance.group is None else f"{max(1, round(instance.cores * 1000 * reserve))}m"}
    limits: Object = {}
    if instance.memory:
        requests["memory"] = limits["memory"] = str(instance.memory)
    if instance.interactive:
        limits["cpu"] = str(instance.cores)
    if instance.gpus:
        limits["nvidia.com/gpu"] = str(instance.gpus)
    return {"requests": requests, "limits": limits}
