"""What goes to a job and what comes back: run here by another Python process, as a worker would."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.errors import BadInput, JobFailed, NotSupported
from jupyter_dodas.services.htcondor import job, payload


class Own(Exception):
    """An error of the user's own."""


def run(folder: Path, function: Callable[..., Any], *calls: Sequence[Any], modules: str | None = None) -> Sequence[payload.Outcome]:
    content = payload.pack(payload.pack_function(function), [(call, {}) for call in calls], modules=modules)
    (folder / "payload").write_bytes(content)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, job.__file__, "payload", "result"], cwd=folder, env=environment, check=False)
    return payload.outcomes(folder / "result")


def made() -> Any:
    """Functions as a notebook has them: of no module that anybody could import."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def reciprocal(x):\n    return 1 / x\nclass Point:\n    pass\ndef point(x):\n    return Point()\n", namespace)
    return namespace


def test_each_call_has_its_outcome(tmp_path: Path) -> None:
    first, second, third = run(tmp_path, made()["reciprocal"], (4,), (0,), (2,))
    assert payload.value_of(first, "1.0") == 0.25
    assert payload.value_of(third, "1.0") == 0.5
    with pytest.raises(ZeroDivisionError) as raised:
        payload.value_of(second, "1.0")
    there = raised.value.__cause__
    assert isinstance(there, JobFailed)
    assert "in reciprocal" in str(there)
    assert job.__file__ not in str(there)


def test_objects_of_classes_that_only_the_notebook_has_come_back(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, made()["point"], (1,))
    assert type(payload.value_of(outcome, "1.0")).__name__ == "Point"


def test_what_cannot_be_sent_is_said_before() -> None:
    lock = threading.Lock()
    with pytest.raises(BadInput, match="cannot be sent"):
        payload.pack_function(lambda: lock)
    with pytest.raises(BadInput, match="argument"):
        payload.pack(payload.pack_function(len), [((lock,), {})])


def test_what_cannot_be_sent_back_is_said(tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, lambda _: threading.Lock(), (0,))
    with pytest.raises(JobFailed, match="cannot be sent back"):
        payload.value_of(outcome, "7.0")


@pytest.mark.parametrize(
    ("function", "words"),
    [(sys.exit, "SystemExit: 3"), (lambda _: exec("raise KeyboardInterrupt"), "KeyboardInterrupt")],
)
def test_an_exit_there_is_none_here(tmp_path: Path, function: Callable[..., Any], words: str) -> None:
    (outcome,) = run(tmp_path, function, (3,))
    with pytest.raises(JobFailed, match=words):
        payload.value_of(outcome, "7.0")


def test_modules_beside_the_notebook_come_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "cuts_of_mine.py").write_text("def passes(x):\n    return x > 1\n")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))
    import cuts_of_mine  # type: ignore[import-not-found]

    try:
        content, left_out = payload.pack_modules()
        assert not list(left_out)
        (there / "modules").write_bytes(content)
        (here / "cuts_of_mine.py").rename(tmp_path / "gone.py")  # as on another machine
        assert payload.value_of(run(there, cuts_of_mine.passes, (2,), modules="modules")[0], "1.0") is True
        with pytest.raises(NotSupported, match="No module named 'cuts_of_mine'"):
            payload.value_of(run(there, cuts_of_mine.passes, (2,))[0], "1.0")
    finally:
        del sys.modules["cuts_of_mine"]


def test_another_python_is_told(tmp_path: Path) -> None:
    content = payload.pack(payload.pack_function(lambda: 1), [((), {})])
    head, _, rest = content.partition(b"\n")
    (tmp_path / "payload").write_bytes(head.replace(b"[3, %d]" % sys.version_info[1], b"[3, 2]") + b"\n" + rest)
    (outcome,) = job.run(str(tmp_path / "payload"))
    with pytest.raises(NotSupported, match=r"Python 3\.2 has written it"):
        payload.value_of(outcome, "1.0")


@pytest.mark.parametrize("content", [b"", b"half of a pick"])
def test_a_job_that_was_killed_has_no_outcomes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result").write_bytes(content)
    assert payload.outcomes(tmp_path / "result") == []
    assert payload.outcomes(tmp_path / "nothing") == []
