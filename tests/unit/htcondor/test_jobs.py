"""What is made of a queue's own words for a screen: rows, reasons with their jobs, and how much of the workers is in use."""

from typing import Any

import pytest

from jupyter_dodas.errors import BadInput
from jupyter_dodas.services.htcondor.jobs import Jobs
from jupyter_dodas.services.htcondor.rows import holds, job_rows, slots


def job(number: int, **more: Any) -> dict[str, Any]:
    return {"ClusterId": 7, "ProcId": number, "JobStatus": 5, "EnteredCurrentStatus": 1000 + number, "RequestMemory": 1024, **more}


MEMORY = {"HoldReasonCode": 34, "HoldReasonSubCode": 102, "MemoryUsage": 1500, "HoldReason": "memory usage exceeded request_memory"}


def test_jobs_are_told_by_their_reasons_the_most_first() -> None:
    held = [job(0, HoldReasonCode=1, HoldReason="via condor_hold (by user ada)"), *(job(n, **MEMORY) for n in range(1, 4))]
    first, second = holds(held)
    assert (first["jobs"], first["memory"], first["since"]) == (["7.1", "7.2", "7.3"], 3072, 1001)
    assert "1.46 GiB of memory" in first["words"]
    assert (second["jobs"], second["release"]) == (["7.0"], True)
    assert first["key"] == holds(held[1:])[0]["key"], "a reason keeps its key while jobs come and go"


def test_jobs_that_differ_in_numbers_alone_have_one_reason() -> None:
    used = [job(n, **{**MEMORY, "MemoryUsage": 1500 + n}) for n in range(50)]
    missing = "Transfer input files failure. Details: reading from file /spool/"
    lost = [
        job(n, HoldReasonCode=13, HoldReasonSubCode=2, HoldReason=f"{missing}events_{n}.root: (errno 2) No such file")
        for n in range(50, 150)
    ]
    first, second = holds([*used, *lost])
    assert first["words"].endswith("there is no events_50.root, and others like this.")
    assert (len(first["jobs"]), len(second["jobs"])) == (100, 50)
    assert second["memory"] == 3200, "as much as the largest needs"
    assert second["words"].startswith("1.5")


@pytest.mark.parametrize(
    ("largest", "memory", "remedy"),
    [(4096, 3072, "with 3 GiB"), (2048, 2048, "all that a worker has"), (1024, 0, "No worker has more")],
)
def test_no_more_memory_is_proposed_than_a_worker_has(largest: int, memory: int, remedy: str) -> None:
    (told,) = holds([job(0, **MEMORY)], largest)
    assert told["memory"] == memory
    assert remedy in told["remedy"]


def test_a_row_has_what_is_known() -> None:
    (told,) = job_rows([job(3, JobStatus=2, JobBatchName="fit", RemoteHost="slot1_2@worker-1@higgs.1234", RequestCpus=2)])
    assert (told["job"], told["name"], told["status"], told["worker"], told["cores"]) == ("7.3", "fit", "running", "worker-1", 2)
    (bare,) = job_rows([{"ClusterId": 8, "ProcId": 0, "Cmd": "/usr/bin/sleep", "RequestMemory": object()}])
    assert (bare["name"], bare["status"], bare["memory"], bare["worker"]) == ("sleep", "unknown", 0, "")


def test_what_workers_have_is_added_up() -> None:
    one = {"TotalSlotCpus": 4, "Cpus": 1, "TotalSlotMemory": 4096, "Memory": 1024, "NumDynamicSlots": 3}
    other = {"TotalSlotCpus": 4, "Cpus": 4, "TotalSlotMemory": 8192, "Memory": 8192, "TotalSlotGPUs": 1, "GPUs": 0}
    told = slots([one, other])
    assert (told["workers"], told["jobs"], told["largest"]) == (2, 3, 8192)
    assert [(told[f"{name}_used"], told[name]) for name in ("cores", "memory", "gpus")] == [(3, 8), (3072, 12288), (1, 1)]
    assert not any(slots([]).values())


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"jobs": []},
        {"jobs": "1.0"},
        {"jobs": ["1"]},
        {"jobs": ["1.0 || true"]},
        {"jobs": ["٣.0"]},
        {"jobs": ["1.0"] * 10_001},
        {"jobs": ["1.0"], "held": "key"},
        {"held": 3},
        {"jobs": ["1.0"], "memory": "lots"},
        {"jobs": ["1.0"], "memory": True},
        {"jobs": ["1.0"], "memory": -1},
    ],
)
def test_a_request_that_is_not_clear_does_nothing(request_: dict[str, Any]) -> None:
    nobody: Any = None
    with pytest.raises(BadInput):
        Jobs(lambda: (nobody, nobody)).release(request_)
