"""A hub on a machine of its own that runs as root and gives each user an account, with what tests look for there."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from jupyter_dodas.hub.accounts.cgroups import Fence, Site, sites
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import USERS, Browser, Hub
from tests.machine import Machine

__all__ = ["AS_ROOT", "MEMORY", "RootHub"]

AS_ROOT: Final = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can give each user an account"),
]
"""What tests that use it are marked with."""

# Agents are given up, and groups removed, sooner than anybody needs it elsewhere; starts can be held at a point.
LINES: Final = """
import asyncio, functools, pathlib
from jupyter_dodas.hub.accounts import remote
from jupyter_dodas.hub.grounds import accounts

accounts.Agents = functools.partial(remote.Agents, patience=3.0, idle=4.0, every=0.1)

def gated(verb):
    real = getattr(remote.RemoteNotebook, verb)
    @functools.wraps(real)
    async def call(self, *arguments, **named):
        gate = pathlib.Path.cwd() / f"gate-{verb}-{self._owner}"
        while gate.exists():
            gate.with_name(f"reached-{self._owner}").touch()
            await asyncio.sleep(0.02)
        return await real(self, *arguments, **named)
    setattr(remote.RemoteNotebook, verb, call)

for verb in ("start", "address"):
    gated(verb)

c.DodasSpawner.account = "jupyter-{username}"
c.DodasSpawner.limits = {"*": {"memory": "4 GiB", "cores": 3}}
c.DodasSpawner.poll_interval = 1
"""

MEMORY: Final = 4 * 2**30 + 2 * 2**30
"""What everything of a user may take: the limit, and what is granted beside workers. To it comes a notebook's own."""


class RootHub(Hub):
    """A hub on a machine of its own, where it gives each user an account."""

    # Without process namespaces users see each other's processes, and only their accounts keep them apart.
    variables: ClassVar[Mapping[str, str]] = {"DODAS_NAMESPACES": "false"}

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        super().__init__(LINES)

    def command(self, hub: Sequence[str]) -> Sequence[str]:
        self.folder.chmod(0o711)
        return self.machine.inside(hub, self.folder)

    def running(self, mark: str = "") -> list[int]:
        here = f"DODAS_STATE={self.folder}".encode()
        return processes(lambda environ, command: any(one.startswith(here) for one in environ.split(b"\0")) and mark in command)

    def __exit__(self, *why: object) -> None:
        super().__exit__(*why)
        # Its notebooks have ended with it, so that its groups would go with the next hub.
        for user in USERS:
            blocking_until(Fence(where(), self.place(user)).clear, within=20)

    def place(self, user: str) -> Path:
        return self.folder / "state" / "users" / user

    def server(self, user: str) -> int:
        """The process that is a user's server."""
        (found,) = [one for one in self.of(user) if "single_user.py" in cmdline(one) and "notebook.process" not in cmdline(one)]
        return found

    def of(self, user: str) -> list[int]:
        """All that runs at a user's place, and is the user's."""
        return [one for one in self.running() if is_of(self, user, one)]

    def uid(self, user: str) -> int:
        found = self.machine.uid(f"jupyter-{user}")
        assert found is not None
        return found

    def agents(self, user: str) -> list[int]:
        return [
            one
            for one in processes(lambda _, command: "hub.accounts.prepared" in command)
            if is_of(self, user, one) and parent(one) in children_of(self.program.process.pid)
        ]

    def nurseries(self, user: str) -> list[int]:
        """Those of the user's agents."""
        return [one for one in processes(lambda _, command: "local.nursery" in command) if is_of(self, user, one)]


def processes(wanted: Callable[[bytes, str], bool]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = cmdline(int(folder.name)) if folder.name.isdigit() else ""
            if command and wanted((folder / "environ").read_bytes(), command):
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def is_of(hub: RootHub, user: str, pid: int) -> bool:
    return status(pid)["Uid"].split()[0] == str(hub.uid(user))


def cmdline(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


def status(pid: int) -> Mapping[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return {"Uid": "-1", "PPid": "0"}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def parent(pid: int) -> int:
    return int(status(pid)["PPid"])


def children_of(pid: int) -> set[int]:
    return {one for one in processes(lambda _, command: True) if parent(one) == pid}


def signed_in(hub: RootHub, user: str) -> Iterator[Browser]:
    browser = hub.browser()
    browser.sign_in(user)
    yield browser
    stop(browser, user)


def ready(browser: Browser, user: str) -> bool:
    return bool(browser.api("GET", f"/users/{user}").json()["servers"].get("", {}).get("ready"))


def stop(browser: Browser, user: str) -> None:
    def gone() -> bool:
        if "" not in browser.api("GET", f"/users/{user}").json()["servers"]:
            return True
        browser.api("DELETE", f"/users/{user}/server")
        return False

    blocking_until(gone, within=60)


def run(browser: Browser, user: str, program: str, **given: Any) -> Any:
    """Run a program as a user's kernel would, and return what it says."""
    lines = [f"{name} = {value!r}" for name, value in given.items()]
    reply = browser.client.post(f"{browser.hub.url}/user/{user}/run", content="\n".join([*lines, program]))
    assert reply.is_success, reply.text
    return reply.json()


def press_start(browser: Browser, user: str) -> bool:
    if ready(browser, user):
        return True
    browser.api("POST", f"/users/{user}/server")  # which is refused while the hub still looks what there is
    return False


def fence(hub: RootHub, user: str) -> list[Path]:
    return [file.parent for file in Fence(where(), hub.place(user)).members]


def where() -> Mapping[str, Site]:
    return sites(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
