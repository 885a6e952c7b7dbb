"""The queue and its history as frames, with columns that a reader understands."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas.services.htcondor import reasons
from jupyter_dodas.services.htcondor.states import State

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["HISTORY", "QUEUE", "history", "queue"]

QUEUE: Final = (
    *("ClusterId", "ProcId", "JobBatchName", "JobStatus", "QDate", "RequestCpus", "RequestMemory", "RequestGPUs"),
    *("JobCurrentStartDate", "RemoteHost", "HoldReason", "HoldReasonCode", "HoldReasonSubCode"),
)
"""What must be known of each job in the queue, and no more: of ten thousand jobs every attribute takes time."""

HISTORY: Final = (
    *("ClusterId", "ProcId", "JobBatchName", "JobStatus", "QDate", "RequestCpus", "RequestMemory", "RequestGPUs"),
    *("JobStartDate", "CompletionDate", "EnteredCurrentStatus", "LastRemoteHost", "RemoteWallClockTime", "RemoteUserCpu"),
    *("MemoryUsage", "NumJobStarts", "ExitCode", "ExitBySignal", "ExitSignal", "RemoveReason"),
)


def queue(ads: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return one row for each job: its name is the index, memory is in MiB."""
    import pandas as pd

    rows = {
        "name": _column(ads, "JobBatchName"),
        "state": pd.Categorical([State.of(ad["JobStatus"], ad.get("HoldReasonCode")).value for ad in ads]),
        "submitted": _times(ads, "QDate"),
        "started": _times(ads, "JobCurrentStartDate"),
        "cpus": _numbers(ads, "RequestCpus"),
        "memory": _numbers(ads, "RequestMemory"),
        "gpus": _numbers(ads, "RequestGPUs"),
        "worker": [_worker(ad.get("RemoteHost")) for ad in ads],
        "reason": [_reason(ad) for ad in ads],
    }
    return pd.DataFrame(rows, index=_names(ads))


def history(ads: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return one row for each job that has left the queue, the latest first: memory is in MiB, times are in seconds."""
    import pandas as pd

    rows = {
        "name": _column(ads, "JobBatchName"),
        "state": pd.Categorical([State.of(ad["JobStatus"]).value for ad in ads]),
        "code": _numbers(ads, "ExitCode"),
        "signal": _numbers(ads, "ExitSignal"),
        "submitted": _times(ads, "QDate"),
        "started": _times(ads, "JobStartDate"),
        "ended": _times([{"t": ad.get("CompletionDate") or ad.get("EnteredCurrentStatus")} for ad in ads], "t"),
        "wall": _numbers(ads, "RemoteWallClockTime"),
        "cpu": _numbers(ads, "RemoteUserCpu"),
        "cpus": _numbers(ads, "RequestCpus"),
        "memory": _numbers(ads, "RequestMemory"),
        "used": _numbers(ads, "MemoryUsage"),
        "gpus": _numbers(ads, "RequestGPUs"),
        "starts": _numbers(ads, "NumJobStarts"),
        "worker": [_worker(ad.get("LastRemoteHost")) for ad in ads],
        "reason": _column(ads, "RemoveReason"),
    }
    return pd.DataFrame(rows, index=_names(ads))


def _names(ads: Sequence[Mapping[str, Any]]) -> "pd.Index[str]":
    import pandas as pd

    return pd.Index([f"{ad['ClusterId']}.{ad['ProcId']}" for ad in ads], name="job", dtype="object")


def _column(ads: Sequence[Mapping[str, Any]], attribute: str) -> list[str]:
    return [str(ad.get(attribute) or "") for ad in ads]


def _numbers(ads: Sequence[Mapping[str, Any]], attribute: str) -> "pd.Series[Any]":
    import pandas as pd

    found = [value if isinstance(value := ad.get(attribute), int | float) else None for ad in ads]
    whole = all(value is None or isinstance(value, int) for value in found)
    # An index of its own would be matched with that of the frame.
    return pd.array(found, dtype="Int64" if whole else "Float64")


def _times(ads: Sequence[Mapping[str, Any]], attribute: str) -> "pd.DatetimeIndex":
    import pandas as pd

    return pd.to_datetime(pd.array([ad.get(attribute) or None for ad in ads], dtype="Int64"), unit="s", utc=True)


def _worker(slot: object) -> str:
    parts = str(slot or "").split("@")
    return parts[1] if len(parts) > 2 else parts[0]


def _reason(ad: Mapping[str, Any]) -> str:
    code = ad.get("HoldReasonCode")
    if ad["JobStatus"] != 5 or not isinstance(code, int) or code == reasons.UNDER_WAY:
        return ""
    return reasons.explain(code, int(ad.get("HoldReasonSubCode") or 0), str(ad.get("HoldReason") or "")).words
