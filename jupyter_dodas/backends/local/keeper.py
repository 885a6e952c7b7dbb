"""The keeper: the small process that is the parent of every local instance, of the preloaded processes and of the controller.

It knows nothing of clusters. It runs what it is told, remembers how each instance ended and what it took (`wait4`), and restarts
the controller when that dies. It is single-threaded and has only the standard library, so that it stays small and does not fail;
its children end with it (see `guard`).

Protocol: JSON objects, one a line, over a Unix socket in the runtime folder. Each request has ``do`` and ``id``; the reply has the
same ``id``. ``{"ended": name}`` comes unasked, to every connection, when an instance has ended.

======== ============================================== =====================================================
do       with                                           reply
======== ============================================== =====================================================
run      a `guard.Run`: name, command, python, modules, ``{}``; nothing happens if the name is there
         surroundings, environment, folder, log, grace
observe                                                 ``{"instances": {name: ...}, "epoch", "namespace"}``
measure                                                 ``{"used": {name: [CPU seconds, bytes]}, "at": seconds}``
end      name                                           ``{}``; polite, and after its grace not
kill     name                                           ``{}``
forget   name                                           ``{}``
quit                                                    none: it ends
======== ============================================== =====================================================
"""

import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from jupyter_dodas.backends.local import guard, measure
from jupyter_dodas.backends.local.peers import Message, Peers, listen
from jupyter_dodas.backends.local.title import entitle

__all__ = ["Born", "Keeper", "main"]

_RESTART: Final = (0.0, 0.2, 1.0, 5.0)
"""Seconds before the controller is started again, by how often it has just died."""


_LOOK: Final = 4.0
"""Seconds between looks at whether the runtime folder is still there."""


Start = Callable[[guard.Run], object]


class Born:
    """What a keeper has from the process that it was forked from, see `nursery`; one that was executed has nothing.

    Parameters
    ----------
    start
        Does what ``python -m`` does, in a fork, for modules that were imported already, and never returns.
    namespace
        What `guard.try_namespace` has said.
    """

    def __init__(self, start: Start, *, namespace: bool) -> None:
        self.start, self.namespace = start, namespace


class Instance:
    """What is remembered of one."""

    __slots__ = ("cpu", "exit", "grace", "kill_at", "peak", "pid", "told")

    def __init__(self, grace: float) -> None:
        self.pid = 0
        self.grace = grace
        self.told: int | None = None  # the signal by which its guard was told to end it
        self.exit: int | None = None
        self.cpu = 0.0
        self.peak = 0
        self.kill_at: float | None = None


class Preloaded:
    """A process that has imported a kind's modules, and forks instances."""

    __slots__ = ("pid", "socket", "used", "waiting")

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid, self.socket = pid, sock
        self.used = time.monotonic()
        self.waiting: dict[str, guard.Run] = {}


