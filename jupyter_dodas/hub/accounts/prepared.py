"""The prepared process: it has imported what an agent needs, and forks one for each user. An agent starts in milliseconds by that.

It is started by the hub with an environment of its own, holds no secret, and ends with the hub. Each message on its socket is an
`Order` and comes with the agent's end of its connection; the answer is the pid of the agent, or why there is none.
"""

import ctypes
import os
import signal
import socket
from typing import Final

from jupyter_dodas.backends.local import nursery
from jupyter_dodas.hub.accounts import agent
from jupyter_dodas.hub.accounts.messages import LONGEST, Order
from jupyter_dodas.hub.notebooks import MODULES

__all__ = ["main"]

_PR_SET_NAME: Final = 15
_CAPABILITIES_V3: Final = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Nursery:
    def __init__(self, hub: socket.socket) -> None:
        self._hub = hub
        self._agents: set[int] = set()

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the hub
        nursery.prepare(MODULES)  # what every agent and every place imports is shared by all of them
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._hub, LONGEST, 1)
            if not data:
                return
            if not descriptors:
                self._kill(int(data))
                continue
            answer = self._fork(Order.model_validate_json(data), descriptors[0])
            os.close(descriptors[0])
            self._hub.send(answer)

    def _reap(self) -> None:
        try:
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._agents.discard(pid)
        except ChildProcessError:
            pass

    def _kill(self, pid: int) -> None:
        if pid in self._agents:  # else it has ended, and the number may be somebody else's
            os.kill(pid, signal.SIGKILL)

    def _fork(self, order: Order, connection: int) -> bytes:
        told, tell = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # it may end before it is known
        pid = os.fork()
        if pid == 0:
            try:
                self._hub.close()
                os.close(told)
                _become(order)
                for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                os.close(tell)
                agent.serve(socket.socket(fileno=connection))
            except BaseException as error:  # noqa: BLE001 - whatever it is, nothing may go on as root
                os.write(tell, f"{type(error).__name__}: {error}".encode()[:1000])
            finally:
                os._exit(1)
        self._agents.add(pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(tell)
        with os.fdopen(told, "rb") as pipe:
            failed = pipe.read()
        return failed or str(pid).encode()


def _become(order: Order) -> None:
    """Give up being root, for good, and everything that comes with it."""
    os.setsid()
    for group in order.groups:
        with open(group, "w", encoding="ascii") as members:  # noqa: PTH123 - a file of the kernel
            members.write(str(os.getpid()))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    os.setgroups([])
    os.setresgid(order.gid, order.gid, order.gid)
    os.setresuid(order.uid, order.uid, order.uid)
    _drop_capabilities()
    if {*os.getresuid()} != {order.uid} or {*os.getresgid()} != {order.gid} or os.getgroups():
        raise PermissionError("root could not be given up")
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(order.environment)
    _libc.prctl(_PR_SET_NAME, b"dodas-agent", 0, 0, 0)


def _drop_capabilities() -> None:
    """Drop what would come back with a program that has capabilities: a container may have started us with some."""
    header, nothing = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing):
        raise PermissionError(ctypes.get_errno(), "capabilities could not be given up")


def main() -> None:
    """Serve the hub on standard input, which is a socket."""
    _Nursery(socket.socket(fileno=os.dup(0))).run()


if __name__ == "__main__":
    main()
