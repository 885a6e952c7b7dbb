"""The platform as `script/up` starts it: its address, its demo, and that nothing outlives it in any way of ending it."""

import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import jupyter_dodas as dodas
from tests.place import ROOT, Place, Process

UP = ROOT / "script" / "up"


def test_the_demo_finds_the_numbers_that_are_in_the_data_and_leaves_nothing(place: Place) -> None:
    done = subprocess.run([UP, "--demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for number in (2304, 500, 443):
        assert re.search(rf" {number} +{number}$", done.stdout, re.MULTILINE), done.stdout
    mass = re.search(r"^Z mass  ([\d.]+) \+- ([\d.]+) GeV$", done.stdout, re.MULTILINE)
    assert mass, done.stdout
    assert 90.0 < float(mass[1]) < 91.5
    assert 0.1 < float(mass[2]) < 0.2
    assert place.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_the_server_ends_with_its_script(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody who is killed removes its folder
    with platform() as (process, said):
        address = find(r"http://127\.0\.0\.1:\d+/", said)
        assert status_of(address + "api/contents") == 403
        assert status_of(address + "api/contents", Path(find(r"token in (\S+)", said)).read_text()) == 200
        process.send_signal(number)
        assert process.wait(60) == (-number if number == signal.SIGKILL else 0)
    place.assert_deserted()


def test_the_token_shows_nowhere(place: Place) -> None:
    with platform() as (process, said):
        token = Path(find(r"token in (\S+)", said)).read_text()
        page = Path(find(r"file://(\S+)", said))
        assert page.stat().st_mode & 0o077 == 0
        assert token in page.read_text()
        assert f"?token={token}" not in page.read_text()
        assert token not in said
        assert token not in Path(find(r"its log: (\S+)", said)).read_text()
        running = place.processes()
        assert len(running) >= 2
        for one in running:
            assert token.encode() not in environment_of(one)
            assert token not in one.command
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize(("options", "left"), [([], ["outside"]), (["--keep"], ["inside", "outside"])], ids=["stops", "keeps"])
def test_clusters_end_with_the_platform_that_they_were_launched_through(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], left: Sequence[str]
) -> None:
    with platform(*options) as (process, _):
        (session,) = {find(r"DODAS_SESSION=([\w-]+)", text) for text in environments(place) if "DODAS_SESSION" in text}
        dodas.dask(workers=1, name="outside")
        monkeypatch.setenv("DODAS_SESSION", session)
        dodas.dask(workers=1, name="inside")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert [cluster.name for cluster in dodas.list()] == left
    for cluster in dodas.list():
        cluster.stop()


@contextmanager
def platform(*options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the platform; yield its process, and what it said once it was there."""
    command = [str(UP), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
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
    """Return what the pattern's group matches, or the whole of it."""
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


def environment_of(process: Process) -> bytes:
    return Path(f"/proc/{process.pid}/environ").read_bytes()


def environments(place: Place) -> Iterator[str]:
    for process in place.processes():
        yield environment_of(process).replace(b"\0", b"\n").decode()