class Keeper:
    """See the module."""

    def __init__(self, runtime: str, python: str, settings: dict[str, Any], lock: int, born: Born | None = None) -> None:
        self._runtime, self._python, self._settings, self._lock, self._born = runtime, python, settings, lock, born
        self._epoch = f"{os.getpid()}-{time.time_ns():x}"
        self._instances: dict[str, Instance] = {}
        self._preloaded: dict[str, Preloaded] = {}
        self._early: dict[int, tuple[int, float, int]] = {}  # ended before their pid was known
        self._selector = selectors.DefaultSelector()
        self._peers = Peers(self._selector, self._do)
        self._controller = 0
        self._controller_deaths: list[float] = []
        self._controller_at: float | None = None
        self._alive, self._alive_writer = os.pipe()
        self._running = True
        # Even in a hurry to end, not between getting ready and the launch that it is for.
        self._linger = max(float(settings["linger"]), 20.0)
        self._namespace = bool(settings["namespaces"]) and (guard.try_namespace() if born is None else born.namespace)

    # -- life ---------------------------------------------------------------------------------------------------------

    def run(self, expect: str) -> None:
        """Serve until told to quit. `expect` names modules to preload at once, as comma-separated words, or nothing."""
        guard.become_subreaper()
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        listener = listen(os.path.join(self._runtime, "keeper.sock"))
        self._selector.register(listener, selectors.EVENT_READ, self._peers.accept)
        self._selector.register(woken, selectors.EVENT_READ, lambda _: os.read(woken, 512))
        if expect:
            self._prepare(expect.split(","), self._python, dict(os.environ))
        self._start_controller()
        while self._running and self._known():
            for key, _ in self._selector.select(min(self._patience(), _LOOK)):
                key.data(key.fileobj)
            self._reap()
            self._on_time()
        self._end_all()

    def _signalled(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self._running = False

    def _known(self) -> bool:
        """Whether others can still find us: some systems clear the folder away when a user logs out, or after ten days."""
        try:
            found, own = os.stat(os.path.join(self._runtime, "keeper.lock")), os.fstat(self._lock)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    def _patience(self) -> float:
        """Seconds until something is due."""
        due = [i.kill_at for i in self._instances.values() if i.kill_at is not None]
        due += [p.used + self._linger for p in self._preloaded.values() if not p.waiting]
        if self._controller_at is not None:
            due.append(self._controller_at)
        return max(0.0, min(due, default=float("inf")) - time.monotonic())

    def _on_time(self) -> None:
        now = time.monotonic()
        if self._controller_at is not None and now >= self._controller_at:
            self._start_controller()
        for instance in self._instances.values():
            if instance.kill_at is not None and now >= instance.kill_at:
                # The guard itself did not obey. What was below it becomes ours, and `_reap` ends it.
                instance.kill_at = None
                _kill(instance.pid)
        for key, preloaded in list(self._preloaded.items()):
            if not preloaded.waiting and now >= preloaded.used + self._linger:
                self._drop(key)

    def _end_all(self) -> None:
        os.close(self._alive_writer)  # every guard kills what it guards
        for preloaded in self._preloaded.values():
            preloaded.socket.close()
        if self._controller:
            _kill(self._controller, signal.SIGTERM)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and _below():
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.005)
        guard.kill_below(inside=False)
        if self._known():  # or they are those of another keeper
            for name in ("keeper.sock", "controller.sock"):
                _unlink(os.path.join(self._runtime, name))

    # -- the controller -----------------------------------------------------------------------------------------------

    def _start_controller(self) -> None:
        self._controller_at = None
        words = ["python", "-m", "jupyter_dodas.controller", "local", self._runtime, self._settings["state"]]
        log = os.path.join(self._settings["state"], "controller.log")
        run = {"command": words, "python": self._python, "folder": "/", "environment": dict(os.environ)}
        self._controller = _fork(self._become, run, log, keep=(self._alive,))

    def _controller_ended(self) -> None:
        self._controller = 0
        now = time.monotonic()
        self._controller_deaths = [at for at in self._controller_deaths if now - at < 30] + [now]
        recent = min(len(self._controller_deaths), len(_RESTART)) - 1
        self._controller_at = now + _RESTART[recent]

    # -- instances ----------------------------------------------------------------------------------------------------

    def _do(self, request: Message) -> Message:
        match request["do"]:
            case "run":
                self._run(request)
            case "observe":
                return {"instances": self._view(), "epoch": self._epoch, "namespace": self._namespace}
            case "measure":
                alive = {name: i.pid for name, i in self._instances.items() if i.pid and i.exit is None}
                return {"used": {name: measure.below(pid) for name, pid in alive.items()}, "at": time.monotonic()}
            case "end":
                self._end(request["name"], signal.SIGTERM)
            case "kill":
                self._end(request["name"], signal.SIGINT)
            case "forget":
                instance = self._instances.get(request["name"])
                if instance is not None and instance.exit is not None:
                    del self._instances[request["name"]]
            case "quit":
                self._running = False
        return {}

    def _view(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"pid": i.pid, "exit": i.exit, "cpu_seconds": i.cpu, "peak_memory": i.peak} for name, i in self._instances.items()
        }

    def _run(self, run: guard.Run) -> None:
        if run["name"] in self._instances:
            return
        run["namespace"] = self._namespace
        instance = self._instances[run["name"]] = Instance(float(run["grace"]))
        # A preloaded process does what ``python -m`` does, and nothing else.
        if run["modules"] and run["command"][:2] == ["python", "-m"]:
            key = self._prepare(run["modules"], run["python"], run["surroundings"])
            preloaded = self._preloaded[key]
            preloaded.waiting[run["name"]] = run
            preloaded.used = time.monotonic()
            try:
                preloaded.socket.sendall(json.dumps(run).encode() + b"\n")
            except OSError:
                self._drop(key)
        else:
            self._execute_instance(run, instance)

    def _execute_instance(self, run: guard.Run, instance: Instance) -> None:
        try:
            self._started(instance, run["name"], guard.spawn(run, self._alive, self._become))
        except OSError:
            self._ended(run["name"], instance, 127, 0.0, 0)

    def _become(self, run: guard.Run) -> None:
        """Become what a child of ours is to be: at once if this interpreter has imported it already."""
        words = run["command"]
        known = any(f"{words[2]}{part}" in sys.modules for part in ("", ".__main__")) if words[:2] == ["python", "-m"] else False
        if self._born is not None and known and run["python"] == self._python:
            entitle([self._python, *words[1:]], run["environment"])
            self._born.start(run)
        _execute(run)

    def _started(self, instance: Instance, name: str, pid: int) -> None:
        instance.pid = pid
        if pid in self._early:
            self._ended(name, instance, *self._early.pop(pid))
        elif instance.told is not None:
            _kill(pid, instance.told)  # it was told to end before it had begun

    def _end(self, name: str, number: signal.Signals) -> None:
        """Tell a guard to end its instance: SIGTERM politely, SIGINT at once."""
        instance = self._instances.get(name)
        if instance is None or instance.exit is not None or number == instance.told:
            return
        instance.told = number
        instance.kill_at = time.monotonic() + 1 + (instance.grace if number == signal.SIGTERM else 0)
        _kill(instance.pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = (os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
            if pid == self._controller:
                self._controller_ended()
                continue
            name = next((name for name, i in self._instances.items() if i.pid == pid), None)
            if name is not None:
                self._ended(name, self._instances[name], *ended)
                self._kill_strays()
            elif (key := next((key for key, p in self._preloaded.items() if p.pid == pid), None)) is not None:
                self._drop(key)
            elif any(p.waiting for p in self._preloaded.values()):
                self._early[pid] = ended
            else:
                self._early.clear()

    def _ended(self, name: str, instance: Instance, code: int, cpu: float, peak: int) -> None:
        instance.exit, instance.cpu, instance.peak, instance.kill_at = code, cpu, peak, None
        self._peers.tell_clients({"ended": name})

    def _kill_strays(self) -> None:
        """Kill what a killed guard left to us."""
        known = {self._controller, *(i.pid for i in self._instances.values()), *(p.pid for p in self._preloaded.values())}
        if any(p.waiting for p in self._preloaded.values()):
            return  # a guard whose pid we are yet to hear of looks like a stray
        for pid in _below():
            if pid not in known:
                _kill(pid)

    # -- preloaded processes ------------------------------------------------------------------------------------------

    def _prepare(self, modules: list[str], python: str, surroundings: dict[str, str]) -> str:
        """See that a preloaded process is there for these modules, this interpreter and this search path; return its key."""
        paths = [surroundings.get(name, "") for name in ("PYTHONPATH", "LD_LIBRARY_PATH")]
        key = ":".join([python, *modules, *paths])
        if key in self._preloaded:
            self._preloaded[key].used = time.monotonic()
            return key
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        words = ["python", "-m", "jupyter_dodas.backends.local.preload"]
        words += [str(theirs.fileno()), str(self._alive), ",".join(modules)]
        log = os.path.join(self._settings["state"], "preload.log")
        run = {"command": words, "python": python, "environment": surroundings}
        pid = _fork(_execute, run, log, keep=(theirs.fileno(), self._alive))
        theirs.close()
        self._preloaded[key] = Preloaded(pid, ours)
        self._peers.add(ours, lambda _: self._preloaded_says(key))
        return key

    def _preloaded_says(self, key: str) -> None:
        preloaded = self._preloaded[key]
        for message in self._peers.receive(preloaded.socket):
            run = preloaded.waiting.pop(message["name"], None)
            instance = self._instances.get(message["name"])
            if run is not None and instance is not None:
                self._started(instance, message["name"], message["pid"])
        if preloaded.socket not in self._peers:
            self._drop(key)

    def _drop(self, key: str) -> None:
        """Let go of a preloaded process; what it was to run is executed instead."""
        preloaded = self._preloaded.pop(key, None)
        if preloaded is None:
            return
        self._peers.hang_up(preloaded.socket)
        for name, run in preloaded.waiting.items():
            if (instance := self._instances.get(name)) is not None:
                self._execute_instance(run, instance)


def _execute(run: guard.Run) -> None:
    argv = [run["python"] if run["command"][0] == "python" else run["command"][0], *run["command"][1:]]
    os.execvpe(argv[0], argv, run["environment"])


def _fork(become: Start, run: guard.Run, log: str, keep: tuple[int, ...]) -> int:
    """Fork a child of ours, which keeps these descriptors."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            guard.close_all_but(*keep)
            for descriptor in keep:
                os.set_inheritable(descriptor, True)
            file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.close(file)
            become({**run, "environment": {**run["environment"], "DODAS_ALIVE": str(keep[-1])}})
        finally:
            os._exit(127)
    return pid


def _below() -> list[int]:
    pid = os.getpid()
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    if pid > 0:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def main(argv: Sequence[str], born: Born | None = None) -> None:
    """Become the keeper of a runtime folder, in the background, unless it has one.

    Parameters
    ----------
    argv
        Runtime folder, the interpreter for its children, settings as JSON, and modules to preload at once or an empty string.
    born
        What it has from who forked it.
    """
    runtime, python, settings, expect = argv
    lock = os.open(os.path.join(runtime, "keeper.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Taken before the fork, which inherits it: whoever started us sees at once that there is a keeper.
    if not _acquire(lock) or os.fork():
        os._exit(0)
    os.setsid()
    Keeper(runtime, python, json.loads(settings), lock, born).run(expect)
    os._exit(0)


def _acquire(lock: int) -> bool:
    """Take the keeper's lock. More than one try, since readers hold it for a moment to see whether it is free."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            time.sleep(0.01)
        else:
            return True
    return False


if __name__ == "__main__":
    main(sys.argv[1:])
