"""Rounds of faults around Spark and Jupyter Server. Each draws who is killed, and when; the answer is right all the same.

``--rounds N`` runs more of them; a seed that failed is repeated with ``--seed S --rounds 1``.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest

from jupyter_dodas.cluster import Cluster
from jupyter_dodas.spec import Condition, Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.jupyter import JupyterServer
from tests.place import Place, Process
from tests.spark import UP, Kernel, executors, launch

pytestmark = pytest.mark.timeout(300)

TASKS: Final = 20


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
            _pass(place, 3 * moment)
            victim(place).kill()
            assert kernel.told() == {"total": sum(range(TASKS))}
            _until_whole(cluster)
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
        _pass(place, 3 * moment)
        before = _starts(cluster)
        kernel.kill()
        blocking_until(lambda: executors(place), within=30, meets=lambda found: not found)
        assert cluster.phase() is Phase.READY
        assert _starts(cluster) == before
        again = Kernel.napping(place, 4)
        assert again.told() == {"total": sum(range(4))}
        again.go_on()
        assert again.told() == {"total": sum(range(10))}


def _pass(place: Place, seconds: float) -> None:
    """Let some of the job pass, from the moment on at which both executors work."""
    blocking_until(lambda: executors(place), within=60, meets=lambda found: len(found) == 2)
    _pass_seconds(seconds)


def _pass_seconds(seconds: float) -> None:
    until = time.monotonic() + seconds
    blocking_until(lambda: time.monotonic() >= until, within=10)


# -- Spark Connect ----------------------------------------------------------------------------------------------------

_CONNECTED: Final = """
tell(total=cluster.session().range(1000).selectExpr("sum(id) as total").first().total)
hear()
tell(total=cluster.session().range(1000).selectExpr("sum(id) as total").first().total)
"""


def _kill_the_connect_server(place: Place, moment: float) -> None:
    """Sessions end with their server; the next one finds a new server."""
    with launch(executors=1, connect=True) as cluster:
        kernel = Kernel(place, _CONNECTED)
        assert kernel.told() == {"total": 499_500}
        _pass_seconds(moment)
        _instance("connect")(place).kill()
        _until_whole(cluster)
        kernel.go_on()
        assert kernel.told() == {"total": 499_500}


# -- Jupyter Server ---------------------------------------------------------------------------------------------------


def _kill_jupyter_server(place: Place, moment: float) -> None:
    """What was asked of a server that dies is done, and the next server shows it."""
    first = JupyterServer(place.variables)
    made = first.client.post("clusters", json={"kind": "toy", "name": "higgs", "options": {"workers": 2}}).json()
    _pass_seconds(0.5 * moment)
    first.kill()
    second = JupyterServer(place.variables)
    try:
        ready = second.until_phase("higgs", "ready")
        assert ready["spec"] == made["spec"]
        assert second.client.delete("clusters/higgs").status_code == 202
        second.until_gone("higgs")
    finally:
        second.close()
        first.close()


# -- and after --------------------------------------------------------------------------------------------------------


def _until_whole(cluster: Cluster) -> None:
    """Wait until all that should be there is there, and alive."""

    def whole() -> bool:
        status = cluster.record().status
        return status.phase is Phase.READY and all(i.condition is Condition.READY for i in status.instances.values())

    blocking_until(whole, within=UP)


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
