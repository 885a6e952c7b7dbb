"""The first process of a pod: what it measures, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_dodas.backends.kubernetes.wrapper import measured

ROOT = Path(__file__).resolve().parents[3]


def lay(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def test_cgroups_of_version_2_are_read(tmp_path: Path) -> None:
    files = {
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "memory.peak": "4096\n",
        "memory.events": "low 0\noom 1\noom_kill 2\n",
    }
    assert measured(lay(tmp_path, files)) == {"cpu": 2.5, "peak": 4096, "oom": 2}


def test_cgroups_of_version_1_are_read(tmp_path: Path) -> None:
    files = {
        "cpuacct/cpuacct.usage": "1500000000\n",
        "memory/memory.max_usage_in_bytes": "8192\n",
        "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    }
    assert measured(lay(tmp_path, files)) == {"cpu": 1.5, "peak": 8192, "oom": 1}


def test_without_cgroups_the_children_are_measured(tmp_path: Path) -> None:
    found = measured(str(tmp_path))
    assert found["cpu"] >= 0
    assert found["oom"] == 0


def wrapped(*command: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "jupyter_dodas.backends.kubernetes.wrapper", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("raise SystemExit(3)", 3), ("pass", 0), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL)],
)
def test_it_ends_as_the_program_does(code: str, exit_code: int) -> None:
    program = wrapped("python", "-c", code)
    program.communicate(timeout=20)
    assert program.returncode == exit_code


def test_it_leaves_an_account(tmp_path: Path) -> None:
    program = wrapped(
        "python", "-c", "import os; raise SystemExit('DODAS_ACCOUNT' in os.environ)", DODAS_ACCOUNT=str(tmp_path / "a")
    )
    program.communicate(timeout=20)
    account = json.loads((tmp_path / "a").read_text())
    assert (program.returncode, account["code"], account.keys()) == (0, 0, {"code", "cpu", "peak", "oom"})


def test_it_passes_a_signal_on() -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print('here', flush=True); signal.pause()"
    program = wrapped("python", "-c", code)
    assert program.stdout is not None
    assert program.stdout.readline() == "here\n"
    program.terminate()
    program.communicate(timeout=20)
    assert program.returncode == 5


def test_variables_of_any_name_reach_the_program() -> None:
    code = "import json, os; print(json.dumps([os.environ['Ü'], 'DODAS_VARIABLES' in os.environ]))"
    program = wrapped("python", "-c", code, DODAS_VARIABLES=json.dumps({"Ü": "ß"}))
    said, _ = program.communicate(timeout=20)
    assert json.loads(said.splitlines()[0]) == ["ß", False]


@pytest.mark.parametrize(
    ("command", "variables", "exit_code", "word"),
    [
        (("no-such-program",), {}, 127, "no-such-program"),
        (("python", "-c", ""), {"DODAS_FOLDER": "/no/such/folder"}, 72, "/no/such/folder"),
    ],
)
def test_what_is_not_there_is_named(command: tuple[str, ...], variables: dict[str, str], exit_code: int, word: str) -> None:
    program = wrapped(*command, **variables)
    said, _ = program.communicate(timeout=20)
    assert program.returncode == exit_code
    assert word in said
