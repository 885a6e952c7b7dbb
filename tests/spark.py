"""What tests of Spark share: a small cluster's options, kernels that hold sessions, and a look at who computes."""

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from tests.place import Place, Process

__all__ = ["NAPS", "SMALL", "UP", "Kernel", "executors", "launch"]

UP: Final = 120.0
SMALL: Final[Mapping[str, Any]] = {"memory": "512 MiB", "driver_memory": "512 MiB"}

NAPS: Final = """
spark = cluster.session()
marks = os.path.join(os.environ["DODAS_STATE"], "marks")
def nap(number):
    time.sleep(0.2)
    with open(marks, "a") as file:
        file.write("x")
    return number
tell(up=True)
tell(total=spark.sparkContext.parallelize(range(TASKS), TASKS).map(nap).sum())
hear()
tell(total=spark.sparkContext.parallelize(range(10), 10).map(nap).sum())
"""
"""Tells that it has a session; then the sum of many tasks; and, once it may go on, that of a few more."""

_BEGIN: Final = """
import json, os, sys, time
import jupyter_dodas as dodas
from jupyter_dodas.errors import DodasError
def tell(**said): print("TELL " + json.dumps(said), flush=True)
def hear(): return sys.stdin.readline()
cluster = dodas.connect("higgs")
"""


class Kernel:
    """A process of a user, which holds sessions of the cluster ``higgs``; tests talk with it line by line."""

    def __init__(self, place: Place, code: str) -> None:
        self.program: subprocess.Popen[bytes] = place.run(_BEGIN + code)
        self._heard = b""

    @classmethod
    def napping(cls, place: Place, tasks: int) -> "Kernel":
        """One that runs `NAPS`, and has its session."""
        kernel = cls(place, NAPS.replace("TASKS", str(tasks)))
        assert kernel.told() == {"up": True}
        return kernel

    def told(self, within: float = UP) -> dict[str, Any]:
        """What it tells next."""
        assert self.program.stdout is not None
        deadline = time.monotonic() + within
        while b"\n" not in self._heard.partition(b"TELL ")[2]:
            if not select.select([self.program.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"It told nothing within {within:g} s: {self._heard[-5000:].decode()}")
            if not (more := os.read(self.program.stdout.fileno(), 65536)):
                raise AssertionError(f"It ended: {self._heard[-5000:].decode()}")
            self._heard += more
        line, _, self._heard = self._heard.partition(b"TELL ")[2].partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def go_on(self) -> None:
        """Let it read a line."""
        assert self.program.stdin is not None
        self.program.stdin.write(b"\n")
        self.program.stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        self.program.kill()
        self.program.wait()


def launch(name: str = "higgs", **options: Any) -> Cluster:
    """Launch a small cluster. Sessions are in kernels, so no Java is started ahead in this very process."""
    return dodas.launch("spark", name=name, timeout=UP, warm=False, **SMALL, **options)


def executors(place: Place) -> Sequence[Process]:
    """The processes that compute for sessions. What makes the archive of classes meanwhile has one of its own, too."""
    return place.processes(lambda command: "CoarseGrainedExecutorBackend" in command and "-Xlog:class+load" not in command)
