"""A cloud that speaks EC2, run by the Python of the Infrastructure Manager's environment: ``python cloud.py FOLDER IMAGE``.

moto answers, on port 5000. Of every instance that it says is running there is a machine, made by `machine.sh`, until moto says
otherwise; of a machine that has died by itself it says nothing, as clouds do. Everything it opens is in the network namespace in
which it was started, and everything it has started ends when it does.

``FOLDER/instances.json`` tells what moto says, ``FOLDER/machines/<instance>.json`` the process 1 and the addresses of a machine.
Machines see ``FOLDER/programs`` and ``FOLDER/images``.
"""

import base64
import itertools
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER, IMAGE = Path(sys.argv[1]), Path(sys.argv[2])
PORT = 5000
HIERARCHIES = Path("/sys/fs/cgroup")

AMI = {
    "ami_id": "ami-machine",
    "name": "Debian",
    "description": "",
    "owner_id": "000000000000",
    "image_location": "tests",
    "public": True,
    "architecture": "x86_64",
    "image_type": "machine",
    "platform": None,
    "state": "available",
    "sriov": "simple",
    "root_device_name": "/dev/sda1",
    "root_device_type": "ebs",
    "virtualization_type": "hvm",
    "hypervisor": "xen",
}
# moto reads it when it is imported.
os.environ["MOTO_AMIS_PATH"] = str(FOLDER / "amis.json")
(FOLDER / "amis.json").write_text(json.dumps([AMI]))

import boto3  # noqa: E402
import yaml  # noqa: E402
from moto.ec2.models import elastic_network_interfaces  # noqa: E402
from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: E402

__all__: list[str] = []


class Cloud:
    """The machines."""

    def __init__(self) -> None:
        self._machines: dict[str, tuple[subprocess.Popen[bytes], str]] = {}
        self._started = itertools.count(1)
        self.ec2 = boto3.client(
            "ec2", "us-east-1", endpoint_url=f"http://127.0.0.1:{PORT}", aws_access_key_id="x", aws_secret_access_key="x"
        )

    def look(self) -> None:
        """Make the machines what moto says that they are."""
        answer = self.ec2.describe_instances()
        instances = [one for group in answer["Reservations"] for one in group["Instances"]]
        tell("instances.json", {one["InstanceId"]: one["State"]["Name"] for one in instances})
        for instance in instances:
            name, runs = instance["InstanceId"], instance["State"]["Name"] == "running"
            if runs and name not in self._machines:
                self._start(name, instance["PrivateIpAddress"], instance["PublicIpAddress"])
            elif not runs and name in self._machines:
                self._end(name)

    def end(self) -> None:
        """End all."""
        for name in list(self._machines):
            self._end(name)

    def _start(self, name: str, private: str, public: str) -> None:
        data = self.ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")["UserData"].get("Value", "")
        number = next(self._started)
        folder, group = FOLDER / f"{name}-{number}", f"dodas-machine-{os.getpid()}-{number}"
        folder.mkdir()
        (folder / "first-boot").write_text("".join(f"{line}\n" for line in accounts(base64.b64decode(data))))
        script = Path(__file__).with_name("machine.sh")
        called = "ip-" + private.replace(".", "-")
        command = [str(script), called, private, public, str(folder), str(IMAGE), f"machine{number}", group]
        with (folder / "console").open("ab") as console:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self._machines[name] = process, group
        first = inside(process)
        tell(f"machines/{name}.json", {"process": first, "private": private, "public": public, "folder": str(folder)})

    def _end(self, name: str) -> None:
        process, group = self._machines.pop(name)
        (FOLDER / "machines" / f"{name}.json").unlink(missing_ok=True)
        process.kill()
        process.wait()
        forget(group)


def tell(name: str, what: "dict[str, Any]") -> None:
    """Write a file for the test, all of it at once."""
    half = FOLDER / "half"
    half.write_text(json.dumps(what))
    half.rename(FOLDER / name)


def inside(process: "subprocess.Popen[bytes]") -> int:
    """Return the process 1 of a machine, as it is called out here; 0 if there is none."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        for child in map(int, children.read_text().split()):
            # What it runs before it makes namespaces may have ended meanwhile.
            with suppress(OSError):
                if Path(f"/proc/{child}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink():
                    return child
        time.sleep(0.02)
    return 0


def accounts(data: bytes) -> list[str]:
    """Return what cloud-init would do for the users that user data ask for, as lines of a shell."""
    lines = []
    for user in (yaml.safe_load(data) or {}).get("users", []):
        name, home = user["name"], user.get("homedir") or f"/home/{user['name']}"
        keys = "\n".join(user.get("ssh-authorized-keys") or user.get("ssh_authorized_keys") or [])
        lines += [
            f"useradd --create-home --home-dir {home} --shell /bin/bash {name}",
            f"printf '%s\\n' {shlex.quote(name + ' ' + user['sudo'])} >/etc/sudoers.d/{name}",
            f"install -d -m 700 -o {name} {home}/.ssh",
            f"printf '%s\\n' {shlex.quote(keys)} >{home}/.ssh/authorized_keys",
            f"chown {name} {home}/.ssh/authorized_keys",
        ]
    return lines


def forget(group: str) -> None:
    """Remove the control groups of a machine, whose processes are ending."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [path for path in (HIERARCHIES / group, *HIERARCHIES.glob(f"*/{group}")) if path.is_dir()]
        if not left:
            return
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:
                    break
        time.sleep(0.02)


def forget_all() -> None:
    """Remove the control groups that clouds have left which were killed."""
    for path in (*HIERARCHIES.glob("dodas-machine-*"), *HIERARCHIES.glob("*/dodas-machine-*")):
        if not Path("/proc", path.name.split("-")[2]).exists():
            forget(path.name)


def main() -> None:
    """Serve until a signal comes."""
    forget_all()
    (FOLDER / "machines").mkdir()
    number = itertools.count(2)
    # Its own choice would be addresses of the Internet.
    elastic_network_interfaces.random_public_ip = lambda: f"10.88.0.{next(number)}"
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    for words in ("link set lo up", "link add cloud type bridge", "address add 10.88.0.1/16 dev cloud", "link set cloud up"):
        subprocess.run(["ip", *words.split()], check=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = ThreadedMotoServer("127.0.0.1", PORT, verbose=False)
    server.start()
    cloud = Cloud()
    try:
        while True:
            cloud.look()
            time.sleep(0.3)
    finally:
        cloud.end()


if __name__ == "__main__":
    main()
