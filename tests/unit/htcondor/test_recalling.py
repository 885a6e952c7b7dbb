"""How results are read by who has not submitted the job: from what its ad says, whoever wrote that, and wherever it was."""

import pickle
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

import pytest

from jupyter_dodas.errors import JobFailed, JobRemoved
from jupyter_dodas.services.htcondor import collecting
from jupyter_dodas.services.htcondor.futures import JobResult
from jupyter_dodas.services.htcondor.recalling import Sort, is_ours, noted, raw, reader, recalled
from jupyter_dodas.services.htcondor.submitting import RESULT

REMAPS = "_condor_stdout=/data/out.0;x=y"


@pytest.mark.parametrize(
    "ad",
    [
        {"Iwd": "/here", "Out": "/data/out.0", "Err": "err"},
        {"Iwd": "/spool/1", "SUBMIT_Iwd": "/here", "Out": "_condor_stdout", "Err": "err", "SUBMIT_TransferOutputRemaps": REMAPS},
        {"Iwd": "/here", "Out": "_condor_stdout", "Err": "err", "TransferOutputRemaps": REMAPS},
    ],
    ids=["where it is", "spooled", "on its way"],
)
def test_output_is_where_its_description_says(ad: dict[str, Any]) -> None:
    work = raw(ad)
    assert work.folder / work.stdout == Path("/data/out.0")
    assert work.folder / work.stderr == Path("/here/err")
    assert work.lasting, "it is the user's folder"


def ad_of(folder: Path, sort: Sort, outputs: dict[str, Path | None], deadline: float | None = None) -> dict[str, Any]:
    """What the queue has of a job."""
    ((name, value),) = noted(sort, outputs, deadline).items()
    assert value.startswith('"')
    assert not set('"$\\\n') & set(value[1:-1]), "a description would read more in it"
    said = value.strip('"')
    return {"ClusterId": 1, "ProcId": 0, "Iwd": str(folder), "ExitCode": 0, name.removeprefix("MY."): said}


def nowhere() -> NoReturn:
    raise AssertionError("it is here")


def test_what_was_noted_is_found_again(tmp_path: Path) -> None:
    outputs = {"a b": None, "é": tmp_path / '$(x) "quoted" \\ é'}
    work = recalled(ad_of(tmp_path, Sort.PROGRAM, outputs, 2.5), nowhere)
    assert (work.folder, work.outputs, work.deadline, work.lasting) == (tmp_path, outputs, 2.5, True)
    assert recalled(ad_of(tmp_path, Sort.CALL, {}), nowhere).lasting is False


def test_each_sort_gives_what_its_first_future_would(tmp_path: Path) -> None:
    outcomes = [("value", pickle.dumps(1), ""), ("raised", pickle.dumps(ValueError("unlucky")), "ValueError: unlucky")]
    (tmp_path / RESULT).write_bytes(pickle.dumps(outcomes))
    left = JobResult("1.0", 1)
    assert recalled(ad_of(tmp_path, Sort.CALL, {}), nowhere).read(left) == 1
    values = recalled(ad_of(tmp_path, Sort.CALLS, {}), nowhere).read(left)
    assert values[0] == 1
    with pytest.raises(ValueError, match="unlucky"):
        values[1]
    with pytest.raises(JobFailed, match="exit code 1"):
        recalled(ad_of(tmp_path, Sort.PROGRAM, {}), nowhere).read(left)


@pytest.mark.parametrize(
    "said", ["", "%", "[]", "%7B%7D", '{"sort": "dance"}', '{"sort": "call", "outputs": {"/etc/passwd": null}}']
)
def test_what_nobody_here_has_noted_is_a_description_of_its_users_own(tmp_path: Path, said: str) -> None:
    ad = {**ad_of(tmp_path, Sort.CALL, {}), "Out": "out", "Err": "err", "DodasWork": said}
    assert recalled(ad, nowhere).stdout == "out", unquote(said)


@pytest.mark.parametrize(("session", "ours"), [("0123456789abcdef", True), ('x" || true', False), (5, False), (None, False)])
def test_whose_jobs_are_ours(session: object, ours: bool) -> None:
    assert is_ours({"DodasSession": session}) is ours


def test_results_from_another_machine_come_to_a_folder_here(tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    away = {"SUBMIT_Iwd": "/nowhere/jobs-1/2", "Iwd": "/spool/1"}
    work = recalled({**ad_of(tmp_path, Sort.CALL, {}), **away}, lambda: spare)
    assert (work.folder, work.moved) == (spare, {"SUBMIT_Iwd": f'"{spare}"'})
    own = {"ClusterId": 1, "ProcId": 0, **away, "Out": "_condor_stdout", "Err": "err", "SUBMIT_TransferOutputRemaps": REMAPS}
    work = recalled(own, lambda: spare)
    assert (work.folder / work.stdout, work.folder / work.stderr) == (spare / "out.0", spare / "err")
    assert work.moved["SUBMIT_TransferOutputRemaps"] == '"_condor_stdout=out.0;_condor_stderr=err"'


def test_what_is_gone_is_no_failure_of_the_job(tmp_path: Path) -> None:
    ad = ad_of(tmp_path / "gone", Sort.PROGRAM, {})
    with pytest.raises(JobRemoved, match="no longer there"):
        collecting.left(recalled(ad, lambda: tmp_path / "spare"), ad)
    with pytest.raises(JobFailed, match="has left no result"):
        reader(Sort.CALL, tmp_path, outputs=False)(JobResult("1.0", 0))
