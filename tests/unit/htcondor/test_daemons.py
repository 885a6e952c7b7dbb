"""Which daemons are taken, and what is said where there are none."""

import os
from pathlib import Path
from typing import Final

import pytest

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.services.htcondor import daemons
from jupyter_dodas.services.htcondor.options import HtcondorOptions
from jupyter_dodas.services.htcondor.service import HtcondorService

MIRROR: Final = daemons.mirror
"""As it is, for who tests nothing else."""


def release(root: Path, version: str) -> Path:
    """Lay down programs that tell a version, and return their folder."""
    for folder, name in (("bin", "condor_version"), ("sbin", "condor_master")):
        program = root / folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\necho '$CondorVersion: {version} 2026-01-01 $'\n")
        program.chmod(0o755)
    return root


@pytest.fixture(autouse=True)
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without HTCondor."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(daemons, "own", lambda: tmp_path / "own")
    monkeypatch.setattr(daemons, "shared", lambda: tmp_path / "shared")
    monkeypatch.setattr(daemons, "which", lambda name, path=None: found(name, path))
    monkeypatch.setattr(daemons, "mirror", lambda: None)


def found(name: str, path: str | None) -> str | None:
    """Look for a program, but not where this very machine may have it."""
    folders = (path or os.environ["PATH"]).split(os.pathsep)
    return next((file for folder in folders if folder != "/usr/sbin" and Path(file := f"{folder}/{name}").exists()), None)


def test_installed_ones_come_first_and_then_those_of_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(tmp_path / "own", "23.9.6")
    assert daemons.find().root == tmp_path / "own"
    release(tmp_path / "shared", "24.0.1")
    assert daemons.find().root == tmp_path / "shared"
    installed = release(tmp_path / "usr", "25.1.0")
    monkeypatch.setenv("PATH", str(installed / "sbin"))
    assert (daemons.find().root, daemons.find().version) == (installed, (25, 1, 0))


def test_those_that_are_too_old_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(release(tmp_path / "usr", "23.4.0") / "sbin"))
    with pytest.raises(MissingSoftware, match="not there"):
        daemons.find()
    release(tmp_path / "own", "23.9.6")
    assert daemons.find().root == tmp_path / "own"


def test_what_does_not_run_is_no_release(tmp_path: Path) -> None:
    program = release(tmp_path / "own", "23.9.6") / "bin" / "condor_version"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert daemons.at(tmp_path / "own") is None


def test_where_nothing_can_be_fetched_it_is_told_what_to_install() -> None:
    with pytest.raises(MissingSoftware) as told:
        HtcondorService().require(HtcondorOptions())
    assert "Install HTCondor 23.9 or newer" in told.value.remedy


def test_where_they_can_be_fetched_a_launch_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("apt-get", "dpkg", "dpkg-deb"):
        (tools / tool).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(daemons, "mirror", lambda: "http://mirror.example/debian")
    assert "first pool" in HtcondorService().require(HtcondorOptions())


@pytest.mark.parametrize(
    ("name", "text", "mirror"),
    [
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: x\n",
            "http://mirror.example/debian",
        ),
        ("sources.list", "deb [arch=amd64] https://mirror.example/pub/debian/ x main\n", "https://mirror.example/pub/debian"),
        ("sources.list", "deb https://mirror.example/debian x main\n", "https://mirror.example/debian"),
        ("sources.list", "# deb https://mirror.example/debian x main\n", None),
        ("sources.list", "deb https://mirror.example/ubuntu x main\n", None),
        ("sources.list.d/security.sources", "URIs: http://mirror.example/debian-security\n", None),
        ("sources.list.d/old.sources.disabled", "URIs: http://mirror.example/debian\n", None),
    ],
)
def test_the_mirror_is_the_one_that_this_machine_uses(tmp_path: Path, name: str, text: str, mirror: str | None) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert MIRROR(tmp_path) == mirror
