"""The first process of the node: gives it a network and folders of its own, starts its parts, and starts again what dies.

It runs as process 1 of a process namespace, so that everything in it ends when it ends, however that comes about.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from cluster import parts
from cluster.api import answer, names_resolve, node_ready, wait_for
from cluster.archives import OWN, bring_in, containers, ctr, forget_replaced
from cluster.keys import KEYS
from cluster.layout import CGROUP, LINK, RUN, SOCKET, Network

__all__ = ["main"]

# Seconds until a part that died is started again.
PATIENCE: Final = 1.0

# What the kubelet would set for the whole machine.
SETTINGS: Final = {
    "kernel/keys/root_maxbytes": 25000000,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
}


def main() -> None:
    """Start the node and look after it until it is killed. The argument is the file of the machine's network namespace."""
    began = time.monotonic()
    parts.configure(Path(os.environ["DODAS_CNI"]))
    _folders()
    _network(int(sys.argv[1]))
    _control_groups()
    node = Node()
    node.start(parts.ETCD)
    node.start(parts.SERVER)
    node.start_containerd()
    wait_for("The API server", lambda: answer("/readyz"))
    for part in (*parts.CONTROL, parts.KUBELET, parts.PROXY):
        node.start(part)
    names = Path(__file__).with_name("names.yaml").read_text().replace("ADDRESS", Network.DNS)
    command = ["kubectl", "--kubeconfig", f"{KEYS}/admin.conf", "apply", "--server-side", "--filename", "-"]
    subprocess.run(command, check=True, text=True, input=names)
    wait_for("The node", node_ready)
    print(f"node ready after {time.monotonic() - began:.1f} s", flush=True)
    wait_for("The name service", names_resolve)
    print(f"names resolve after {time.monotonic() - began:.1f} s", flush=True)
    (RUN / "ready").touch()
    node.look_after()


class Node:
    """The parts that run."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[parts.Part, subprocess.Popen[bytes]]] = {}
        self._due: dict[str, tuple[parts.Part, float]] = {}

    def start(self, part: parts.Part) -> None:
        """Run a part; what it says goes to its log."""
        with (RUN / "log" / f"{part.name}.log").open("ab") as log:
            process = subprocess.Popen([part.name, *part.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[part.name] = part, process

    def start_containerd(self) -> None:
        """Run containerd, with the images of the cluster's own programs and nothing of an earlier cluster."""
        self.start(parts.CONTAINERD)
        wait_for("containerd", _listens)
        left = containers()
        if left:
            ctr("containers", "delete", *left)
        forget_replaced()
        if left:
            # It has read them into its memory.
            _, process = self._running.pop(parts.CONTAINERD.name)
            process.kill()
            process.wait()
            self.start(parts.CONTAINERD)
            wait_for("containerd", _listens)
        for name in bring_in(OWN):
            print(f"has {name}", flush=True)

    def look_after(self) -> None:
        """Take leave of every process that ends, and start again the parts among them."""
        while True:
            self._fail()
            # Every orphan of a pod is a child of process 1.
            while (ended := _reap()) is not None:
                for name, (part, process) in list(self._running.items()):
                    if process.pid == ended:
                        del self._running[name]
                        self._due.setdefault(name, (part, time.monotonic() + PATIENCE))
            for name, (part, when) in list(self._due.items()):
                if name not in self._running and time.monotonic() >= when:
                    del self._due[name]
                    self.start(part)
            time.sleep(0.1)

    def _fail(self) -> None:
        """Kill what `script/kubernetes fail` names, for as long as it says."""
        for file in (RUN / "fail").iterdir():
            seconds = float(file.read_text())
            if file.name in self._running:
                part, process = self._running[file.name]
                self._due[file.name] = part, time.monotonic() + seconds
                process.send_signal(signal.SIGKILL)
            file.unlink()


def _listens() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(SOCKET)) == 0


def _reap() -> int | None:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] or None
    except ChildProcessError:
        return None


def _run(*command: str, files: tuple[int, ...] = ()) -> None:
    subprocess.run(command, check=True, pass_fds=files)


def _folders() -> None:
    """Put empty folders over those whose paths the kubelet, containerd and the plug-ins know by heart."""
    _run("mount", "--make-rshared", "/")
    for folder in ("/var/log", "/var/lib", "/run"):
        _run("mount", "-t", "tmpfs", "tmpfs", folder)
    for folder in ("/run/netns", "/var/lib/kubelet", "/var/lib/cni"):
        Path(folder).mkdir()
    for name, value in SETTINGS.items():
        file = RUN / "settings" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")


def _network(machine: int) -> None:
    """Lay a cable to the machine. It can reach the node, its pods and its services; nothing is forwarded any further."""
    there = f"/proc/self/fd/{machine}"

    def outside(*command: str) -> None:
        _run("nsenter", f"--net={there}", "ip", *command, files=(machine,))

    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", LINK, "netns", there, files=(machine,))
    _run("ip", "address", "add", f"{Network.NODE}/{Network.PREFIX}", "dev", "eth0")
    _run("ip", "link", "set", "eth0", "up")
    _run("ip", "route", "add", "default", "via", Network.MACHINE)
    outside("address", "add", f"{Network.MACHINE}/{Network.PREFIX}", "dev", LINK)
    outside("link", "set", LINK, "up")
    for reached in (Network.PODS, Network.SERVICES):
        outside("route", "add", reached, "via", Network.NODE)
    os.close(machine)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def _control_groups() -> None:
    """Make the groups under which the kubelet puts its pods, of either version."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        controllers = (root / "cgroup.controllers").read_text().split()
        # The kernel refuses it in a container whose processes stand in its topmost group.
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in controllers))
        (root / CGROUP).mkdir(exist_ok=True)
        return
    for hierarchy in {path.resolve() for path in root.iterdir() if path.is_dir()}:
        (hierarchy / CGROUP).mkdir(exist_ok=True)
        # A group without processors and memory takes no process.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / file).exists():
                (hierarchy / CGROUP / file).write_text((hierarchy / file).read_text())


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
