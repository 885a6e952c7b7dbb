"""Jobs of one pool that run in another: between two of a user, and by address and token."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import BadInput, DodasError, NotFound
from jupyter_dodas.services.htcondor import tokens
from jupyter_dodas.testing.waiting import blocking_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("place")]

SMALL: Final[Mapping[str, Any]] = {"cores": 1, "memory": "256 MiB"}
UP: Final = 120.0


def launch(name: str, **options: Any) -> Cluster:
    return dodas.launch("htcondor", name=name, warm=False, timeout=UP, **{**SMALL, **options})


def where() -> str:
    """The pool that a job runs in."""
    import time

    machine = os.environ["_CONDOR_MACHINE_AD"]
    time.sleep(1)
    with open(machine) as file:  # noqa: PTH123 - in the job
        return next(line for line in file if line.startswith("Name =")).split("@")[2].split(".")[0]


def ran(pool: Cluster, jobs: int = 4) -> Sequence[str]:
    """Run some jobs, and return the pools that they ran in."""
    futures = pool.array(where, [()] * jobs)
    return sorted({future.result(timeout=UP) for future in futures})


def test_jobs_run_in_another_pool_from_the_launch_on_until_they_shall_not() -> None:
    """Also after either has been started again: the other is followed to its new address."""
    with launch("second", workers=1) as second, launch("first", workers=0, flock_to=("second",)) as first:
        assert list(first.flocks()) == ["second"]
        assert ran(first, 1) == ["second"]
        second.restart(timeout=UP)
        moved = second.record().status.addresses["schedd"]
        blocking_until(first.flocks, within=30, meets=lambda flocks: flocks == {"second": moved})
        assert ran(first, 1) == ["second"]
        first.restart(timeout=UP)
        assert first.flocks() == {"second": moved}
        first.scale(1)
        blocking_until(lambda: ran(first), within=UP, meets=lambda pools: pools == ["first", "second"])
        first.unflock(second)
        assert first.flocks() == {}
        blocking_until(lambda: ran(first), within=UP, meets=lambda pools: pools == ["first"])
        # The other way round there was never anything to flock with.
        assert second.flocks() == {}
        assert ran(second, 1) == ["second"]


def test_a_token_opens_a_pool_to_the_queue_of_another_and_to_nothing_else() -> None:
    with launch("second", workers=1) as second, launch("first", workers=0) as first:
        address = second.record().status.addresses["schedd"]
        own = (second.connection().secrets / tokens.WORKER_TOKEN).read_text()
        for unfit in (own, own.rpartition(".")[0], ""):
            with pytest.raises(BadInput):
                first.flock_to(address, token=unfit)
        job = first.submit(where)
        first.flock_to(
            address, token=tokens.mint(tokens.new_key(), "second", "flock-first@second", ("ADVERTISE_SCHEDD",)), name="bad"
        )
        time.sleep(6)  # three rounds of negotiation
        assert not job.done()
        first.flock_to(address, token=second.flock_token("first", days=1), name="good")
        assert job.result(timeout=UP) == "second"
        assert list(first.flocks()) == ["bad", "good"]
        with pytest.raises(BadInput, match="better"):
            first.unflock("better")


BAD: Final[Mapping[str, tuple[Callable[[Cluster], object], type[DodasError]]]] = {
    "one that is not there": (lambda pool: pool.flock("nobody"), NotFound),
    "itself by its name": (lambda pool: pool.flock("first"), BadInput),
    "itself": (lambda pool: pool.flock(pool), BadInput),
    "nonsense": (lambda pool: pool.flock(7), BadInput),
    "another kind": (lambda pool: pool.flock("drones"), BadInput),
    "no address": (lambda pool: pool.flock_to("nowhere", token="a.b.c"), BadInput),
    "no name": (lambda pool: pool.flock_token("A Pool"), BadInput),
    "a time that has passed": (lambda pool: pool.flock_token("guest", days=-1), BadInput),
    "at launch": (lambda _: launch("third", workers=0, flock_to=("nobody",)), NotFound),
}


def test_what_cannot_be_flocked_to_is_told() -> None:
    with launch("first", workers=0) as pool, dodas.launch("toy", name="drones", workers=0):
        for case, (flock, error) in BAD.items():
            with pytest.raises(error) as raised:
                flock(pool)
            assert raised.value.remedy or raised.value.cause, case
        assert pool.flocks() == {}
        assert [cluster.name for cluster in dodas.list()] == ["drones", "first"]
