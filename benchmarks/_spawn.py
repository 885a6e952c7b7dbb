"""A notebook on an infrastructure that is there, beside a bare pod of the same image, in turn on the test cluster."""

import json
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubpods import Estate
from tests.kubernetes.test_provision import IMAGES, MakingHub, give_a_cloud
from tests.provision.im import InfrastructureManager

__all__ = ["spawn"]

PORT: Final = 18000
NAME: Final = "bench"
COMMAND: Final = ["jupyter", "lab", "--ip=0.0.0.0", f"--port={PORT}", "--no-browser", "--IdentityProvider.token="]


def spawn(rounds: int) -> Mapping[str, Sequence[float]]:
    """Return the seconds of each, by side."""
    found: dict[str, list[float]] = {"ours": [], "peer": []}
    with closing(Estate()) as estate, tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        (kept / "hub").mkdir()
        with (
            InfrastructureManager(kept / "im", kubeconfig=Path(estate.admin)) as manager,
            MakingHub(estate, manager, kept / "hub", linger=3600) as hub,
        ):
            give_a_cloud(hub, "alice")
            ours(hub)  # makes it, and has the images fetched
            for _ in range(rounds):
                found["ours"].append(ours(hub))
                found["peer"].append(peer(estate))
    return found


def ours(hub: MakingHub) -> float:
    """Start a notebook until it is ready, and end it."""
    browser = hub.browser()
    browser.sign_in("alice")
    began = time.perf_counter()
    assert browser.api("POST", "/users/alice/server", json={"profile": "kubernetes"}).is_success
    with browser.client.stream("GET", f"{hub.url}/hub/api/users/alice/server/progress", timeout=300) as events:
        for line in events.iter_lines():
            if '"ready": true' in line or '"failed": true' in line:
                assert "ready" in line, line
                break
    taken = time.perf_counter() - began
    browser.api("DELETE", "/users/alice/server")
    blocking_until(lambda: hub.estate.left("alice"), within=120, meets=lambda left: not left)
    return taken


def peer(estate: Estate) -> float:
    """Apply a pod until its port answers, and delete it."""
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "server",
                "image": f"{IMAGES}/notebook:1",
                "command": COMMAND,
                "env": [{"name": "HOME", "value": "/tmp"}],
                "resources": {"requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": estate.of("alice")}, "spec": spec}
    look = ("-n", estate.of("alice"), "get", "pod", NAME, "-o", "jsonpath={.status.podIP}")
    began = time.perf_counter()
    estate.kubectl("apply", "-f", "-", given=json.dumps(pod))
    blocking_until(lambda: _answers(estate.kubectl(*look)), within=300)
    taken = time.perf_counter() - began
    estate.kubectl("-n", estate.of("alice"), "delete", "pod", NAME, "--grace-period=1")
    return taken


def _answers(address: str) -> bool:
    if address:
        with suppress(OSError), socket.create_connection((address, PORT), 1) as connection:
            connection.sendall(b"GET /api HTTP/1.0\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/1.")
    return False
