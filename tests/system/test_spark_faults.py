"""Rounds of faults around Spark and Jupyter Server. Each draws who is killed, and when; the answer is right all the same.

``--rounds N`` runs more of them; a seed that failed is repeated with ``--seed S --rounds 1``.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Final

import pytest

from jupyter_dodas.cluster import Cluster
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer
from tests.place import Place, Process
from tests.spark import UP, Kernel, executors, launch

pytestmark = pytest.mark.timeout(300)

TASKS: Final = 24


def test_round(round_seed: int, place: Place) -> None:
    """Targets take turns, so that ten rounds meet all of them; the moment is chance."""
    strike = ROUNDS[round_seed % len(ROUNDS)]
    strike(place, random.Random(round_seed).random())
    blocking_until(place.left, within=20, meets=lambda left: not left)
    assert len((place.state / "accounting.jsonl").read_text().splitlines()) == 1


# -- in the middle of a job -------------------------------------------------------------------------------------------


def _in_a_job(victim: Callable[[Place], Process]) -> Callable[[Place, float], None]:
    """Kill somebody while a job runs; the job ends well, and so does the next one."""

    def strike(place: Place, moment: float) -> None:
        with launch(executors=2) as cluster:
            kernel = Kernel.napping(place, TASKS)
            _until_done(place, 1 + int(12 * moment))
            _kill(victim(place))
            assert kernel.told() == {"total": sum(range(TASKS))}
            blocking_until(lambda: place.whole(cluster.name), within=UP)
            kernel.go_on()
            assert kernel.told() == {"total": sum(range(10))}

    return strike


def _instance(name: str) -> Callable[[Place], Process]:
    """The process of an instance, below its guard."""
    return lambda place: place.children(place.instances("higgs")[name])[0]


def _guard(name: str) -> Callable[[Place], Process]:
    return lambda place: place.instances("higgs")[name]


def _an_executor(place: Place) -> Process:
    return executors(place)[0]


def _kill_the_driver(place: Place, moment: float) -> None:
    """A driver that disappears takes its executors along, and leaves the cluster as it was."""
    with launch(executors=2) as cluster:
        kernel = Kernel.napping(place, 600)
        _until_done(place, 1 + int(12 * moment))
        before = _starts(cluster)
        kernel.kill()
        blocking_until(lambda: executors(place), within=30, meets=lambda found: not found)
        assert cluster.phase() is Phase.READY
        assert _starts(cluster) == before
        again = Kernel.napping(place, 4)
        assert again.told() == {"total": sum(range(4))}
        again.go_on()
        assert again.told() == {"total": sum(range(10))}


def _until_done(place: Place, tasks: int) -> None:
    """Wait until so many tasks of the job are done."""
    marks = place.state / "marks"
    blocking_until(lambda: marks.exists() and marks.stat().st_size >= tasks, within=60)


def _kill(victim: Process) -> None:
    victim.kill()
    blocking_until(victim.alive, within=10, meets=lambda alive: not alive)


# -- Spark Connect ----------------------------------------------------------------------------------------------------

_CONNECTED: Final = """
def total(): return cluster.session().range(1000).selectExpr("sum(id) as total").first().total
tell(total=total())
try:
    cluster.session().range(10**13).selectExpr("sum(id % 7)").first()
except Exception as error:
    tell(lost=True)
hear()
tell(total=total())
"""


def _kill_the_connect_server(place: Place, moment: float) -> None:
    """A job of a session is lost with its server, and is told so; the next session finds a new server."""
    with launch(executors=1, connect=True) as cluster:
        kernel = Kernel(place, _CONNECTED)
        assert kernel.told() == {"total": 499_500}
        _pass(moment)
        _kill(_instance("connect")(place))
        assert kernel.told() == {"lost": True}
        blocking_until(lambda: place.whole(cluster.name), within=UP)
        kernel.go_on()
        assert kernel.told() == {"total": 499_500}


def _pass(seconds: float) -> None:
    until = time.monotonic() + seconds
    blocking_until(lambda: time.monotonic() >= until, within=10)


# -- Jupyter Server ---------------------------------------------------------------------------------------------------


def _kill_jupyter_server(place: Place, moment: float) -> None:
    """What was asked of a server that dies is done, and the next server shows it."""
    with closing(JupyterServer(place.variables)) as first:
        made = first.client.post("clusters", json={"kind": "toy", "name": "higgs", "options": {"workers": 2}}).json()
        _pass(0.5 * moment)
        first.kill()
        with closing(JupyterServer(place.variables)) as second:
            ready = second.until_phase("higgs", "ready")
            assert ready["spec"] == made["spec"]
            assert second.client.patch("clusters/higgs", json={"workers": 1}).status_code == 200
            second.kill()
        with closing(JupyterServer(place.variables)) as third:
            blocking_until(
                lambda: third.cluster("higgs")["status"]["targets"], within=30, meets=lambda found: found == {"worker": 1}
            )
            assert third.client.delete("clusters/higgs").status_code == 202
            third.until_gone("higgs")


# -- and after --------------------------------------------------------------------------------------------------------


def _starts(cluster: Cluster) -> Mapping[str, float | None]:
    return {name: instance.started for name, instance in cluster.record().status.instances.items()}


ROUNDS: Final[Sequence[Callable[[Place, float], None]]] = (
    _in_a_job(_instance("worker-1")),
    _in_a_job(_instance("master")),
    _in_a_job(_an_executor),
    _kill_the_connect_server,
    _kill_jupyter_server,
    _kill_the_driver,
    _in_a_job(_guard("worker-2")),
    _kill_jupyter_server,
    _in_a_job(_guard("master")),
    _in_a_job(_an_executor),
)
