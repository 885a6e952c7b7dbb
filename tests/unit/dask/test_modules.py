"""Which of a user's modules are sent to her workers."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.services.dask.modules import MOST_BYTES, MOST_FILES, Bundle, folders, named, nearby


def lay(folder: Path, files: Mapping[str, str]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def test_modules_and_packages_beside_the_notebook_are_found(tmp_path: Path) -> None:
    own = {"cuts.py": "A", "fits/__init__.py": "B", "fits/models/bw.py": "C", "fits/models/pdg.json": "D"}
    others = {
        "my-script.py": "not a name",
        "random.py": "the standard library's",
        "dask.py": "the cluster's",
        "data/events.csv": "no package",
        ".hidden.py": "",
        ".venv/pkg/__init__.py": "",
        "fits/__pycache__/x.pyc": "",
        "fits/.cache/x": "",
        "node_modules/__init__.py": "",
        "notebook.ipynb": "",
    }
    bundle = nearby(lay(tmp_path, own | others), {})
    assert {path: content.decode() for path, content in bundle.files.items()} == own
    assert bundle.left_out == {}
    assert set(bundle.digests()) == {"cuts", "fits"}


def test_an_environment_in_a_package_stays_behind(tmp_path: Path) -> None:
    lay(tmp_path, {"pkg/__init__.py": "", "pkg/env/pyvenv.cfg": "", "pkg/env/lib/big.py": "", "pkg/a.py": ""})
    assert set(nearby(tmp_path, {}).files) == {"pkg/__init__.py", "pkg/a.py"}


@pytest.mark.parametrize(
    ("path", "main", "found"),
    [
        ([""], None, ["here"]),
        (["{tmp}/here", "/usr/lib/python3"], None, ["here"]),
        (["/usr/lib/python3"], None, []),
        (["{tmp}/beside"], "{tmp}/beside/fit.py", ["beside"]),
        (["", "{tmp}/beside"], "{tmp}/beside/fit.py", ["here", "beside"]),
        (["", "{tmp}/here"], "{tmp}/here/fit.py", ["here"]),
        (["{tmp}/bin"], "{tmp}/bin/pytest", []),
        (["{tmp}/lib/site-packages"], "{tmp}/lib/site-packages/kernel.py", []),
    ],
)
def test_only_folders_in_which_python_looks_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: list[str], main: str | None, found: list[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    searched = [entry.format(tmp=tmp_path) for entry in path]
    assert folders(searched, main and main.format(tmp=tmp_path)) == [tmp_path / name for name in found]


def test_a_home_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    lay(tmp_path, {"used.py": "", "other.py": ""})
    assert set(nearby(tmp_path, {"used": sys}).files) == {"used.py"}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert nearby(tmp_path / "nowhere", {}).files == {}
    assert nearby(tmp_path, {}) == Bundle(str(tmp_path), {}, {})


def test_what_is_imported_goes_first_and_what_is_too_large_is_left_out(tmp_path: Path) -> None:
    half = "#" * (MOST_BYTES // 2 + 1)
    lay(tmp_path, {"aaa.py": half, "used.py": half, "small.py": ""})
    bundle = nearby(tmp_path, {"used": sys})
    assert set(bundle.files) == {"used.py", "small.py"}
    assert set(bundle.left_out) == {"aaa"}
    assert "too large: 8 MiB" in bundle.left_out["aaa"]


def test_a_package_of_very_many_files_is_left_out_whole(tmp_path: Path) -> None:
    lay(tmp_path, {f"pkg/m{number}.py": "" for number in range(MOST_FILES)} | {"pkg/__init__.py": ""})
    bundle = nearby(tmp_path, {})
    assert (dict(bundle.files), set(bundle.left_out)) == ({}, {"pkg"})


def test_a_change_shows_in_the_digest_of_its_module_alone(tmp_path: Path) -> None:
    before = nearby(lay(tmp_path, {"a.py": "1", "b/__init__.py": "", "b/c.py": "1"}), {}).digests()
    after = nearby(lay(tmp_path, {"b/c.py": "2"}), {}).digests()
    assert before["a"] == after["a"]
    assert before["b"] != after["b"]


def test_one_module_can_be_named_wherever_it_is(tmp_path: Path) -> None:
    lay(tmp_path, {"far/away/cuts.py": "A", "far/away/pkg/__init__.py": ""})
    assert named(tmp_path / "far/away/cuts.py").files == {"cuts.py": b"A"}
    assert named(tmp_path / "far/away/pkg").root == str(tmp_path / "far/away")


@pytest.mark.parametrize("path", ["missing.py", "data.csv", "my-script.py", "folder", "large.py"])
def test_what_cannot_be_sent_is_refused_in_words(tmp_path: Path, path: str) -> None:
    lay(tmp_path, {"data.csv": "", "my-script.py": "", "folder/x.py": "", "large.py": "#" * (MOST_BYTES + 1)})
    with pytest.raises(InvalidOption, match="hint:"):
        named(tmp_path / path)
