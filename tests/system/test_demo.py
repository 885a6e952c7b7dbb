"""The platform as `script/up` starts it: its address, its demo, and that nothing outlives it in any way of ending it."""

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import jupyter_dodas as dodas
from tests.hubs import Browser
from tests.place import ROOT, Place, Process

UP = ROOT / "script" / "up"


@pytest.mark.timeout(600)
def test_the_demo_finds_the_numbers_that_are_in_the_data_and_leaves_nothing(place: Place) -> None:
    done = subprocess.run([UP, "--demo", "--port", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for number in (2304, 500, 443):
        assert re.search(rf" {number} +{number}$", done.stdout, re.MULTILINE), done.stdout
    purity = re.search(r"^purity in the window +([\d.]+)% +([\d.]+)%$", done.stdout, re.MULTILINE)
    assert purity, done.stdout
    assert float(purity[1]) < 88 < 92 < float(purity[2])
    mass = re.search(r"^Z mass  ([\d.]+) \+- ([\d.]+) GeV$", done.stdout, re.MULTILINE)
    assert mass, done.stdout
    assert 90.0 < float(mass[1]) < 91.5
    assert 0.1 < float(mass[2]) < 0.2
    peak = re.search(r"^Z peak  ([\d.]+) \+- ([\d.]+) \(statistics\) \+- ([\d.]+) \(choices\) GeV$", done.stdout, re.MULTILINE)
    assert peak, done.stdout
    assert peak[1] == mass[1], "both measure the same peak"
    assert "Nothing of it runs any more." in done.stderr
    assert place.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_hub_proxy_iam_and_notebooks_end_with_their_script(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody who is killed removes its folder
    with platform() as (process, said), visitor(said) as alice:
        alice.sign_in("alice")
        assert alice.spawn("alice").is_success
        assert place.processes(is_notebook)
        process.send_signal(number)
        assert process.wait(90) == (-number if number == signal.SIGKILL else 0)
        place.assert_deserted(within=30)
        first = int(find(r":(\d+)/", said))
        for port in range(first, first + 4):
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"http://127.0.0.1:{port}/")


def test_notebooks_show_the_folder_that_it_is_called_from(place: Place) -> None:
    folder = place.root / "a {strange} folder"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with platform(folder=folder) as (process, said), visitor(said) as alice:
        alice.sign_in("alice")
        assert alice.spawn("alice").is_success
        assert alice.follow(alice.get("/user/alice/lab")).status_code == 200  # where the server gets its cookie
        found = alice.get("/user/alice/api/contents").json()
        assert [one["name"] for one in found["content"]] == ["mine.txt"]
        process.send_signal(signal.SIGHUP)
        assert process.wait(90) == 0
    place.assert_deserted()


def test_it_says_who_can_sign_in_and_runs_once_for_a_folder(place: Place) -> None:
    with platform() as (process, said):
        assert re.search(r"^ +alice +cms, cms/italy$", said, re.MULTILINE), said
        assert re.search(r"^ +eve +suspended$", said, re.MULTILINE), said
        again = subprocess.run([UP, "--port", "0"], capture_output=True, text=True, check=False, timeout=60)
        assert again.returncode == 1
        assert "error: script/up runs already" in again.stderr
        assert "Traceback" not in again.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    place.assert_deserted()


@pytest.mark.parametrize(("options", "left"), [([], ["outside"]), (["--keep"], ["inside", "outside"])], ids=["stops", "keeps"])
def test_clusters_end_with_the_platform_that_they_were_launched_through(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], left: Sequence[str]
) -> None:
    with platform(*options) as (process, said), visitor(said) as alice:
        alice.sign_in("alice")
        alice.spawn("alice")
        # What a shell on this machine needs to see alice's clusters; only her notebook has the session.
        monkeypatch.setenv("DODAS_STATE", str(place.state / "hub" / "users" / "alice"))
        monkeypatch.setenv("DODAS_RUNTIME", str(place.runtime / "alice"))
        dodas.dask(workers=1, name="outside")
        monkeypatch.setenv("DODAS_SESSION", environment_of(place.processes(is_notebook)[0])["DODAS_SESSION"])
        dodas.dask(workers=1, name="inside")
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert [cluster.name for cluster in dodas.list()] == left
    for cluster in dodas.list():
        cluster.stop()


@contextmanager
def platform(*options: str, folder: Path | None = None) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start the platform; yield its process, and what it said once it was there."""
    command = [str(UP), "--port", "0", *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
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


@dataclass
class At:
    """A hub that somebody else has started."""

    url: str


@contextmanager
def visitor(said: str) -> Iterator[Browser]:
    """A browser at the hub that said where it is."""
    browser = Browser(At(find(r"(http://127\.0\.0\.1:\d+)/", said)))
    try:
        yield browser
    finally:
        browser.client.close()


def is_notebook(command: str) -> bool:
    return "jupyter_dodas.services.notebook.process" in command


def find(pattern: str, text: str) -> str:
    """Return what the pattern's group matches, or the whole of it."""
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in: {text}"
    return found[found.lastindex or 0]


def environment_of(process: Process) -> Mapping[str, str]:
    lines = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)
