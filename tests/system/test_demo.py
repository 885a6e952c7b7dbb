"""The platform as `script/up` starts it: its address, its demo, and that nothing outlives it in any way of ending it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

UP = Path(__file__).resolve().parents[2] / "script" / "up"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """A state folder of its own; every process that descends from the test carries it in its environment."""
    variables = {**os.environ, "DODAS_STATE": str(tmp_path / "state"), "DODAS_LINGER": "0"}
    variables.pop("DODAS_SESSION", None)
    yield variables
    assert until_no_process(variables["DODAS_STATE"], within=30) == []


def test_the_demo_finds_the_numbers_that_are_in_the_data(environment: Mapping[str, str], tmp_path: Path) -> None:
    done = subprocess.run([UP, "--demo"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for number in (2304, 500, 443):
        assert re.search(rf" {number}$", done.stdout, re.MULTILINE), done.stdout
    mass = re.search(r"^Z mass  ([\d.]+) \+- ([\d.]+) GeV$", done.stdout, re.MULTILINE)
    assert mass, done.stdout
    assert 90.0 < float(mass[1]) < 91.5
    assert 0.1 < float(mass[2]) < 0.2
    assert processes_of(environment["DODAS_STATE"]) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_the_server_ends_with_its_script(environment: Mapping[str, str], tmp_path: Path, number: signal.Signals) -> None:
    with platform(environment, tmp_path) as (process, said):
        address = find(r"http://127\.0\.0\.1:\d+/", said)
        assert status_of(address + "api/contents") == 403
        assert status_of(address + "api/contents", Path(find(r"token in (\S+)", said)).read_text()) == 200
        process.send_signal(number)
        status = process.wait(60)
    assert status == (-9 if number == signal.SIGKILL else 0)
    # The fixture sees that no process is left.


def test_the_token_shows_nowhere(environment: Mapping[str, str], tmp_path: Path) -> None:
    with platform(environment, tmp_path) as (process, said):
        token = Path(find(r"token in (\S+)", said)).read_text()
        log = Path(find(r"its log: (\S+)", said))
        page = Path(find(r"file://(\S+)", said))
        assert token not in said
        assert token not in log.read_text()
        assert page.stat().st_mode & 0o077 == 0
        assert token in page.read_text()
        assert f"?token={token}" not in page.read_text()
        for folder in processes_of(environment["DODAS_STATE"]):
            for file in ("cmdline", "environ"):
                assert token.encode() not in (folder / file).read_bytes()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize("options", [[], ["--keep"]], ids=["stops", "keeps"])
def test_clusters_that_were_launched_through_it(environment: Mapping[str, str], tmp_path: Path, options: list[str]) -> None:
    kept = options == ["--keep"]
    with platform(environment, tmp_path, *options) as (process, _):
        (session,) = {session_of(folder) for folder in processes_of(environment["DODAS_STATE"])} - {None}
        run('dodas.dask(workers=1, name="inside")', {**environment, "DODAS_SESSION": str(session)})
        run('dodas.dask(workers=1, name="outside")', environment)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    try:
        names = run("import json; print(json.dumps([cluster.name for cluster in dodas.list()]))", environment)
        assert json.loads(names) == (["inside", "outside"] if kept else ["outside"])
    finally:
        run("for cluster in dodas.list(): cluster.stop()", environment)


@contextmanager
def platform(environment: Mapping[str, str], folder: Path, *options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the platform; yield its process, and what it said once it was there."""
    command = [str(UP), "--port", "0", *options]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "Ctrl-C" not in said:
                line = process.stdout.readline()
                assert line, f"script/up ended: {said}"
                said += line
            yield process, said
        finally:
            process.kill()


def find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in: {text}"
    return found[found.lastindex or 0]


def status_of(address: str, token: str = "") -> int:
    request = urllib.request.Request(address, headers={"Authorization": f"token {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def run(code: str, environment: Mapping[str, str]) -> str:
    """Run Python in a process of its own, as a shell beside the platform would."""
    program = f"import jupyter_dodas as dodas\n{code}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def processes_of(state: str) -> list[Path]:
    """The /proc folders of all processes with this state folder."""
    return [folder for folder in Path("/proc").glob("[0-9]*") if variables_of(folder).get("DODAS_STATE") == state]


def session_of(folder: Path) -> str | None:
    return variables_of(folder).get("DODAS_SESSION")


def variables_of(folder: Path) -> dict[str, str]:
    try:
        entries = (folder / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended meanwhile
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs}


def until_no_process(state: str, within: float) -> list[str]:
    """Wait until the processes are gone; the command lines of those that are still there at the deadline."""
    deadline = time.monotonic() + within
    while (left := processes_of(state)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [(folder / "cmdline").read_bytes().replace(b"\0", b" ").decode() for folder in left]
