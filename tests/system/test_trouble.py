"""Trouble of every day: two writers, full disks, strangers, damaged records, crowds, idleness, clusters that do not come up."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jupyter_dodas as dodas
from jupyter_dodas import settings
from jupyter_dodas.backends import places
from jupyter_dodas.backends.local import allowance
from jupyter_dodas.errors import (
    AlreadyExists,
    DodasError,
    InvalidSetting,
    LaunchFailed,
    NotFound,
    QuotaExceeded,
    StaleGeneration,
    StateNotWritable,
    StoreFull,
)
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place

NOBODY = 65534

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else, or mount a small disk")


def test_of_two_writers_one_is_told(place: Place) -> None:
    with dodas.toy(name="higgs"):
        store = places.backend(settings.load()).store
        spec = asyncio.run(store.get("higgs")).spec
        asyncio.run(store.change(spec.model_copy(update={"keep_until": 1.0})))
        with pytest.raises(StaleGeneration) as caught:
            asyncio.run(store.change(spec.model_copy(update={"keep_until": 2.0})))
        assert caught.value.found == spec.generation + 1
        assert asyncio.run(store.get("higgs")).spec.keep_until == 1.0


def test_a_duplicate_name_is_refused(place: Place) -> None:
    with dodas.toy(name="higgs"):
        with pytest.raises(AlreadyExists, match=r'connect\("higgs"\)'):
            dodas.toy(name="higgs")
        assert dodas.connect("higgs").phase() is Phase.READY
    with pytest.raises(NotFound):
        dodas.connect("higgs")


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    place.state.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place.state], check=True)
    yield place.state
    subprocess.run(["umount", "--lazy", place.state], check=True)


@root_only
def test_a_full_disk_is_told_and_loses_nothing(place: Place, small_disk: Path) -> None:
    with dodas.toy(name="higgs", workers=1) as cluster:
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 2**20)
        with pytest.raises(StoreFull, match="Free some space"):
            cluster.scale(2)
        with pytest.raises(StoreFull):
            dodas.toy(name="top")
        assert [one.name for one in dodas.list()] == ["higgs"]
        assert cluster.record().spec.options["workers"] == 1
        filler.unlink()
        cluster.scale(2)
        cluster.wait(timeout=30)
    place.assert_deserted()


# Everything is imported first: a Python in somebody's home is not readable by others.
AS_SOMEBODY_ELSE = """
import os
import anyio.from_thread, anyio._backends._asyncio
import jupyter_dodas as dodas
from jupyter_dodas import cluster, registry, settings
from jupyter_dodas.backends import places
from jupyter_dodas.backends.local import allowance
from jupyter_dodas.errors import DodasError
registry.face("toy"), registry.service("toy"), places.backend(settings.load()).store
os.setgid(65534); os.setuid(65534)
try:
    dodas.toy(name="higgs")
except DodasError as error:
    print(error.code, "|", error.remedy)
"""


@root_only
@pytest.mark.parametrize(("mode", "code"), [(0o555, "state-not-writable"), (0o777, "not-yours")])
def test_a_folder_that_is_not_ones_own_is_refused(place: Place, mode: int, code: str) -> None:
    place.state.mkdir(parents=True)
    place.root.chmod(0o755)
    place.state.chmod(mode)
    program = place.run(AS_SOMEBODY_ELSE, DODAS_RUNTIME=str(place.root / "theirs"), HOME="/nonexistent")
    (place.root / "theirs").mkdir()
    shutil.chown(place.root / "theirs", NOBODY)
    said = program.communicate(timeout=30)[0].decode()
    assert said.startswith((code, "not-yours")), said
    assert "DODAS_STATE" in said


def test_a_folder_in_the_place_of_a_file_is_told(place: Place) -> None:
    place.root.joinpath("state").write_text("not a folder")
    with pytest.raises(StateNotWritable, match="DODAS_STATE"):
        dodas.toy()
    place.root.joinpath("state").unlink()


ASK = """
import os, socket, sys, encodings.idna
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as caller:
    caller.settimeout(10)
    try:
        caller.connect(sys.argv[1])
        caller.sendall(b'{"do": "observe", "id": 1}\\n+\\n')
        print("heard", caller.recv(1000))
    except OSError as error:
        print("heard", b"", error)
