"""Scratch folders go with their processes, and those of killed ones after a while."""

import fcntl
import os
import tempfile
import time
from pathlib import Path

import pytest

from jupyter_dodas.services.scratch import scratch


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"dodas-{os.getuid()}"


def left(root: Path, name: str, age: float) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / ".lock").touch()
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_a_folder_is_private_and_goes_with_who_uses_it() -> None:
    with scratch("kind", "one") as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "file").touch()
    assert not folder.exists()


def test_who_was_killed_finds_it_again(root: Path) -> None:
    with scratch("kind", "other"):
        left(root, "kind-one", 10).joinpath("file").touch()
    with scratch("kind", "one") as folder:
        assert (folder / "file").exists()


def test_what_is_left_for_long_is_removed_unless_it_is_in_use_or_of_another_kind(root: Path) -> None:
    with scratch("kind", "first"):
        old, used, young, strange = (left(root, f"kind-{name}", 3600) for name in ("old", "used", "young", "x"))
        other = left(root, "else-old", 3600)
        os.utime(young)
        strange.joinpath(".lock").unlink()
        with (used / ".lock").open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with scratch("kind", "second"):
                assert not old.exists()
                assert used.exists()
                assert young.exists()
                assert other.exists()


def test_a_root_that_somebody_else_made_is_not_used(root: Path, tmp_path: Path) -> None:
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    with scratch("kind", "one") as folder:
        assert folder.parent != root
        assert folder.is_relative_to(tmp_path)
