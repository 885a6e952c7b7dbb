"""The audit: lines that programs can read, for their owner alone, and no reason for anything to fail."""

import json
import logging
from pathlib import Path

import pytest

from jupyter_dodas.hub.audit import Audit

LOG = logging.getLogger("a hub's")


def test_every_note_is_a_line_of_json_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = Audit(file, LOG)
    audit.note("sign-in", user="alice\n{}", groups=["cms"])
    file.rename(tmp_path / "audit.1")
    audit.note("sign-out", user="bob")
    (first,) = map(json.loads, (tmp_path / "audit.1").read_text().splitlines())
    assert (first["event"], first["user"], first["groups"]) == ("sign-in", "alice\n{}", ["cms"])
    assert json.loads(file.read_text())["event"] == "sign-out"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_told_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Audit(tmp_path / "none" / "audit.jsonl", LOG).note("sign-in", user="alice")
    assert "No audit line could be written" in caplog.text


def test_without_a_file_the_lines_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Audit(None, LOG).note("launch", user="alice")
    assert json.loads(caplog.messages[0])["event"] == "launch"
