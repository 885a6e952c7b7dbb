"""Where the test cluster lies, and which addresses it has."""

import os
from pathlib import Path
from typing import Final

__all__ = ["API", "CGROUP", "KUBECONFIG", "LINK", "LOCK", "NAME", "NODE", "RUN", "SHELF", "SOCKET", "STATE", "STORE", "Network"]

# Several clusters can run beside each other: each has a number, and with it folders and addresses of its own.
NUMBER: Final = int(os.environ.get("DODAS_TEST_CLUSTER", "0"))
if NUMBER not in range(16):
    raise SystemExit("error: DODAS_TEST_CLUSTER is the number of a test cluster, 0 to 15.")

SHELF: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-dodas" / "kubernetes"
"""What all test clusters share: programs and images."""

STATE: Final = SHELF / f"cluster-{NUMBER}"
STORE: Final = STATE / "containerd"
"""Images, unpacked; all else of a cluster goes with it."""

LOCK: Final = STATE / "lock"
KUBECONFIG: Final = STATE / "kubeconfig"
RUN: Final = STATE / "run"
SOCKET: Final = RUN / "containerd.sock"

NAME: Final = "node"
LINK: Final = f"dodas{NUMBER}"
CGROUP: Final = f"dodas-cluster-{NUMBER}"


class Network:
    """Addresses of this machine, the node, its pods and the services."""

    _BASE = f"10.213.{16 * NUMBER}", f"10.213.{16 * NUMBER + 1}", f"10.213.{16 * NUMBER + 2}"
    MACHINE = f"{_BASE[0]}.1"
    NODE = f"{_BASE[0]}.2"
    PREFIX = 30
    PODS = f"{_BASE[1]}.0/24"
    SERVICES = f"{_BASE[2]}.0/24"
    API = f"{_BASE[2]}.1"
    DNS = f"{_BASE[2]}.10"


NODE: Final = Network.NODE
API: Final = f"https://{NODE}:6443"
