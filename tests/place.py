"""A place of its own for each test: folders, variables, and what runs for it. Whoever uses one leaves nothing behind."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.errors import NotFound
from jupyter_dodas.settings import load
from jupyter_dodas.spec import Condition, Phase, Record
from jupyter_dodas.testing.waiting import blocking_until

__all__ = ["ROOT", "TOY", "LocalGround", "Place", "Process"]

ROOT: Final = Path(__file__).resolve().parents[1]
TOY: Final = ROOT / "tests" / "toy"


@dataclass(frozen=True)
class Process:
    """One process, told from a later one of the same number."""

    pid: int
    started: int
    command: str

    @classmethod
    def with_number(cls, pid: int) -> "list[Process]":
        """The one that has this number now, if there is one."""
        started = _started(pid)
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            return []
        return [] if started is None else [cls(pid, started, command)]

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _started(self.pid) == self.started

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, if it is there."""
        if self.alive():
            os.kill(self.pid, number)


class Place:
    """A state root and a runtime folder, and everything that runs for them."""

    def __init__(self) -> None:
        # Short, since a socket's path has at most 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="dodas-"))
        self.state, self.runtime = self.root / "state", self.root / "run"
        self._launchers: list[subprocess.Popen[bytes]] = []

    @property
    def variables(self) -> Mapping[str, str]:
        """What leads a process to this place."""
        paths = [str(TOY), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        return {
            "DODAS_STATE": str(self.state),
            "DODAS_RUNTIME": str(self.runtime),
            "DODAS_CONFIG": str(self.root / "config.toml"),
            "DODAS_LINGER": "0",
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        }

    # -- what runs ----------------------------------------------------------------------------------------------------

    def processes(self, does: Callable[[str], object] = bool) -> Sequence[Process]:
        """Everything that runs for this place, and for those of a hub's users below it, of which the command line does something.

        Its users' programs are not counted.
        """
        mark = f"DODAS_STATE={self.state}/".encode()
        users = {os.getpid(), *(program.pid for program in self._launchers)}
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) not in users:
                try:
                    variables = (folder / "environ").read_bytes().split(b"\0")
                    if not any((one + b"/").startswith(mark) for one in variables):
                        continue
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    name = (folder / "comm").read_text().strip()
                except OSError:
                    continue  # it has ended
                started = _started(int(folder.name))
                if started is not None and does(f"{name} {command}"):
                    found.append(Process(int(folder.name), started, f"{name}: {command}"))
        return found

    def keepers(self) -> Sequence[Process]:
        """The keeper, if it answers."""
        try:
            pid = int(self.ask(do="observe")["epoch"].partition("-")[0])
        except OSError:
            return []
        return [process for process in self.processes() if process.pid == pid]

    def controllers(self) -> Sequence[Process]:
        """The controller, if it runs."""
        return self.processes(lambda command: command.startswith("python") and "-m jupyter_dodas.controller" in command)

    def keeper(self) -> Process:
        """The keeper, as soon as it runs."""
        return blocking_until(self.keepers, within=10)[0]

    def controller(self) -> Process:
        """The controller, as soon as it runs."""
        return blocking_until(self.controllers, within=10)[0]

    def instances(self, cluster: str) -> Mapping[str, Process]:
        """The guards of a cluster's instances, by name: each is the parent of one, and ends with it."""
        found = {}
        for name, view in self.ask(do="observe")["instances"].items():
            started = _started(view["pid"]) if view["pid"] and view["exit"] is None else None
            if name.startswith(f"{cluster}/") and started is not None:
                found[name.partition("/")[2]] = Process(view["pid"], started, name)
        return found

    def children(self, of: Process) -> Sequence[Process]:
        """The processes right below one."""
        tasks = Path(f"/proc/{of.pid}/task").glob("*/children")
        pids = [int(pid) for task in tasks for pid in task.read_text().split()]
        return [Process(pid, started, "") for pid in pids if (started := _started(pid)) is not None]

    def ask(self, **request: object) -> dict[str, Any]:
        """Ask the keeper."""
        with socket.socket(socket.AF_UNIX) as keeper:
            keeper.settimeout(10)
            keeper.connect(str(self.runtime / "keeper.sock"))
            keeper.sendall(json.dumps({"id": 0, **request}).encode() + b"\n")
            with keeper.makefile("rb") as lines:
                for line in lines:
                    reply: dict[str, Any] = json.loads(line)
                    if "id" in reply:
                        return reply
        raise ConnectionError("the keeper hung up")

    def run(self, code: str, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        """Start a Python program of a user, as a kernel or a script is one; it is ended with the place."""
        program = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **self.variables, **variables},
            cwd=self.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._launchers.append(program)
        return program

    def keep(self) -> None:
        """Start a keeper without a controller, for tests that do what a controller does."""
        idle = self.root / "idle"
        idle.write_text("#!/bin/sh\nexec cat /proc/self/fd/$DODAS_ALIVE\n")
        idle.chmod(0o700)
        settings = {"state": str(self.state), "linger": 600.0, "namespaces": load().namespaces}
        subprocess.run(
            [sys.executable, "-m", "jupyter_dodas.backends.local.keeper", self.runtime, idle, json.dumps(settings), ""],
            env={**os.environ, **self.variables},
            check=True,
        )
        blocking_until(lambda: _listens(self.runtime / "keeper.sock"), within=10)

    # -- what is written -----------------------------------------------------------------------------------------------

    def record(self, name: str) -> Record | None:
        """The record of a cluster, as anybody reads it; None if there is none."""
        try:
            return asyncio.run(LocalBackend(load()).store.get(name))
        except NotFound:
            return None

    def whole(self, name: str) -> bool:
        """Whether a cluster is ready, with every instance, and all of them are alive."""
        record = self.record(name)
        if record is None or record.status.phase is not Phase.READY:
            return False
        instances, alive = record.status.instances, self.instances(name)
        return (
            all(instance.condition is Condition.READY for instance in instances.values())
            and instances.keys() == alive.keys()
            and all(self.children(guard) for guard in alive.values())
        )

    # -- the end ------------------------------------------------------------------------------------------------------

    def left(self) -> Sequence[Process]:
        """Whatever runs for clusters here: not the keeper, the controller and preloaded processes, which may stay for a while."""
        return self.processes(lambda command: not _ours(command))

    def assert_deserted(self, within: float = 10) -> None:
        """See that nothing runs any more, no lock is held and nobody listens."""
        blocking_until(self.processes, within=within, meets=lambda left: not left)
        # What has ended for the eye of /proc may hold its files for another moment.
        blocking_until(self._held, within=2, meets=lambda held: not held)

    def _held(self) -> Sequence[str]:
        """Name the locks that are held, and the sockets that somebody listens on."""
        held = []
        for lock in self.runtime.rglob("*.lock"):
            with lock.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(lock.name)
        return [*held, *(path.name for path in self.runtime.rglob("*.sock") if _listens(path))]

    def close(self) -> None:
        """End what a test left running, see that everything ends, and remove the folders."""
        for program in self._launchers:
            program.kill()
            program.communicate()
        for process in self.processes(_keeps):
            process.kill(signal.SIGTERM)
        try:
            self.assert_deserted()
        finally:
            for process in self.processes():
                process.kill()
            shutil.rmtree(self.root)


class LocalGround:
    """A place as the contract of pairs wants it."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def kill_controller(self) -> None:
        """See `Ground.kill_controller`."""
        self._place.controller().kill()

    async def left(self) -> Sequence[str]:
        """See `Ground.left`."""
        return [process.command for process in self._place.left()]


def _ours(command: str) -> bool:
    """Whether it is the keeper, a preloaded process or the controller, which may stay when clusters go."""
    own = "jupyter_dodas.controller", "jupyter_dodas.backends.local.preload"
    # What one of them has forked has its command line, but a name of its own.
    return _keeps(command) or (command.startswith("python") and any(f"-m {module}" in command for module in own))


def _keeps(command: str) -> bool:
    own = "keeper.main(" in command or "-m jupyter_dodas.backends.local.keeper" in command
    return own and command.startswith("python")  # guards have its command line, but a name of their own


def _listens(path: Path) -> bool:
    """Whether somebody takes connections there: a socket has a file a moment before."""
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


def _started(pid: int) -> int | None:
    """Return when a process started, in ticks of the kernel; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])
