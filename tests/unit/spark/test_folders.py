"""What Spark's processes leave behind, and for how long."""

import os
import time
from pathlib import Path

import pytest

from jupyter_dodas.services.spark import folders

DAY = 86400.0


@pytest.mark.parametrize(("keep", "left"), [(3 * DAY, {"new", "silent"}), (0.0, {"new"}), (30 * DAY, {"new", "silent", "old"})])
def test_event_logs_are_forgotten_with_clusters_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: float, left: set[str]
) -> None:
    monkeypatch.setenv("DODAS_STATE", str(tmp_path))
    monkeypatch.setenv("DODAS_KEEP_FAILED", str(keep))
    for name, age in {"new": 0.5 * DAY, "silent": 2 * DAY, "old": 8 * DAY}.items():
        log = folders.history() / name
        log.touch()
        os.utime(log, (time.time() - age,) * 2)
    folders.forget_history()
    assert {file.name for file in folders.history().iterdir()} == left


def test_nothing_is_forgotten_where_nothing_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_STATE", str(tmp_path / "none"))
    folders.forget_history()
    assert not (tmp_path / "none").exists()
