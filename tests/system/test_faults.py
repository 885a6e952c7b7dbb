"""Rounds of faults. Each draws what is killed, in which phase and at which moment, and sees that nobody's work suffers.

``--rounds N`` runs more of them; a seed that failed is repeated with ``--seed S --rounds 1``.
"""

import json
import logging
import random
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import ClusterFailed, LaunchFailed, NotFound
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place, Process

TARGETS: Final = ("worker", "core", "controller", "keeper", "kernel")
PHASES: Final = ("starting", "ready", "working", "scaling", "stopping")

NAME: Final = "higgs"
UP: Final = 60.0
ENDS: Final = 5.0
"""Seconds within which everything ends with its keeper."""

KERNEL: Final = """
import json, sys
import jupyter_dodas as dodas
cluster = dodas.launch(**json.loads(sys.argv[1]))
print("up", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Round:
    """What a seed means."""

    kind: str
    target: str
    phase: str
    moment: float
    """Between 0 and 1, from the beginning of the phase to its likely end."""
    guard: bool
    """Whether the guard of an instance is hit, not the instance itself."""
    namespaces: bool
    workers: int
    options: Mapping[str, Any]

    @classmethod
    def draw(cls, seed: int) -> "Round":
        """Targets and kinds take turns, so that ten rounds meet all of them; the rest is chance."""
        chance = random.Random(seed)
        kind = "dask" if seed % 10 >= 7 else "toy"
        odd = {"child": chance.random() < 0.5, "ignore_term": chance.random() < 0.5}
        return cls(
            kind=kind,
            target=TARGETS[seed % len(TARGETS)],
            phase=chance.choice(PHASES),
            moment=chance.random(),
            guard=chance.random() < 0.3,
            namespaces=chance.random() < 0.5,
            workers=chance.choice((1, 3)),
            options=odd if kind == "toy" else {},
        )


class ToyWork:
    """Twelve naps."""

    def __init__(self, cluster: Cluster) -> None:
        self._client = cluster.client()
        self._client.submit(0.1, times=12)

    def finish(self) -> None:
        with self._client as client:
            assert [client.result() for _ in range(12)] == [0.1] * 12

    def abandon(self) -> None:
        self._client.__exit__()


class DaskWork:
    """Twelve squares, slowly."""

    def __init__(self, cluster: Cluster) -> None:
        self._client = cluster.client()

        def slow_square(number: int) -> int:
            time.sleep(0.1)
            return number**2

        self._squares = self._client.map(slow_square, range(12), pure=False)

    def finish(self) -> None:
        with self._client as client:
            assert client.gather(self._squares) == [number**2 for number in range(12)]

    def abandon(self) -> None:
        self._client.close()


WORK: Final[Mapping[str, Callable[[Cluster], "ToyWork | DaskWork"]]] = {"toy": ToyWork, "dask": DaskWork}
CORE: Final = {"toy": "hub", "dask": "scheduler"}


@pytest.mark.timeout(180)
def test_round(round_seed: int, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Round.draw(round_seed)
    monkeypatch.setenv("DODAS_NAMESPACES", str(drawn.namespaces).lower())
    kernel = place.run(KERNEL, json.dumps({"kind": drawn.kind, "name": NAME, "workers": 2, **drawn.options}))
    scene = Scene(place, drawn, kernel)
    try:
        scene.reach()
        scene.strike()
        scene.settle()
        blocking_until(place.left, within=10, meets=lambda left: not left)
    except BaseException:
        logging.exception("%s\n%s\n%s", drawn, place.record(NAME), (place.state / "controller.log").read_text()[-5000:])
        raise
    finally:
        scene.close()


class Scene:
    """One cluster, brought to a phase, struck, and seen to come right."""

    def __init__(self, place: Place, drawn: Round, kernel: "subprocess.Popen[bytes]") -> None:
        self.place, self.drawn, self.kernel = place, drawn, kernel
        self.work: ToyWork | DaskWork | None = None
        self.stopping: threading.Thread | None = None

    def close(self) -> None:
        if self.stopping is not None:
            self.stopping.join()

    # -- reaching a phase ---------------------------------------------------------------------------------------------

    def reach(self) -> None:
        """Come to the phase, and to the moment in it."""
        lasts = {"starting": 1.5 if self.drawn.kind == "dask" else 0.4, "working": 0.7, "scaling": 0.5}
        if self.drawn.phase == "starting":
            blocking_until(lambda: self.place.record(NAME), within=UP)
        else:
            said = self.said()
            assert said == "up", said
        match self.drawn.phase:
            case "working":
                self.work = WORK[self.drawn.kind](dodas.connect(NAME))
            case "scaling":
                dodas.connect(NAME).scale(self.drawn.workers)
            case "stopping":
                self.stopping = threading.Thread(target=dodas.connect(NAME).stop, name="stop")
                self.stopping.start()
        at = time.monotonic() + lasts.get(self.drawn.phase, 0.3) * self.drawn.moment
        blocking_until(lambda: time.monotonic() >= at, within=5)

    def said(self) -> str:
        """Wait until the kernel has launched; return its word, or why it could not."""
        assert self.kernel.stdout is not None
        line = self.kernel.stdout.readline()
        return "up" if line == b"up\n" else (line + self.kernel.stdout.read()).decode()

    # -- the fault ----------------------------------------------------------------------------------------------------

    def strike(self) -> None:
        """Kill what was drawn, and see it dead. Of a cluster that stops it may not be there any more."""
        if self.drawn.target == "kernel":
            self.kernel.kill()
            self.kernel.wait()
            return
        here = self.place.processes()
        if (victim := self.victim()) is not None:
            victim.kill()
            blocking_until(victim.alive, within=ENDS, meets=lambda alive: not alive)
            if self.drawn.target == "keeper":
                # Everything that ran for it ends with it, whoever else comes to life meanwhile.
                blocking_until(lambda: [one for one in here if one.alive()], within=ENDS, meets=lambda left: not left)

    def victim(self) -> Process | None:
        """Find whom to kill."""
        find = {"controller": self.place.controllers, "keeper": self.place.keepers}.get(self.drawn.target, self.instances)
        if self.drawn.phase == "stopping":
            return next(iter(find()), None)
        return blocking_until(find, within=UP)[0]

    def instances(self) -> Sequence[Process]:
        """Find the core or the workers, or their guards."""
        try:
            guards = self.place.instances(NAME)
        except OSError:
            return []  # the keeper has ended, or is about to
        of = [guard for name, guard in guards.items() if (name == CORE[self.drawn.kind]) == (self.drawn.target == "core")]
        return of if self.drawn.guard else [child for guard in of for child in self.place.children(guard)]

    # -- and after ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """See that all comes right, use the cluster, and stop it."""
        drawn = self.drawn
        if drawn.phase == "stopping":
            blocking_until(lambda: self.place.record(NAME), within=UP, meets=lambda record: record is None)
            return
        said = self.said() if drawn.phase == "starting" and drawn.target != "kernel" else "up"
        assert said == "up" or drawn.target == "keeper", said
        cluster = dodas.connect(NAME)
        if drawn.target == "keeper" and cluster.phase() is not Phase.READY:
            assert cluster.phase() is Phase.FAILED
            with pytest.raises((ClusterFailed, LaunchFailed)) as raised:
                cluster.wait(timeout=UP)
            assert "restart" in raised.value.remedy
            cluster.restart(timeout=UP)
        blocking_until(self.whole, within=UP)
        if self.work is not None:
            self.work.abandon() if drawn.target in ("core", "keeper") else self.work.finish()
        WORK[drawn.kind](cluster).finish()
        cluster.stop()
        with pytest.raises(NotFound):
            dodas.connect(NAME)

    def whole(self) -> bool:
        """Whether the cluster is ready with all its workers, and all of them are alive."""
        record = self.place.record(NAME)
        workers = self.drawn.workers if self.drawn.phase == "scaling" else 2
        return record is not None and len(record.status.instances) == 1 + workers and self.place.whole(NAME)
