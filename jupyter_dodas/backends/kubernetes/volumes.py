"""What is laid beside an instance: the volumes of its pod, and the claim for what outlasts that. Pure."""

from dataclasses import dataclass
from typing import Final

from jupyter_dodas.backends.base import TOKEN
from jupyter_dodas.backends.kubernetes import parcel, wrapper
from jupyter_dodas.backends.kubernetes.api import Object
from jupyter_dodas.backends.kubernetes.objects import (
    INSTANCE,
    UID,
    labels,
    name_of,
    owned_by,
    part_of,
    pod_name,
    secret_name,
)
from jupyter_dodas.services.base import Instance

__all__ = ["HOME", "NO_DESK", "Desk", "claim_of", "volumes_of"]

HOME: Final = "/home/dodas"
"""Where the user's files are in an interactive instance, if there is a claim for them."""
_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Desk:
    """What interactive instances have in a namespace, and no others.

    Parameters
    ----------
    account
        A service account, to launch clusters with.
    home
        A claim, for the user's files.
    """

    account: str | None = None
    home: str | None = None


NO_DESK: Final = Desk()


def volumes_of(instance: Instance, uid: str, desk: Desk, storage_class: str | None = None) -> tuple[list[Object], list[Object]]:
    """Return the volumes of an instance's pod, and where they are mounted.

    Parameters
    ----------
    uid
        Of the cluster.
    desk
        What it has, if it has any of it.
    storage_class
        See `claim_of`.
    """
    mounts = [
        _mount("work", wrapper.WORK),
        _mount("secrets", wrapper.SECRETS, read_only=True),
        _mount("bearer", wrapper.BEARER, read_only=True),
    ]
    volumes: list[Object] = [
        {"name": "work", "emptyDir": {}},
        _secret("secrets", part_of(instance.cluster, uid, "secrets"), optional=True),
        _secret("bearer", secret_name(TOKEN), optional=True),
    ]
    for part, wanted, path in (
        (parcel.FILES, instance.files, wrapper.FILES),
        (parcel.CREDENTIALS, instance.credentials, wrapper.CREDENTIALS),
    ):
        if wanted:
            volumes.append(_secret(part, part_of(instance.cluster, uid, part)))
            mounts.append(_mount(part, path, read_only=True))
    if desk.account:
        volumes.append(_account())
        mounts.append(_mount("account", _ACCOUNT, read_only=True))
    if desk.home:
        volumes.append({"name": "home", "persistentVolumeClaim": {"claimName": desk.home}})
        mounts.append(_mount("home", HOME))
    if instance.lasting and storage_class is not None:
        volumes.append({"name": "kept", "persistentVolumeClaim": {"claimName": pod_name(instance.cluster, instance.name)}})
        mounts.append(_mount("kept", wrapper.KEPT))
    return volumes, mounts


def claim_of(instance: Instance, record: Object, storage_class: str | None) -> Object | None:
    """Return the claim for what an instance writes and its next pod is to find; None if it asks for none, or there is no class.

    It goes with the record, and so is there again when the cluster is started again.
    """
    if not instance.lasting or storage_class is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": pod_name(instance.cluster, instance.name),
            "labels": labels(instance.cluster, name_of(record, UID), "claim", **{INSTANCE: instance.name}),
            **owned_by(record),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": str(instance.lasting)}},
        },
    }


def _account() -> Object:
    """Return a token that lasts for an hour and is renewed, where every client looks for one. It ends with the pod."""
    sources: list[Object] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return {"name": "account", "projected": {"sources": sources, "defaultMode": 0o440}}


def _secret(volume: str, name: str, *, optional: bool = False) -> Object:
    return {"name": volume, "secret": {"secretName": name, "defaultMode": 0o440, "optional": optional}}


def _mount(volume: str, path: str, *, read_only: bool = False) -> Object:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}
