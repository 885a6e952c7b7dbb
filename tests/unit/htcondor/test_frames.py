"""The queue and its history as frames."""

import time

import pandas as pd  # type: ignore[import-untyped]

from jupyter_dodas.services.htcondor import frames

HELD = {
    "ClusterId": 2,
    "ProcId": 1,
    "JobBatchName": "fit",
    "JobStatus": 5,
    "QDate": 1_700_000_000,
    "RequestCpus": 2,
    "RequestMemory": 512,
    "HoldReasonCode": 1,
    "HoldReason": "via condor_hold (by user x)",
}
RUNS = {
    "ClusterId": 2,
    "ProcId": 2,
    "JobStatus": 2,
    "QDate": 1_700_000_000,
    "RequestMemory": "/Expr(x)/",
    "JobCurrentStartDate": 1_700_000_060,
    "RemoteHost": "slot1_1@worker-2@higgs.0123",
}


def test_a_row_for_each_job() -> None:
    frame = frames.queue([HELD, RUNS])
    assert list(frame.index) == ["2.1", "2.2"]
    assert list(frame.state) == ["held", "running"]
    assert "by hand" in frame.reason["2.1"]
    assert frame.worker["2.2"] == "worker-2"
    assert frame.started["2.2"] - frame.submitted["2.2"] == pd.Timedelta(minutes=1)
    assert pd.isna(frame.started["2.1"])
    assert frame.memory["2.1"] == 512
    assert pd.isna(frame.memory["2.2"])


def test_a_job_whose_files_are_on_their_way_is_not_held() -> None:
    frame = frames.queue([HELD | {"HoldReasonCode": 16}])
    assert (frame.state["2.1"], frame.reason["2.1"]) == ("on its way", "")


def test_nothing_is_a_frame_too() -> None:
    for frame in (frames.queue([]), frames.history([])):
        assert len(frame) == 0
        assert "state" in frame.columns


def test_history_tells_how_a_job_ended() -> None:
    gone = {"ClusterId": 3, "ProcId": 0, "JobStatus": 3, "EnteredCurrentStatus": 1_700_000_100, "CompletionDate": 0}
    ended = gone | {"ProcId": 1, "JobStatus": 4, "ExitCode": 3, "CompletionDate": 1_700_000_200, "RemoteWallClockTime": 10.0}
    frame = frames.history([gone | {"RemoveReason": "by hand"}, ended])
    assert list(frame.state) == ["removed", "completed"]
    assert frame.code["3.1"] == 3
    assert frame.ended["3.1"] - frame.ended["3.0"] == pd.Timedelta(seconds=100)
    assert frame.wall["3.1"] == 10
    assert frame.reason["3.0"] == "by hand"


def test_ten_thousand_jobs_take_no_time() -> None:
    ads = [HELD | {"ProcId": number} for number in range(10_000)]
    began = time.process_time()
    frames.queue(ads)
    assert time.process_time() - began < 2