"""


@root_only
@pytest.mark.parametrize("name", ["keeper.sock", "controller.sock"])
def test_another_user_is_not_answered(place: Place, name: str) -> None:
    with dodas.toy(name="higgs", workers=1):
        path = place.runtime / name
        program = [sys.executable, "-c", ASK, str(path)]
        for folder in (place.root, place.runtime):
            folder.chmod(0o755)
        path.chmod(0o777)  # even with the doors open
        said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
        assert said.startswith("heard b''"), said
        assert dodas.connect("higgs").phase() is Phase.READY
        place.runtime.chmod(0o700)
        refused = subprocess.run(program, capture_output=True, text=True, check=True).stdout
        assert "Permission denied" in refused


def test_where_the_limits_cannot_be_read_nothing_is_added_and_everything_can_end(place: Place) -> None:
    limits = allowance.file_of(place.state)
    limits.write_text("{")
    with pytest.raises(InvalidSetting, match="limits of this place cannot be read"):
        dodas.toy(name="higgs", workers=1)
    limits.unlink()
    cluster = dodas.toy(name="higgs", workers=1)
    limits.write_text("{")
    cluster.stop()
    blocking_until(place.processes, within=20, meets=lambda left: not left)


def test_a_record_of_a_newer_version_is_left_alone(place: Place) -> None:
    with dodas.toy(name="higgs", workers=1):
        pass
    folder = place.state / "clusters" / "later"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps({"format": 99, "name": "later", "new": True}))
    (folder / "status.json").write_text(json.dumps({"format": 99}))
    (shown,) = dodas.list()
    assert shown.name == "later"
    assert "newer version" in repr(dodas.connect("later")._repr_mimebundle_())
    assert (folder / "spec.json").exists()
    dodas.connect("later").stop()
    assert len(dodas.list()) == 0


def test_a_truncated_record_is_listed_and_can_be_removed(place: Place) -> None:
    cluster = dodas.toy(name="higgs", workers=1)
    spec = place.state / "clusters" / "higgs" / "spec.json"
    spec.write_text(spec.read_text()[:40])
    (shown,) = dodas.list()
    assert shown.name == "higgs"
    with pytest.raises(DodasError, match="dodas stop higgs"):
        cluster.record()
    dodas.connect("higgs").stop()
    assert len(dodas.list()) == 0
    blocking_until(place.left, within=10, meets=lambda left: not left)


def test_a_taken_port_is_no_trouble(place: Place) -> None:
    with dodas.toy(name="higgs", workers=1) as cluster:
        before = cluster.record().status.instances["hub"].ports["work"]
        controller, hub = place.controller(), place.children(place.instances("higgs")["hub"])[0]
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def squat() -> bool:
                try:
                    squatter.bind(("127.0.0.1", before))
                    squatter.listen()
                except OSError:
                    return False
                return True

            controller.kill(signal.SIGSTOP)  # so that the port is ours before anybody starts the hub again
            hub.kill()
            blocking_until(squat, within=10)
            controller.kill(signal.SIGCONT)
            blocking_until(lambda: cluster.record().status.instances["hub"].ports["work"], within=20, meets=lambda p: p != before)
            cluster.wait(timeout=30)
            with cluster.client() as client:
                client.submit(0.01)
                assert client.result() == 0.01


def test_fifty_launches_at_once_are_served_in_turn_or_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_LIMITS_WORKERS", "6")
    monkeypatch.setenv("DODAS_LIMITS_CLUSTERS", "4")

    async def one(number: int) -> str:
        workers = 9 if number % 10 == 0 else 1 + number % 2
        try:
            cluster = await dodas.aio.launch("toy", name=f"toy-{number}", workers=workers, timeout=100)
        except QuotaExceeded:
            return "refused"
        held = await dodas.aio.quota()
        assert held.used.workers <= 6
        assert held.used.clusters <= 4
        await cluster.stop()
        return "served"

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(one, range(50)))

    found = asyncio.run(all_of_them())
    assert (found.count("served"), found.count("refused")) == (45, 5)
    assert len(dodas.list()) == 0


def test_an_unused_cluster_is_warned_of_kept_and_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_WARN_BEFORE", "1")
    cluster = dodas.toy(name="higgs", workers=1, idle_timeout=2.0)
    began = time.monotonic()
    with cluster.client() as client:  # an open connection alone is no use
        blocking_until(lambda: cluster.record().status.stops_at, within=10)
        cluster.keep(hours=1)
        blocking_until(lambda: cluster.record().status.stops_at, within=10, meets=lambda at: at is None)
        client.submit(0.5)
        client.result()
    cluster.keep(hours=0)
    blocking_until(cluster.phase, within=20, meets=lambda phase: phase is Phase.STOPPED)
    assert time.monotonic() - began > 2
    (receipt,) = asyncio.run(places.backend(settings.load()).store.receipts())
    assert receipt.outcome == "idle"


@pytest.mark.parametrize("part", ["hub", "drone"])
def test_a_cluster_that_does_not_come_up_says_why_and_is_kept(place: Place, part: str) -> None:
    with pytest.raises(LaunchFailed) as caught:
        dodas.toy(name="higgs", workers=1, fail=part, timeout=60)
    assert "asked to fail" in caught.value.cause
    cluster = dodas.connect("higgs")
    assert cluster.phase() is Phase.FAILED
    assert any("asked to fail" in said for said in cluster.logs().values())
    with pytest.raises(LaunchFailed):
        cluster.restart(timeout=60)
    receipt = cluster.stop()
    assert receipt is not None
    assert receipt.outcome == "failed"
    assert len(dodas.list()) == 0


def test_work_is_accounted_for(place: Place) -> None:
    with dodas.toy(name="higgs", workers=2, cores=3) as cluster, cluster.client() as client:
        client.submit(0.6, times=2, does="burn")
        assert [client.result(), client.result()]
        began = time.monotonic()
        receipt = cluster.stop()
    assert time.monotonic() - began < 10
    assert receipt is not None
    assert receipt.cores == 6
    assert 1.0 <= receipt.cpu_seconds < 20
    assert receipt.core_seconds == pytest.approx(6 * receipt.wall_seconds, rel=0.5)
    assert receipt.peak_memory > 5 * 2**20
    lines = (place.state / "accounting.jsonl").read_text().splitlines()
    assert [json.loads(line)["uid"] for line in lines] == [receipt.uid]


def test_an_environment_is_found_around_every_process(place: Place, tmp_path: Path) -> None:
    (tmp_path / "cuts.py").write_text("PT = 25\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "token").write_text("not to be seen")
    environment = {
        "variables": {"ANALYSIS": "higgs"},
        "files": [str(tmp_path / "cuts.py")],
        "folder": str(tmp_path),
        "credentials": str(credentials),
    }
    with dodas.toy(name="higgs", workers=1, environment=environment), dodas.connect("higgs").client() as client:
        seen = client.look()
        shown = json.dumps(seen)
        assert seen["variables"]["ANALYSIS"] == "higgs"
        assert seen["variables"]["BEARER_TOKEN_FILE"] == str(credentials / "token")
        assert seen["folder"] == str(tmp_path)
        assert (Path(seen["variables"]["DODAS_FILES"]) / "cuts.py").read_text() == "PT = 25\n"
        assert seen["variables"]["DODAS_FILES"] in seen["path"]
        assert "not to be seen" not in shown
        assert "JUPYTER_TOKEN" not in shown


_SIGNALS = "import dodas_toy.drone as drone, json; print(json.dumps(drone.do('look')['signals']))"


def test_signals_mean_what_they_mean_to_any_python(place: Place) -> None:
    # A script ignores these two in what it starts in the background, perhaps these tests.
    as_in_a_terminal = ["env", "--default-signal=INT,QUIT", sys.executable]
    fresh = subprocess.run([*as_in_a_terminal, "-c", _SIGNALS], capture_output=True, text=True, check=True)
    expected = {name: _nameless(handler) for name, handler in json.loads(fresh.stdout).items()}
    assert expected["SIGPIPE"] == "1"  # ignored: a write to a connection that is gone is an error, not the end
    with dodas.toy(name="higgs", workers=1), dodas.connect("higgs").client() as client:
        assert {name: _nameless(handler) for name, handler in client.look()["signals"].items()} == expected


def _nameless(handler: str) -> str:
    return handler.partition(" at 0x")[0]


@pytest.mark.parametrize("kind", ["toy", "dask"])
def test_no_secret_is_seen_from_outside(place: Place, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with dodas.launch(kind, name="higgs", workers=1) as cluster:
        secrets = cluster.connection().secrets
        values = [
            line
            for path in secrets.iterdir()
            for line in path.read_bytes().splitlines()
            if len(line) >= 16 and b"-----" not in line
        ]
        assert values
        seen = {f"the record {path.name}": path.read_bytes() for path in place.state.rglob("*") if _is_public(path, secrets)}
        for process in place.processes():
            for what in ("cmdline", "environ"):
                seen[f"{what} of {process.command}"] = Path(f"/proc/{process.pid}/{what}").read_bytes()
        seen["the screen"] = repr((capfd.readouterr(), cluster, cluster._repr_mimebundle_())).encode()
        assert len(seen) > 6
        assert [where for where, text in seen.items() if any(value in text for value in values)] == []
        assert secrets.stat().st_mode & 0o077 == 0


def _is_public(path: Path, secrets: Path) -> bool:
    return path.is_file() and secrets not in path.parents


def test_the_kernel_that_launched_can_be_killed(place: Place) -> None:
    kernel = place.run("import jupyter_dodas as d; d.toy(name='higgs', workers=1); print('up', flush=True); input()")
    assert kernel.stdout is not None
    assert any(b"up" in line for line in kernel.stdout)
    kernel.kill()
    kernel.wait(10)
    assert [one.name for one in dodas.list()] == ["higgs"]
    with dodas.connect("higgs") as cluster, cluster.client() as client:
        client.submit(0.01)
        assert client.result() == 0.01
