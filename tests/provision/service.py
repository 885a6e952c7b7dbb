"""A hub with the service of infrastructures, and an Infrastructure Manager that it asks."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from jupyter_dodas.provision.client import Infrastructures
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Hub, answers, free_ports
from tests.provision.im import ACCOUNT

__all__ = ["KUBECONFIG", "ServiceHub", "im"]

KUBECONFIG: Final = """\
apiVersion: v1
kind: Config
clusters: [{name: higgs, cluster: {server: "https://192.0.2.1:6443"}}]
users: [{name: admin, user: {token: "a secret of tests"}}]
contexts: [{name: higgs, context: {cluster: higgs, user: admin}}]
current-context: higgs
"""


def im(url: str, folder: Path, **options: Any) -> dict[str, Any]:
    """A provisioner, in the configuration of the service."""
    account = folder / "im.account"
    account.write_text(f"{ACCOUNT['username']}\n{ACCOUNT['password']}\n", "utf-8")
    account.chmod(0o600)
    return {"name": "im", "kind": "im", "options": {"url": url, "account": str(account), **options}}


class ServiceHub(Hub):
    """One.

    Parameters
    ----------
    folder
        Where the files of its provisioners lie.
    provisioners
        What the service offers.
    settings
        Of the service.
    """

    configuration = "provision_config.py"
    variables: ClassVar[Mapping[str, str]] = {}

    def __init__(self, folder: Path, *provisioners: Mapping[str, Any], lines: str = "", **settings: Any) -> None:
        file = folder / "provisioners.json"
        file.write_text(json.dumps(provisioners), "utf-8")
        (self.service_port,) = free_ports(1)
        self.__dict__["variables"] = {  # of this one
            "DODAS_HUB_PROVISIONERS": str(file),
            "DODAS_HUB_INFRASTRUCTURES_PORT": str(self.service_port),
            "DODAS_HUB_INFRASTRUCTURES": json.dumps(settings),
        }
        super().__init__(lines)

    @property
    def service_url(self) -> str:
        """Its address, through the proxy."""
        return f"{self.url}/services/infrastructures"

    @property
    def store(self) -> Path:
        """Its folder."""
        return self.folder / "state" / "infrastructures"

    def start(self) -> None:
        """Start it, and wait for the service."""
        super().start()
        self.up()

    def up(self) -> None:
        """Wait for the service."""
        url = f"http://127.0.0.1:{self.service_port}/services/infrastructures/api/v1/templates"
        blocking_until(lambda: answers(url, self.program), within=120)

    def client(self, user: str) -> Infrastructures:
        """The client of a user who has signed in just now."""
        return Infrastructures(self.service_url, self._keep(self.token(user)))

    def token(self, user: str) -> str:
        """A token of a user for the service, and for nothing else."""
        browser = self.browser()
        browser.sign_in(user)
        made = browser.api("POST", f"/users/{user}/tokens", json={"scopes": ["access:services!service=infrastructures"]})
        return str(made.json()["token"])

    def hub_client(self, owner: str) -> Infrastructures:
        """The client of the hub itself."""
        token = (self.store / "infrastructures.token").read_text("ascii")
        return Infrastructures(self.service_url, self._keep(token), owner)

    @staticmethod
    def _keep(token: str) -> Any:
        async def give() -> str:
            return token

        return give

    def service_processes(self) -> list[int]:
        """The service, without the process that starts it again."""
        mark = str(self.store / "infrastructures.json").encode()
        found = []
        for process in Path("/proc").iterdir():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
            except OSError:
                continue  # it has ended
            if mark in words and b"--inner" in words:
                found.append(int(process.name))
        return found

    def kill_service(self) -> None:
        """End the service at once, and see it dead."""
        for process in self.service_processes():
            os.kill(process, signal.SIGKILL)
            _see_dead(process, self.service_processes)


def _see_dead(process: int, look: Callable[[], list[int]]) -> None:
    blocking_until(lambda: process in look(), within=20, meets=lambda there: not there)
