"""The few questions to the API server that starting a cluster takes."""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from typing import Any

from cluster.keys import KEYS
from cluster.layout import NAME, NODE

__all__ = ["answer", "names_resolve", "node_ready", "wait_for"]


def answer(path: str) -> Any:
    """Return what the API server says, decoded; None if it does not answer, or not with success."""
    try:
        trust = ssl.create_default_context(cafile=str(KEYS / "ca.crt"))
        trust.load_cert_chain(KEYS / "admin.crt", KEYS / "admin.key")
        connection = http.client.HTTPSConnection(NODE, 6443, timeout=5, context=trust)
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
        connection.close()
    except (OSError, http.client.HTTPException):
        return None
    if response.status != http.HTTPStatus.OK:
        return None
    return json.loads(content) if content.startswith(b"{") else content.decode()


def node_ready() -> bool:
    """Tell whether the node takes pods."""
    node = answer(f"/api/v1/nodes/{NAME}") or {}
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node.get("status", {}).get("conditions", ()))


def names_resolve() -> bool:
    """Tell whether pods can ask for the names of services."""
    deployment = answer("/apis/apps/v1/namespaces/kube-system/deployments/coredns") or {}
    return bool(deployment.get("status", {}).get("readyReplicas"))


def wait_for(what: str, look: Callable[[], object], *, within: float = 60.0) -> None:
    """Return when `look` says yes.

    Raises
    ------
    TimeoutError
        Naming `what` did not come.
    """
    deadline = time.monotonic() + within
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {within:g} s")
        time.sleep(0.05)
