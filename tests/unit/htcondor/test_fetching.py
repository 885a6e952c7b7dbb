"""Daemons are fetched once, whoever wants them at the same time, and it is told why that did not work."""

import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.services.htcondor import daemons, fetching
from tests.unit.htcondor.test_daemons import release


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(daemons, "own", lambda: tmp_path / "cache" / "own")
    return tmp_path / "cache" / "own"


def test_who_comes_while_it_is_done_waits_for_the_same_ones(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    begun = threading.Event()

    def make(work: Path, target: Path) -> None:
        made.append(work)
        begun.set()
        time.sleep(0.2)
        release(target, "23.9.6")

    monkeypatch.setattr(fetching, "_make", make)
    with ThreadPoolExecutor(3) as threads:
        found = [threads.submit(fetching.fetch) for _ in range(3)]
        assert {one.result().root for one in found} == {own}
    assert len(made) == 1
    assert not made[0].exists()
    assert fetching.fetch().version == (23, 9, 6)


def test_a_mirror_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(work: Path, target: Path) -> None:
        raise subprocess.CalledProcessError(100, "apt-get", stderr="W: first\nE: The mirror cannot be reached\n")

    monkeypatch.setattr(fetching, "_make", make)
    with pytest.raises(MissingSoftware) as told:
        fetching.fetch()
    assert told.value.cause == "E: The mirror cannot be reached"


def test_what_does_not_run_is_removed(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(work: Path, target: Path) -> None:
        (release(target, "23.9.6") / "bin" / "condor_version").write_text("#!/bin/sh\nexit 1\n")

    monkeypatch.setattr(fetching, "_make", make)
    with pytest.raises(MissingSoftware, match="do not run"):
        fetching.fetch()
    assert not own.exists()
