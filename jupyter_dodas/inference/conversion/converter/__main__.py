"""The process that waits with TensorFlow imported, and forks another one for each job.

Only the thread that forks goes on in a fork, so that the new process has one, which is what Landlock wants; importing starts
no pools that would be missed. What a job says comes through a pipe of its own and is passed on line by line; that it has ended is
said here, by who knows.
"""

import ctypes
import os
import queue
import signal
import threading
from contextlib import suppress
from typing import Final

import msgspec

from jupyter_dodas.inference.conversion.converter.messages import Cancel, Ended, Job, Message, Order, Ready, Said

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1
_LONGEST: Final = 1 << 20


class Waiting:
    """The jobs that came, and the one that runs."""

    def __init__(self, orders: int, out: int) -> None:
        self._orders, self._out = orders, out
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: tuple[int, int] | None = None
        self._cancelled: set[int] = set()

    def read(self) -> None:
        """Take orders until the server is gone, then end with all that runs."""
        with os.fdopen(self._orders, "rb") as lines:
            for line in lines:
                order: Job | Cancel = msgspec.json.decode(line, type=Order)
                if isinstance(order, Job):
                    self._jobs.put(order)
                else:
                    self._cancel(order)
        with self._lock:
            if self._running:
                os.kill(self._running[1], signal.SIGKILL)
            os._exit(0)

    def work(self) -> None:
        """Do one job after the other."""
        self._say(Ready())
        parent = os.getpid()
        while True:
            job = self._jobs.get()
            told, tell = os.pipe()
            with self._lock:
                if job.number in self._cancelled:
                    pid = 0
                elif (pid := os.fork()) == 0:
                    _do(job, tell, parent)
                else:
                    self._running = (job.number, pid)
            os.close(tell)
            status = self._follow(pid, told) if pid else int(signal.SIGKILL)
            self._say(Ended(job.number, status))

    def _follow(self, pid: int, told: int) -> int:
        with os.fdopen(told, "rb") as lines:
            while line := lines.readline(_LONGEST):
                with suppress(msgspec.DecodeError):  # it may say that it has ended, or nonsense: that is not passed on
                    self._say(msgspec.json.decode(line, type=Said))
        # It is collected with the lock held, so that nobody else is killed in its place.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            self._running = None
            return os.waitpid(pid, 0)[1]

    def _cancel(self, order: Cancel) -> None:
        with self._lock:
            self._cancelled.add(order.number)
            if self._running and self._running[0] == order.number:
                os.kill(self._running[1], signal.SIGKILL)

    def _say(self, message: Message) -> None:
        os.write(self._out, msgspec.json.encode(message) + b"\n")


def _do(job: Job, tell: int, parent: int) -> None:
    """Be the process of a job. Does not return."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        os.dup2(tell, 3)
        os.closerange(4, 1 << 16)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        from jupyter_dodas.inference.conversion.converter import job as work

        work.run(job, 3)
    finally:
        os._exit(0)


def main() -> None:
    """Import what jobs need, and wait for them."""
    orders, out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    waiting = Waiting(orders, out)
    threading.Thread(target=waiting.read, daemon=True).start()
    os.nice(5)  # predictions go first, but somebody waits for this too
    from jupyter_dodas.inference.conversion.converter import job  # noqa: F401 - it brings TensorFlow, while nobody waits

    waiting.work()


if __name__ == "__main__":
    main()
