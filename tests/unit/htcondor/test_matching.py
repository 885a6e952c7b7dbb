"""Why a job waits, in words; and what is told before it is submitted."""

from typing import Any

import pytest

from jupyter_dodas.errors import BadInput
from jupyter_dodas.options import GroupOptions
from jupyter_dodas.services.htcondor.matching import check, room, share, why
from jupyter_dodas.services.htcondor.submitting import Needs

GIB = 2**30
SMALL = GroupOptions(workers=3, cores=2, memory=GIB)
LARGE = GroupOptions(workers=0, adapt={"minimum": 0, "maximum": 2}, cores=8, memory=16 * GIB, gpus=1)
GROUPS = {"worker": SMALL, "large": LARGE}

JOB = {"ClusterId": 12, "ProcId": 0, "JobStatus": 1, "RequestCpus": 1, "RequestMemory": 512, "QDate": 1000}
SLOT = {"Cpus": 2, "Memory": 1024, "TotalSlotCpus": 2, "TotalSlotMemory": 1024}


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(cpus=9), "9 cores"),
        (Needs(memory=17 * GIB), "17 GiB of memory"),
        (Needs(gpus=2), "2 GPUs"),
    ],
    ids=str,
)
def test_what_no_worker_ever_has_is_told(needs: Needs, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check(needs, GROUPS)


def test_it_has_to_be_one_worker_that_has_it_all() -> None:
    both = {"worker": GroupOptions(cores=4, memory=GIB), "large": GroupOptions(cores=1, memory=8 * GIB)}
    check(Needs(cpus=4), both)
    with pytest.raises(BadInput, match="all of this at once"):
        check(Needs(cpus=4, memory=4 * GIB), both)


def test_room_is_what_all_workers_can_take() -> None:
    assert room(Needs(), {"worker": SMALL}) == 6
    assert room(Needs(cpus=2), {"worker": SMALL}) == 3
    assert room(Needs(memory=GIB), {"worker": SMALL}) == 3
    assert room(Needs(gpus=1), GROUPS) == 2
    assert share(GROUPS) == GIB // 2


@pytest.mark.parametrize(
    ("job", "slots", "clauses", "words"),
    [
        ({}, [], [], "no workers yet"),
        ({"RequestCpus": 4}, [SLOT], [], "asks for 4 cores, and the largest worker has 2"),
        ({"RequestMemory": 4096}, [SLOT], [], "asks for 4096 MiB of memory"),
        ({"RequestGPUs": 1}, [SLOT], [], "asks for 1 GPUs"),
        ({}, [SLOT], [('TARGET.Arch == "X"', 1), ('TARGET.Flavour == "sweet"', 0)], "requires TARGET.Flavour"),
        ({}, [SLOT | {"Cpus": 0}, SLOT | {"Cpus": 0}], [], "busy: 4 of 4 cores"),
        ({}, [SLOT | {"Cpus": 1, "Memory": 128}], [], "enough MiB of memory left"),
        ({}, [SLOT], [("TARGET.Cpus >= RequestCpus", 1)], "it starts within seconds"),
        ({"RequestMemory": "/Expr(ifthenelse(x, 1, 2))/"}, [SLOT], [], "it starts within seconds"),
        ({"JobStatus": 2, "RemoteHost": "slot1_1@worker-1@higgs.0123"}, [], [], "runs on worker-1."),
        ({"JobStatus": 5, "HoldReasonCode": 1, "HoldReason": "mine (by user x)"}, [], [], "mine"),
        ({"JobStatus": 5, "HoldReasonCode": 16}, [], [], "being sent"),
        ({"JobStatus": 4, "ExitCode": 3}, [], [], "exit code 3"),
        ({"JobStatus": 3, "RemoveReason": "by hand"}, [], [], "by hand"),
    ],
)
def test_why_a_job_does_not_run(job: dict[str, Any], slots: list[Any], clauses: list[Any], words: str) -> None:
    said = why(JOB | job, slots, clauses, now=1001)
    assert words in str(said)
    assert repr(said).startswith("Job 12.0 is ")
