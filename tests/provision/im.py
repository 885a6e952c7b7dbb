"""The Infrastructure Manager 2.0 and moto as servers of tests, from the environment that $DODAS_TEST_IM names.

Of the Infrastructure Manager only the contextualization is pretended, and that only of machines of the Dummy cloud: see
`im_process`.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import httpx
import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Program, answers, free_ports

__all__ = ["ACCOUNT", "Ec2Server", "InfrastructureManager", "environment", "header"]

ACCOUNT: Final = {"username": "dodas", "password": "of-tests"}
"""What tests use where no token is asked for: this Infrastructure Manager takes anybody."""

_UP: Final = 120.0
"""Seconds in which a server must answer, on a machine that has other things to do."""


def environment() -> Path:
    """The environment of the servers."""
    if not (found := os.environ.get("DODAS_TEST_IM")):
        pytest.skip("DODAS_TEST_IM does not name an environment with the Infrastructure Manager")
    return Path(found)


def header(account: Mapping[str, str] = ACCOUNT) -> dict[str, str]:
    """Headers with which a test asks the Infrastructure Manager itself."""
    fields = "; ".join(f"{name} = {value}" for name, value in account.items())
    return {
        "Authorization": f"type = InfrastructureManager; {fields}\\nid = dummy; type = Dummy",
        "Accept": "application/json",
    }


class InfrastructureManager(AbstractContextManager["InfrastructureManager"]):
    """One, on a free port, with its own database.

    Parameters
    ----------
    folder
        For its files.
    kubeconfig
        The content of this file is the output of the task ``kubeconfig`` of every template.
    seconds
        That the pretended contextualization takes.
    issuers
        OIDC issuers whose tokens it takes. Accounts do as well.
    moto
        Address of the EC2 that it makes machines in.
    pretend
        Clouds whose machines are not configured really.
    config
        More settings of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kubeconfig: Path | None = None,
        seconds: float = 0.3,
        issuers: Sequence[str] = (),
        moto: str = "",
        pretend: Sequence[str] = ("Dummy",),
        **config: Any,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.database, self._control = folder / "im.sqlite", folder / "control.json"
        self._says: dict[str, Any] = {
            "seconds": seconds,
            "between": 0,
            "fail": [],
            "hang": [],
            "ssh_error": [],
            "off": {},
            "dead": {},
        }
        self._says["quota"] = {"cores": 500, "ram": 2000, "instances": 200, "floating_ips": 200, "security_groups": 200}
        self.control(outputs={"kubeconfig": str(kubeconfig)} if kubeconfig else {})
        settings = {
            "control": str(self._control),
            "pretend": list(pretend),
            "config": {
                "REST_ADDRESS": "127.0.0.1",
                "REST_PORT": self.port,
                "DATA_DB": f"sqlite://{self.database}",
                "LOG_LEVEL": "DEBUG",
                "LOG_FILE": str(folder / "inf.log"),
                "OIDC_ISSUERS": list(issuers),
                "MAX_SIMULTANEOUS_LAUNCHES": 1,
                "MAX_VM_FAILS": 1,
                "VM_INFO_UPDATE_FREQUENCY": 0,
                "CONFMAMAGER_CHECK_STATE_INTERVAL": 1,
                "CHECK_CTXT_PROCESS_INTERVAL": 1,
                "UPDATE_CTXT_LOG_INTERVAL": 1,
                "DELAY_BETWEEN_VM_RETRIES": 1,
                **config,
            },
        }
        (folder / "settings.json").write_text(json.dumps(settings), "utf-8")
        self._variables = {"AWS_ENDPOINT_URL": moto, "AWS_DEFAULT_REGION": "us-east-1"} if moto else {}
        self.start()

    def control(self, **says: Any) -> None:
        """Have its contextualization do otherwise from now on.

        Parameters
        ----------
        seconds
            That it takes.
        between
            Seconds before each machine that it has made counts.
        fail, hang
            Parts of names of infrastructures that do; those with these very words in their names do as well.
        ssh_error
            The same of those of which it says that it cannot get in, and then goes on for two hours, as the real one does.
        off, dead
            Numbers of machines of the Dummy cloud by the whole names of their infrastructures: those that the cloud says are off,
            and those of which it says that they run, although they do not.
        outputs
            Files by names of tasks.
        quota
            Limits of the Dummy cloud, of memory in GiB.
        """
        self._says |= says
        beside = self._control.with_suffix(".new")
        beside.write_text(json.dumps(self._says), "utf-8")
        beside.replace(self._control)

    def start(self) -> None:
        """Start it, or start it again where it was."""
        command = [str(environment() / "bin" / "python"), str(Path(__file__).with_name("im_process.py")), "settings.json"]
        self.program = Program(command, self.folder, "im", **self._variables)
        blocking_until(lambda: (found := answers(f"{self.url}/version", self.program)) and found.is_success, within=_UP)

    def kill(self) -> None:
        """End it at once, without a word."""
        self.program.process.kill()
        self.program.process.wait()

    def forget(self) -> None:
        """Lose its database. It must not run."""
        self.database.unlink()

    def stop(self) -> None:
        """End it."""
        self.kill()  # asked to end, it takes a while to look for processes that it never started

    def known(self) -> set[str]:
        """Identifiers of all that its database holds, whoever's they are, and however they came to be there."""
        with sqlite3.connect(self.database) as database:
            return {identifier for (identifier,) in database.execute("select id from inf_list where deleted = 0")}

    def listed(self, account: Mapping[str, str] = ACCOUNT) -> set[str]:
        """Identifiers of what it lists for an account."""
        answer = httpx.get(f"{self.url}/infrastructures", headers=header(account), timeout=30).raise_for_status()
        return {one["uri"].rpartition("/")[2] for one in answer.json()["uri-list"]}

    def left(self) -> set[str]:
        """Identifiers of what its database holds, without those that it had deleted and that came back; these are deleted again."""
        known, said = self.known(), self.said()
        ghosts = {one for one in known if f"{one}: Successfully destroyed" in said}
        for ghost in ghosts:
            httpx.delete(f"{self.url}/infrastructures/{ghost}?force=true", headers=header(), timeout=30)
        return known - ghosts

    def clear(self, identifiers: Iterable[str]) -> None:
        """Delete some, whatever they are."""
        for identifier in identifiers:
            httpx.delete(f"{self.url}/infrastructures/{identifier}?force=true", headers=header(), timeout=120)

    def said(self) -> str:
        """What it has written: to its log, and to the terminal."""
        return (self.folder / "inf.log").read_text("utf-8", "replace") + self.program.said()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Ec2Server(AbstractContextManager["Ec2Server"]):
    """EC2, by moto, with one image: `image`."""

    image: Final = "aws://us-east-1/ami-dodas"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        (folder / "amis.json").write_text(json.dumps([_AMI]), "utf-8")
        command = [str(environment() / "bin" / "python"), str(Path(__file__).with_name("moto_process.py")), str(port)]
        self.program = Program(command, folder, "moto", MOTO_AMIS_PATH=str(folder / "amis.json"))
        blocking_until(lambda: answers(f"{self.url}/moto-api/", self.program), within=_UP)

    def ask(self, action: str, **parameters: str) -> str:
        """Ask EC2 for something, and return what it says, as XML."""
        signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=none"
        answer = httpx.post(
            self.url,
            data={"Action": action, "Version": "2016-11-15", **parameters},
            headers={"Authorization": signed, "Host": "ec2.us-east-1.amazonaws.com"},
            timeout=30,
        )
        return answer.raise_for_status().text

    def _described(self) -> list[dict[str, str]]:
        """Facts of all machines, the ended ones too."""
        found = []
        for one in ET.fromstring(self.ask("DescribeInstances")).iter():
            facts = {_tag(child): child for child in one}
            if {"instanceId", "instanceState"} <= facts.keys():
                state = next(child.text or "" for child in facts["instanceState"] if _tag(child) == "name")
                found.append({name: child.text or "" for name, child in facts.items()} | {"state": state})
        return found

    def instances(self) -> dict[str, str]:
        """States of all machines that are not terminated, by identifier."""
        return {one["instanceId"]: one["state"] for one in self._described() if one["state"] != "terminated"}

    def groups(self) -> set[str]:
        """Names of all security groups but the one that is always there."""
        found = ET.fromstring(self.ask("DescribeSecurityGroups")).iter()
        return {child.text or "" for one in found for child in one if _tag(child) == "groupName"} - {"default"}

    def at(self, address: str) -> str:
        """Identifier of the machine that has an address."""
        return next(
            one["instanceId"] for one in self._described() if address in (one.get("ipAddress"), one.get("privateIpAddress"))
        )

    def terminate(self, instance: str) -> None:
        """End a machine, as somebody else would."""
        self.ask("TerminateInstances", **{"InstanceId.1": instance})

    def stop(self) -> None:
        """End it."""
        self.program.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


_AMI: Final = {
    "ami_id": "ami-dodas",
    "name": "a machine",
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
