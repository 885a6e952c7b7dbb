"""The `dodas` command on real processes: a cluster's life, its end by Ctrl-C, and what programs read."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupyter_dodas
from jupyter_dodas.spec import Receipt, Record
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place

DODAS = str(Path(sys.executable).with_name("dodas"))


def dodas(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run([DODAS, *arguments], capture_output=True, text=True, timeout=60, check=False)


def data(*arguments: str) -> Any:
    """Run the command, and read what it prints for programs."""
    done = dodas(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def running(*arguments: str, **streams: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start the command, and see that it has ended afterwards."""
    with subprocess.Popen([DODAS, *arguments], text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_life(place: Place) -> None:
    launched = dodas("launch", "toy", "--workers", "2", "--name", "higgs", "--variable", "LEVEL=1")
    assert launched.returncode == 0
    assert launched.stdout == "● higgs is ready: 2 workers, 2 cores, 4 GiB\n"
    assert launched.stderr.splitlines()[0] == "higgs: pending"
    assert launched.stderr.splitlines()[-1].startswith("● higgs is ready after")

    assert dodas("list").stdout.splitlines()[1].split()[:5] == ["higgs", "toy", "●", "ready", "2"]
    details = dodas("show", "higgs").stdout
    assert all(words in details for words in ("2 workers", "variables=LEVEL=1", "hub", "worker-1", "ready"))

    assert dodas("scale", "higgs", "3").stdout == "higgs is to have 3 workers.\n"
    blocking_until(lambda: "3 workers" in dodas("show", "higgs").stdout, within=20)
    assert dodas("adapt", "higgs", "1", "3").stdout == "higgs is to have 1 to 3 workers, as the work needs.\n"
    assert dodas("keep", "higgs", "--hours", "2").stdout.startswith("higgs is kept until")

    again = dodas("launch", "toy", "--name", "higgs")
    assert again.returncode == 6
    assert again.stderr.startswith("error: There is already a cluster 'higgs'")

    restarted = dodas("restart", "higgs")
    assert restarted.returncode == 0, restarted.stderr
    assert "higgs: ready" in restarted.stderr

    stopped = dodas("stop", "higgs")
    assert stopped.returncode == 0
    assert stopped.stdout.startswith("higgs has stopped after")
    assert "core-hours" in stopped.stdout
    assert "peak memory" in stopped.stdout
    assert dodas("list").stdout == "No clusters.\n"


def test_what_programs_read(place: Place) -> None:
    record = Record.model_validate(data("launch", "toy", "--workers", "1", "--name", "a"))
    assert record.status.phase == "ready"
    assert [Record.model_validate(found).name for found in data("list")] == ["a"]
    assert Record.model_validate(data("show", "a")).spec == record.spec
    assert Record.model_validate(data("scale", "a", "2")).spec.options["workers"] == 2
    assert Record.model_validate(data("adapt", "a", "0", "3")).spec.options["adapt"] == {"minimum": 0, "maximum": 3}
    assert Record.model_validate(data("keep", "a")).spec.keep_until is not None
    assert Record.model_validate(data("restart", "a")).spec.restarts == 1
    assert set(data("logs", "a", "hub")) == {"hub"}
    assert data("quota")["used"]["clusters"] == 1
    ended = dodas("stop", "a", "nobody", "--json")
    assert ended.returncode == 3
    stopped, missing = json.loads(ended.stdout)
    assert Receipt.model_validate(stopped["receipt"]).outcome == "stopped"
    assert stopped["error"] is None
    assert (missing["receipt"], missing["error"]["code"]) == (None, "not-found")


def test_no_secret_is_printed(place: Place) -> None:
    dodas("launch", "toy", "--name", "a")
    secret = (place.state / "clusters" / "a" / "secrets" / "toy.token").read_text()
    for arguments in (["list", "--json"], ["show", "a", "--json"], ["show", "a"], ["logs", "a"], ["doctor"]):
        done = dodas(*arguments)
        assert done.returncode == 0
        assert secret not in done.stdout + done.stderr


def test_a_failed_launch_is_kept_with_its_logs(place: Place) -> None:
    failed = dodas("launch", "toy", "--fail", "hub", "--name", "bad")
    assert failed.returncode == 5
    assert failed.stdout == ""
    assert "error: " in failed.stderr
    assert "the hub was asked to fail" in failed.stderr
    assert "hint: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "✕ failed" in dodas("list").stdout
    assert "the hub was asked to fail" in dodas("logs", "bad", "hub").stdout
    wrong = dodas("logs", "bad", "hob")
    assert wrong.returncode == 2
    assert "Did you mean 'hub'?" in wrong.stderr
    assert dodas("stop", "bad").stdout.startswith("bad had failed after")


def test_ctrl_c_removes_what_was_half_made(place: Place) -> None:
    with running("launch", "toy", "--fail", "drone", "--name", "half", stderr=subprocess.PIPE) as launching:
        blocking_until(lambda: "starting" in dodas("list").stdout, within=20)
        launching.send_signal(signal.SIGINT)
        _, said = launching.communicate(timeout=30)
    assert launching.returncode == 130
    assert "Interrupted; cleaning up ..." in said
    assert said.endswith("□ half: interrupted; it was removed\n")
    assert dodas("list").stdout == "No clusters.\n"
    place.assert_deserted()


def test_in_a_terminal_a_launch_is_shown_in_a_few_lines(place: Place) -> None:
    ours, theirs = pty.openpty()
    with running("launch", "toy", "--name", "higgs", stdin=theirs, stdout=theirs, stderr=theirs) as launching:
        os.close(theirs)
        said = b"".join(iter(lambda: _read(ours), b"")).decode()
        launching.wait(timeout=30)
    os.close(ours)
    assert launching.returncode == 0
    assert said.count("higgs is ready") == 1, "it is told once where both streams are seen"
    assert "\x1b[?25h" in said, "the cursor is shown again"
    assert dodas("stop", "higgs").returncode == 0


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the other end is closed
        return b""


def test_logs_are_followed_to_the_end(place: Place) -> None:
    dodas("launch", "toy", "--fail", "drone", "--workers", "1", "--no-wait", "--name", "a")
    with running("logs", "a", "--follow", stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert "worker-1" in following.stdout.readline()
        dodas("stop", "a")
        following.wait(timeout=30)
    assert following.returncode == 0


def test_a_shell_of_a_cluster_ends_as_what_runs_in_it(place: Place) -> None:
    dodas("launch", "toy", "--name", "higgs", "--no-wait")
    asked = dodas("shell", "higgs", "--", "sh", "-c", 'echo "$DODAS_CLUSTER --json"; exit 7')
    assert (asked.returncode, asked.stdout, asked.stderr) == (7, "higgs --json\n", "")
    missing = dodas("shell", "higgs", "--", "no-such-program")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: 'no-such-program' cannot be run\nNo such file or directory\nhint: ")

    # It outlives what it was told, and so sees the end of what it passes that on to.
    waiting = "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    with running("shell", "higgs", "--", "sh", "-c", waiting, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "up\n"
        shell.send_signal(signal.SIGINT)
        shell.send_signal(signal.SIGTERM)
        assert shell.stdout.read() == "told\n"
        assert shell.wait(timeout=20) == 3


def test_a_shell_of_a_cluster_is_the_one_of_its_user(place: Place) -> None:
    dodas("launch", "toy", "--name", "higgs", "--no-wait")
    done = subprocess.run(
        [DODAS, "shell", "higgs"],
        input="echo $DODAS_CLUSTER\nkill -9 $$\n",
        env={**os.environ, "SHELL": "/bin/sh"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "higgs\n")
    assert done.stderr == "In this shell the tools of toy work on higgs; exit leaves it.\n"


def test_what_cannot_be_read_can_be_stopped(place: Place) -> None:
    dodas("launch", "toy", "--name", "a")
    clusters = jupyter_dodas.list()
    (place.state / "clusters" / "a" / "spec.json").write_text("{")
    assert dodas("show", "a").returncode == 7
    assert "cannot be read" in dodas("list").stdout
    assert data("list")[0]["status"]["problem"]["code"] == "damaged-record"
    assert "cannot be read" in clusters._repr_mimebundle_()["text/plain"]
    assert "✕ failed" in clusters[0]._repr_mimebundle_()["text/plain"]
    assert dodas("stop", "a").returncode == 0
    assert dodas("list").stdout == "No clusters.\n"
    place.assert_deserted()


def test_stop_all(place: Place) -> None:
    for name in ("a", "b"):
        dodas("launch", "toy", "--name", name, "--no-wait")
    stopped = dodas("stop", "--all")
    assert stopped.returncode == 0
    assert len(stopped.stdout.splitlines()) == 2


COMPLETIONS = {
    "dodas la": {"launch"},
    "dodas launch to": {"toy"},
    "dodas launch toy --ignore": {"--ignore-term"},
    "dodas launch toy --fail ": {"hub", "drone"},
    "dodas show h": {"higgs"},
    "dodas stop higgs ": {"higgs"},
    "dodas logs higgs w": {"worker-1", "worker-2"},
    "dodas scale --group ": {"worker"},
    "dodas launch nothing --": {"--help"},
}


def test_a_shell_completes(place: Place) -> None:
    dodas("launch", "toy", "--name", "higgs")
    found = {}
    for line in COMPLETIONS:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_DODAS_COMPLETE": "complete_bash"}
        done = subprocess.run([DODAS], env={**os.environ, **words}, capture_output=True, text=True, check=False)
        found[line] = set(done.stdout.split())
        assert done.stderr == ""
    assert found == COMPLETIONS


def test_a_reader_who_has_enough_is_no_error(place: Place) -> None:
    script = f"{DODAS} kinds --json | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[\n"
    assert done.stderr == ""
