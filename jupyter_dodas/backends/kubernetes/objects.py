"""Names and labels of what this backend makes in a namespace. Pure."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from jupyter_dodas.backends.kubernetes.api import Object

__all__ = [
    "ACCOUNTS",
    "ALLOWANCE",
    "CLUSTER",
    "GRACE",
    "INSTANCE",
    "INTERACTIVE",
    "LEASE",
    "MANAGED",
    "OURS",
    "OWNER",
    "PART",
    "UID",
    "belonging",
    "labels",
    "name_of",
    "newer",
    "owned_by",
    "part_of",
    "pod_name",
    "record_name",
    "secret_name",
    "value",
]

MANAGED: Final = "app.kubernetes.io/managed-by"
OURS: Final = "jupyter-dodas"
CLUSTER: Final = "jupyter-dodas/cluster"
UID: Final = "jupyter-dodas/uid"
INSTANCE: Final = "jupyter-dodas/instance"
INTERACTIVE: Final = "jupyter-dodas/interactive"
PART: Final = "jupyter-dodas/part"
OWNER: Final = "jupyter-dodas/owner"
GRACE: Final = "jupyter-dodas/grace"
"""The annotation of a pod with the seconds that it has when we end it ourselves."""

ACCOUNTS: Final = "jupyter-dodas-accounts"
"""The ConfigMap with the receipts. It belongs to no cluster, and stays."""
ALLOWANCE: Final = "jupyter-dodas/limits"
"""The annotation of a namespace with the limits that somebody has set for it, as JSON."""
LEASE: Final = "jupyter-dodas-controller"
"""The Lease of the controller of the namespace."""


def record_name(cluster: str) -> str:
    """Return the name of the object that owns all else of a cluster. It is the one name that two clusters would quarrel about."""
    return f"dodas-{cluster}"


def pod_name(cluster: str, instance: str) -> str:
    """Return the name of a pod, by which others in the namespace reach its ports."""
    return f"{cluster}-{instance}"


def secret_name(name: str) -> str:
    """Return the name of the object that holds a secret of the namespace itself."""
    return f"jupyter-dodas-{name}"


def part_of(cluster: str, uid: str, part: str) -> str:
    """Return the name of what belongs to one life of a cluster: what a predecessor left is never taken for it."""
    return f"dodas-{cluster}-{uid}-{part}"


def labels(cluster: str, uid: str, part: str, **more: str) -> dict[str, str]:
    """Return the labels of an object."""
    return {MANAGED: OURS, CLUSTER: cluster, UID: uid, PART: part, **more}


def name_of(thing: Mapping[str, Any], label: str = CLUSTER) -> str:
    """Return the cluster that an object belongs to, or another label of it."""
    found: str = (thing["metadata"].get("labels") or {}).get(label, "")
    return found


def owned_by(record: Object) -> dict[str, Any]:
    """Return the metadata that make an object go with the record."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": record["metadata"]["name"], "uid": record["metadata"]["uid"]}
    return {"ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}]}


def belonging(thing: Object, record: Object) -> bool:
    """Whether an object belongs to this very record."""
    owners = thing["metadata"].get("ownerReferences", ())
    return any(owner["uid"] == record["metadata"]["uid"] for owner in owners)


def newer(one: Object, other: Object) -> bool:
    """Whether one state of an object is later than another of the same."""
    return int(one["metadata"]["resourceVersion"]) > int(other["metadata"]["resourceVersion"])


def value(text: str) -> str:
    """Return a text as a label's value can hold it; what differs stays different."""
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:32]
