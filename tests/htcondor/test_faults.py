"""Rounds of faults around a pool. Each draws who is killed, and when; no job is lost, and all results are right.

``--rounds N`` runs more of them; a seed that failed is repeated with ``--seed S --rounds 1``.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.services.htcondor.futures import JobFuture
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place, Process

pytestmark = pytest.mark.timeout(300)

NAME: Final = "higgs"
UP: Final = 150.0
JOBS: Final = 4
NAP: Final = "0.6"

SCRIPT: Final = """#!/bin/sh
echo begun >> "$1/$2"
sleep $3
echo ended >> "$1/$2"
echo $(($2 * $2))
"""
"""Squares a number slowly, and leaves a mark where everybody sees it."""


@dataclass(frozen=True)
class Fault:
    """Whom to kill.

    Parameters
    ----------
    victims
        Finds them, while jobs run.
    disturbs
        Whether jobs may have to begin again.
    """

    victims: Callable[[Place], Sequence[Process]]
    disturbs: bool = True


def test_round(round_seed: int, place: Place, tmp_path: Path) -> None:
    """Targets take turns, so that ten rounds meet all of them; the moment is chance."""
    name, fault = list(FAULTS.items())[round_seed % len(FAULTS)]
    moment = random.Random(round_seed).random()
    try:
        with dodas.launch("htcondor", name=NAME, workers=2, cores=1, memory="256 MiB", timeout=UP) as pool:
            marks = tmp_path / "marks"
            futures = submit(pool, tmp_path, marks)
            strike_at(marks, moment)
            strike(place, fault)
            if name == "keeper":
                start_again(pool)
            results(futures, marks, disturbed=fault.disturbs)
            blocking_until(lambda: place.whole(NAME), within=UP)
            assert pool.submit(sum, [1, 2]).result(timeout=UP) == 3
        blocking_until(place.left, within=20, meets=lambda left: not left)
    except BaseException:
        logging.exception("%s at %.3f\n%s", name, moment, logs(place))
        raise


# -- the work ---------------------------------------------------------------------------------------------------------


def submit(pool: Cluster, folder: Path, marks: Path) -> Sequence[JobFuture]:
    """Submit jobs in HTCondor's words, since only there a short lease can be asked for: a lost worker is noticed sooner."""
    marks.mkdir()
    script = folder / "square.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    description = {
        "executable": str(script),
        "arguments": f"{marks} $(Process) {NAP}",
        "output": f"{folder}/$(Process).out",
        "error": f"{folder}/$(Process).err",
        "request_cpus": "1",
        "request_memory": "32",
        "request_disk": "1024",
        "should_transfer_files": "yes",
        "job_lease_duration": "8",
    }
    futures: Sequence[JobFuture] = pool.submit_description(description, count=JOBS)
    return futures


def strike_at(marks: Path, moment: float) -> None:
    """Wait until some job runs, and then for a part of the time that all of them take."""
    blocking_until(lambda: list(marks.iterdir()), within=UP)
    at = time.monotonic() + moment * JOBS / 2 * float(NAP)
    blocking_until(lambda: time.monotonic() >= at, within=30)


def results(futures: Sequence[JobFuture], marks: Path, *, disturbed: bool) -> None:
    """See that every job has ended, as it should, and none was done twice without need."""
    found = [int(future.result(timeout=UP).stdout) for future in futures]
    assert found == [number**2 for number in range(JOBS)]
    seen = {file.name: Counter(file.read_text().split()) for file in marks.iterdir()}
    assert set(seen) == {str(number) for number in range(JOBS)}
    assert all(counts["ended"] >= 1 for counts in seen.values()), seen
    if not disturbed:
        assert all(counts == {"begun": 1, "ended": 1} for counts in seen.values()), seen


# -- the fault --------------------------------------------------------------------------------------------------------


def strike(place: Place, fault: Fault) -> None:
    """Kill them, and see them dead. Who comes and goes with each job may just have gone: then the next one is hit."""
    victims: Sequence[Process] = ()
    with suppress(AssertionError):  # all jobs are done, and nobody is there any more
        victims = blocking_until(lambda: fault.victims(place), within=5)
    for victim in victims:
        victim.kill()
    blocking_until(lambda: [victim for victim in victims if victim.alive()], within=10, meets=lambda left: not left)


def start_again(pool: Cluster) -> None:
    """Start it again after its keeper has ended, on what it has left."""
    blocking_until(pool.phase, within=UP, meets=lambda phase: phase is Phase.FAILED)
    pool.restart(timeout=UP)


def program(name: str, instance: str = "manager", only: int | None = None) -> Callable[[Place], Sequence[Process]]:
    """Those below an instance that run a program of HTCondor, or so many of them."""

    def find(place: Place) -> Sequence[Process]:
        guard = place.instances(NAME).get(instance)
        found = below(place, guard) if guard is not None else []
        return [process for process in found if runs(process) == name[:15]][:only]

    return find


def below(place: Place, process: Process) -> Sequence[Process]:
    with suppress(OSError):  # it may have ended
        children = place.children(process)
        return [*children, *(grandchild for child in children for grandchild in below(place, child))]
    return []


def runs(process: Process) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/comm").read_text().strip()
    return ""


def instance(name: str) -> Callable[[Place], Sequence[Process]]:
    """An instance with all that is below it."""
    return lambda place: [guard for found, guard in place.instances(NAME).items() if found == name]


FAULTS: Final[Mapping[str, Fault]] = {
    "collector": Fault(program("condor_collector"), disturbs=False),
    "negotiator": Fault(program("condor_negotiator"), disturbs=False),
    "schedd": Fault(program("condor_schedd")),
    "master": Fault(program("condor_master")),
    "shadow": Fault(program("condor_shadow", only=1)),
    "starter": Fault(program("condor_starter", "worker-2")),
    # Together, since HTCondor waits for some time whether a lost worker comes back.
    "startd, and a whole worker": Fault(lambda place: [*program("condor_startd", "worker-1")(place), *instance("worker-2")(place)]),
    "manager": Fault(instance("manager")),
    "keeper": Fault(lambda place: place.keepers()),
    "controller": Fault(lambda place: place.controllers(), disturbs=False),
}


def logs(place: Place) -> str:
    """Return the end of what HTCondor's daemons and the controller have written."""
    files = [*place.state.rglob("*Log"), *Path("/tmp").glob("dodas-*/htcondor-*/log/*Log"), place.state / "controller.log"]
    return "\n".join(f"{file}\n{file.read_text(errors='replace')[-1500:]}" for file in files if file.exists())
