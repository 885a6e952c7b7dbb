"""What is told to the controller of a pool's slots and jobs."""

from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas.services.htcondor.observation import Shape, is_work, look_at, wanted

NOW = 1000.0
SMALL, LARGE, GPU = Shape(2, 1024, 0), Shape(8, 16384, 0), Shape(4, 8192, 1)


def slot(
    name: str, state: str = "Unclaimed", activity: str = "Idle", kind: str = "Partitionable", heard: float = NOW
) -> dict[str, Any]:
    return {"Name": f"{name}@higgs.0", "State": state, "Activity": activity, "SlotType": kind, "LastHeardFrom": heard}


def jobs(count: int, status: int = 1, cores: object = 1, memory: object = 100, gpus: object = None) -> Mapping[str, Any]:
    return {"JobCount": count, "JobStatus": status, "RequestCpus": cores, "RequestMemory": memory, "RequestGPUs": gpus}


def test_workers_are_told_by_their_slots() -> None:
    seen = look_at(
        [
            slot("slot1@worker-2"),
            slot("slot1_1@worker-2", "Claimed", "Busy", "Dynamic"),
            slot("slot1@worker-1"),
            slot("slot1_1@worker-1", "Claimed", "Idle", "Dynamic"),
            slot("slot1@gone-1", heard=NOW - 30),
        ],
        NOW,
    )
    assert (seen.ready, seen.busy, seen.drained) == (("worker-1", "worker-2"), ("worker-2",), {})


@pytest.mark.parametrize("activity", ["Busy", "Retiring", "Suspended", "Vacating"])
def test_a_job_that_is_not_over_keeps_its_worker_busy(activity: str) -> None:
    assert look_at([slot("slot1_1@worker-1", "Claimed", activity, "Dynamic")], NOW).busy == ("worker-1",)


def test_a_worker_is_drained_once_nothing_is_left_on_it() -> None:
    assert look_at([slot("slot1@worker-1", "Drained", "Retiring")], NOW).drained == {}
    assert look_at([slot("slot1@worker-1", "Drained", "Idle", heard=NOW - 1)], NOW).drained == {"worker-1": NOW - 1}


@pytest.mark.parametrize(
    ("queue", "workers"),
    [
        ([], 0),
        ([jobs(1)], 1),
        ([jobs(2)], 1),
        ([jobs(3)], 2),
        ([jobs(2, memory=600)], 2),
        ([jobs(1), jobs(1, status=2)], 1),
        ([jobs(2, status=2), jobs(1)], 2),
        ([jobs(5, status=5), jobs(5, status=4), jobs(5, status=3)], 0),
        ([jobs(10_000)], 5000),
        ([jobs(3, cores=None, memory=None)], 2),
        ([jobs(3, cores="undefined", memory="ifThenElse(x, 1, 2)")], 2),
    ],
)
def test_workers_are_wanted_for_what_jobs_ask_for(queue: list[Mapping[str, Any]], workers: int) -> None:
    assert wanted(queue, [SMALL]) == workers


def test_the_first_shape_that_fits_is_taken_and_what_fits_nowhere_wants_nobody() -> None:
    assert wanted([jobs(4, cores=4)], [SMALL, LARGE]) == 2
    assert wanted([jobs(1, gpus=1)], [SMALL, GPU]) == 1
    assert wanted([jobs(1, gpus=2), jobs(1, cores=100), jobs(1, memory=10**9)], [SMALL, GPU]) == 0
    assert wanted([jobs(1)], []) == 0


def test_a_shape_is_read_as_the_service_writes_it() -> None:
    assert Shape.read(f"4:{8 * 2**30}:1") == GPU


@pytest.mark.parametrize(("status", "work"), [(1, True), (2, True), (6, True), (7, True), (3, False), (4, False), (5, False)])
def test_who_is_held_or_done_is_no_activity(status: int, work: bool) -> None:
    assert is_work(jobs(1, status=status)) is work
