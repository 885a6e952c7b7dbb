"""A guard: the parent of one instance, which sees that nothing of it outlives the keeper.

The guard holds the reading end of a pipe that only the keeper can write to. When the keeper dies, however it dies, the pipe closes
and the guard kills everything below it. It is a subreaper, so grandchildren that detached themselves stay below it; where the
kernel allows, it is also the first process of a pid namespace, so that the kernel does the killing even if the guard is killed.

The keeper forks guards without executing anything, so this module must stay within a few modules of the standard library.
"""

import ctypes
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["become_readable", "become_subreaper", "close_all_but", "kill_below", "spawn", "try_namespace"]

Run = dict[str, Any]
"""What to run, as the keeper's protocol says it; see `keeper`."""

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 1 << 19
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36

_libc = ctypes.CDLL(None, use_errno=True)


def spawn(run: Run, alive: int, start: Callable[[Run], object]) -> int:
    """Fork a guard with its instance, and return the guard's pid once it is a child of the nearest subreaper.

    Parameters
    ----------
    alive
        The reading end of the keeper's pipe.
    start
        Called in the instance's process with its streams, folder and environment in place; must not return to a caller's loop.
    """
    told, tell = os.pipe()
    middle = os.fork()
    if middle == 0:
        _middle(run, alive, start, tell)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        pid = int(pipe.read() or b"0")
    os.waitpid(middle, 0)
    if not pid:
        raise OSError("the guard could not be forked")
    return pid


def _middle(run: Run, alive: int, start: Callable[[Run], object], tell: int) -> None:
    """Fork the guard and end, so that the guard becomes a child of the keeper."""
    code = 1
    try:
        close_all_but(alive, tell)  # the keeper's lock, sockets and writing end must not live on in a guard
        os.setsid()
        inside = bool(run["namespace"]) and _unshare()
        guard = os.fork()
        if guard == 0:
            os.close(tell)
            code = _guard(run, alive, start, inside=inside)
        else:
            os.write(tell, b"%d" % guard)
            code = 0
    finally:
        os._exit(code)


def _guard(run: Run, alive: int, start: Callable[[Run], object], *, inside: bool) -> int:
    if inside:
        _mount_proc()
    become_subreaper()
    _libc.prctl(_PR_SET_NAME, b"dodas-guard", 0, 0, 0)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    heard: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda number, _: heard.append(number))
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = os.fork()
    if child == 0:
        _instance(run, alive, start)
    status = _keep_watch(child, alive, woken, heard, float(run["grace"]))
    kill_below(inside=inside)
    return _exit_like(status)


def _keep_watch(child: int, alive: int, woken: int, heard: list[int], grace: float) -> int:
    """Wait until the instance has ended, and pass on what is asked of it."""
    poll = select.poll()
    poll.register(alive, 0)  # only the hang-up is of interest
    poll.register(woken, select.POLLIN)
    deadline: float | None = None
    while True:
        status = _reap(child)
        if status is not None:
            return status
        wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        events = dict(poll.poll(wait))
        if woken in events:
            os.read(woken, 512)
        asked, heard[:] = set(heard), []
        if alive in events or signal.SIGINT in asked or (deadline is not None and time.monotonic() >= deadline):
            _kill(child, signal.SIGKILL)
            deadline = None
            if alive in events:
                poll.unregister(alive)
        elif signal.SIGTERM in asked and deadline is None:
            _kill(child, signal.SIGTERM)
            deadline = time.monotonic() + grace


def _reap(child: int) -> int | None:
    """Collect whatever ended below, and return the instance's status if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == child:
            return status
        if pid == 0:
            return None


def kill_below(*, inside: bool) -> None:
    """Kill and reap every process below this one, until there is none."""
    while True:
        if inside:
            _kill(-1, signal.SIGKILL)
        else:
            for pid in _descendants(os.getpid()):
                _kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _descendants(root: int) -> list[int]:
    found: list[int] = []
    queue = [root]
    while queue:
        pid = queue.pop()
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
            for task in tasks:
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    queue += (below := [int(word) for word in file.read().split()])
                    found += below
        except OSError:
            continue  # it ended meanwhile
    return found


def close_all_but(*kept: int) -> None:
    """Close every descriptor but these and the standard ones, as executing a program would."""
    for name in os.listdir("/proc/self/fd"):
        if (descriptor := int(name)) > 2 and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the one of the listing itself


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _exit_like(status: int) -> int:
    """Return the instance's exit code, or die of its signal, so that the keeper sees the same end."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        # The first process of a namespace does not die of its own signals.
        return 128 + number
    return os.waitstatus_to_exitcode(status)


def _instance(run: Run, alive: int, start: Callable[[Run], object]) -> None:
    """Become the instance. Never returns."""
    code = 127
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.close(alive)
        os.umask(0o077)
        log = os.open(run["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            os.chdir(run["folder"])
        except OSError as error:
            os.write(2, f"The working directory cannot be used: {error}\n".encode())
            os._exit(126)
        _libc.prctl(_PR_SET_NAME, run["name"].encode()[-15:], 0, 0, 0)
        start(run)
        code = 0
    except OSError as error:
        os.write(2, f"{run['command'][0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(code)


def become_subreaper() -> None:
    """Adopt every orphan below this process (Linux; elsewhere orphans go to init)."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def become_readable() -> None:
    """Be as open to one's own user as after executing a program. Who has just given up root is not, nor can make namespaces."""
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _unshare() -> bool:
    """Give the next child a pid namespace; as an ordinary user that takes a user namespace too."""
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWPID | _CLONE_NEWNS | (_CLONE_NEWUSER if uid else 0)
    if _libc.unshare(flags):
        return False
    if uid:
        for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{file}", "w") as map_:
                map_.write(text)
    return True


def _mount_proc() -> None:
    # Slave, so that automounts of the machine (CVMFS, AFS) still appear inside.
    if _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None) or _libc.mount(b"proc", b"/proc", b"proc", 0, None):
        raise OSError(ctypes.get_errno(), "the process namespace has no /proc")


def try_namespace() -> bool:
    """Whether this machine lets us give an instance its own process namespace. Tries it in a child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if _unshare():
                first = os.fork()
                if first == 0:
                    _mount_proc()
                    os._exit(0 if os.path.exists("/proc/1/stat") else 1)
                code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
