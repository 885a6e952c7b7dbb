"""Machines that are not pretended: a cloud, the Infrastructure Manager, and a network that nobody else is in.

The test that uses it is in that network with them, so its addresses are nobody's business, and a second test may have the same.
"""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from cluster.archives import pack
from cluster.layout import SHELF

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Program, answers
from tests.place import ROOT
from tests.provision.im import InfrastructureManager, environment
from tests.provision.machines.image import image

__all__ = ["IMAGE", "OwnMachine", "Parts", "World", "network", "parts"]

IMAGE: Final = "aws://us-east-1/ami-machine"
"""Of the disks of all machines."""

_EC2: Final = "http://127.0.0.1:5000"
_CLONE_NEWNET: Final = 0x40000000

# What the documentation of the Infrastructure Manager asks for, and that addresses are used again.
_ANSIBLE: Final = {
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_PIPELINING": "True",
    "ANSIBLE_SSH_ARGS": "-o UserKnownHostsFile=/dev/null -o ControlMaster=auto -o ControlPersist=60s",
}
_CONFIG: Final[dict[str, Any]] = {
    "PRIVATE_NET_MASKS": ["172.16.0.0/12"],
    "WAIT_SSH_ACCCESS_TIMEOUT": 120,
    "ANSIBLE_INSTALL_TIMEOUT": 300,
    "MAX_CONTEXTUALIZATION_TIME": 600,
}


@dataclass(frozen=True)
class Parts:
    """What machines are made of: a disk, and the programs of Kubernetes."""

    image: Path
    programs: Path


def parts() -> Parts:
    """Make them, which takes minutes where they are not kept yet, and the Internet."""
    build = subprocess.run([str(ROOT / "script/kubernetes"), "build"], capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    programs = max(SHELF.glob("programs-*/complete"), key=lambda mark: mark.stat().st_mtime).parent
    return Parts(image([str(environment() / "bin/python"), "-m", "pip"]), programs)


@contextmanager
def network() -> Iterator[None]:
    """Have this thread, and all that it starts, in a network of its own with nothing but the loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNET):
            pytest.skip(f"no network of its own can be made: {os.strerror(ctypes.get_errno())}")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        libc.setns(before, _CLONE_NEWNET)
        os.close(before)


@dataclass(frozen=True)
class OwnMachine:
    """One that runs: its process 1, and its addresses."""

    process: int
    private: str
    public: str
    folder: Path

    def run(self, *command: str) -> str:
        """Run a command there, past all that is tested, and return what it prints."""
        entered = ["nsenter", "--target", str(self.process), "--all", "--", *command]
        return subprocess.run(entered, check=True, capture_output=True, text=True, timeout=60).stdout

    def kill(self) -> None:
        """End it without anybody's knowledge."""
        os.kill(self.process, 9)
        blocking_until(lambda: not Path(f"/proc/{self.process}").exists(), within=30)


class World:
    """The cloud and the Infrastructure Manager, in the network of this thread."""

    def __init__(self, folder: Path, parts: Parts) -> None:
        self.folder = folder
        cloud = folder / "cloud"
        cloud.mkdir(parents=True)
        self.programs = parts.programs
        (cloud / "programs").symlink_to(self.programs)
        pack(self.programs / "pause", cloud / "images")
        python = str(environment() / "bin/python")
        command = [python, str(Path(__file__).with_name("cloud.py")), str(cloud), str(parts.image)]
        self._cloud = Program(command, folder, "cloud")
        blocking_until(lambda: answers(f"{_EC2}/moto-api/", self._cloud), within=120)
        with pytest.MonkeyPatch.context() as variables:
            for name, value in _ANSIBLE.items():
                variables.setenv(name, value)
            self.im = InfrastructureManager(folder / "im", moto=_EC2, **_CONFIG)

    def close(self) -> None:
        """End both. Machines end with the cloud."""
        self.im.stop()
        self._cloud.stop()

    def machines(self) -> Sequence[OwnMachine]:
        """Those that run, by their addresses in the order in which the cloud gave them."""
        read = [json.loads(file.read_text()) for file in (self.folder / "cloud/machines").glob("i-*.json")]
        found = [OwnMachine(**{**one, "folder": Path(one["folder"])}) for one in read]
        return sorted(found, key=lambda machine: int(machine.public.rpartition(".")[2]))

    def consoles(self) -> str:
        """What the machines have said."""
        return "\n".join(file.read_text() for file in self.folder.glob("cloud/i-*/console"))

    def instances(self) -> Mapping[str, str]:
        """What the cloud says of the machines that nobody has ended."""
        found: Mapping[str, str] = json.loads((self.folder / "cloud/instances.json").read_text())
        return {name: state for name, state in found.items() if state != "terminated"}

    def left(self) -> Sequence[str]:
        """What is still there of machines, once all has ended."""
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder) in line]
        name = f"dodas-machine-{self._cloud.process.pid}-*"
        return [*mounts, *(str(path) for where in (name, f"*/{name}") for path in Path("/sys/fs/cgroup").glob(where))]

    def kubectl(self, kubeconfig: str, *arguments: str, check: bool = True) -> str:
        """Ask a cluster with a kubeconfig, as its owner does."""
        file = self.folder / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(kubeconfig)
        command = [str(self.programs / "kubectl"), "--kubeconfig", str(file), "--request-timeout", "30s", *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True, timeout=120).stdout

    def nodes(self, kubeconfig: str) -> Sequence[str]:
        """Addresses of the nodes that take pods."""
        listed: Mapping[str, Any] = json.loads(self.kubectl(kubeconfig, "get", "nodes", "--output", "json"))
        return sorted(
            next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
            for node in listed["items"]
            if any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
        )
