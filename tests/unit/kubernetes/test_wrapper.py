"""The first process of a pod: what it measures, and how it ends."""

import json
import operator
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from jupyter_dodas.backends.kubernetes.wrapper import measured
from jupyter_dodas.testing.waiting import blocking_until

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


KEEPER = """
import sys
from jupyter_dodas.backends.kubernetes import wrapper
wrapper.BEARER, wrapper.WORK, wrapper._FRESH = sys.argv[1], sys.argv[2], 0.02
sys.exit(wrapper.main(sys.argv[3:]))
"""
SHOW = """
import os, stat, sys
for line in sys.stdin:
    file = os.environ.get("BEARER_TOKEN_FILE", "")
    mode = oct(stat.S_IMODE(os.stat(file).st_mode)) if os.path.exists(file) else ""
    print(mode, open(file).read() if mode else "nothing", flush=True)
"""


def test_it_keeps_a_private_copy_of_the_token_up_to_date(tmp_path: Path) -> None:
    mounted, work = tmp_path / "mounted", tmp_path / "work"
    mounted.mkdir()
    work.mkdir()
    (mounted / "token").write_text("first")
    command = [sys.executable, "-c", KEEPER, str(mounted), str(work), "python", "-c", SHOW]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def seen() -> str:
            print(file=program.stdin, flush=True)
            return program.stdout.readline().strip()  # type: ignore[union-attr]

        assert seen() == "0o600 first"
        for text, shown in (("second", "0o600 second"), ("", "nothing"), ("third", "0o600 third")):
            (tmp_path / "new").write_text(text)
            (tmp_path / "new").replace(mounted / "token")
            blocking_until(seen, within=10, meets=partial(operator.eq, shown))
        (mounted / "token").unlink()
        blocking_until(seen, within=10, meets=lambda found: found == "nothing")
        program.stdin.close()
    assert program.returncode == 0


def test_without_a_token_there_and_beside_one_of_the_users_own_nothing_is_set(tmp_path: Path) -> None:
    for variables, shown in (({}, "None"), ({"BEARER_TOKEN_FILE": "/mine"}, "/mine")):
        if variables:
            (tmp_path / "token").write_text("ours")
        show = "import os; print(os.environ.get('BEARER_TOKEN_FILE'))"
        command = [sys.executable, "-c", KEEPER, str(tmp_path), str(tmp_path), "python", "-c", show]
        ran = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == shown
