"""Folders of jobs: there for as long as somebody may come for what is in them, and no longer."""

from pathlib import Path

from jupyter_dodas.services.htcondor import collecting
from jupyter_dodas.services.htcondor.preparing import Asked, Workshop
from jupyter_dodas.services.htcondor.submitting import Needs

ASKED = Asked(Needs(), None, (), ())


def workshop(folder: Path, session: str = "0" * 16) -> Workshop:
    return Workshop(folder, "python3", 2**28, session)


def test_who_goes_leaves_what_has_not_been_fetched(tmp_path: Path) -> None:
    made = workshop(tmp_path / "higgs")
    first, second = made.call(pow, [((2, 5), {})], ASKED), made.run("/bin/true", (), ASKED)
    shared = [path for path in first.inputs if Path(path).is_absolute()]
    collecting.discard(first)
    del made
    assert second.folder.exists(), "its process may be another's"
    assert all(Path(path).exists() for path in shared), "and it may not have run yet"


def test_who_goes_with_everything_fetched_leaves_nothing(tmp_path: Path) -> None:
    made = workshop(tmp_path / "higgs")
    work = made.call(pow, [((2, 5), {})], ASKED)
    collecting.discard(work)
    del made
    assert [*(tmp_path / "higgs").iterdir()] == []


def test_when_a_pool_has_stopped_nothing_stays_of_killed_processes_either(tmp_path: Path) -> None:
    killed, made = workshop(tmp_path / "higgs"), workshop(tmp_path / "higgs", "1" * 16)
    killed.run("/bin/true", (), ASKED)
    made.close()
    assert not (tmp_path / "higgs").exists()
