"""What people rely on in the repository: pinned versions, a notebook without output, scripts that explain themselves."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
SCRIPTS = sorted(file for file in (ROOT / "script").iterdir() if file.is_file() and not file.suffix)
COMMANDS = [file for file in SCRIPTS if file.name != "environment"]


def requirements() -> list[Requirement]:
    """Everything that the package, its extras, its build and the scripts ask for by name."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    named = [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]
    hook = PROJECT["tool"]["hatch"]["build"]["hooks"]["jupyter-builder"]
    wanted = [Requirement(one) for one in [*named, *PROJECT["build-system"]["requires"], *hook["dependencies"], "uv"]]
    return [one for one in wanted if one.name != PROJECT["project"]["name"]]


def pins() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in CONSTRAINTS:
        pin = Requirement(line)
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def test_constraints_pin_one_version_and_no_address() -> None:
    for line in CONSTRAINTS:
        assert re.fullmatch(r"[a-z0-9._-]+==[^ =/@]+( ; .+)?", line), line
        assert "://" not in line


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_to_a_version_that_fits(requirement: Requirement) -> None:
    found = pins().get(canonicalize_name(requirement.name), [])
    assert found, f"{requirement.name} is not in constraints.txt; run script/pin"
    for pin in found:
        (specifier,) = pin.specifier
        assert requirement.specifier.contains(specifier.version, prereleases=True), (
            f"{pin} does not fit {requirement}; run script/pin"
        )


def test_the_extra_all_holds_every_extra_but_that_of_the_tests() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = (Requirement(one) for one in extras["all"])
    assert everything.extras == set(extras) - {"all", "test", "node"}


@pytest.mark.parametrize("notebook", sorted((ROOT / "examples").glob("**/*.ipynb")), ids=lambda path: path.name)
def test_notebooks_hold_no_output_and_no_path_of_a_machine(notebook: Path) -> None:
    content = json.loads(notebook.read_text("utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
        assert not re.search(r"(?<![\w:/.])/(home|root|tmp|work|Users|eos|afs)/", "".join(cell["source"]))


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.name)
def test_scripts_explain_themselves_from_any_folder(script: Path, tmp_path: Path) -> None:
    said = subprocess.run([script, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert said.stdout.startswith(f"script/{script.name}")
    assert len(said.stdout.splitlines()) > 2
    assert said.stderr == ""


@pytest.mark.parametrize(
    "arguments", [["test", "no-such-suite"], ["lint", "no-such-check"], ["bench", "no-such-thing"], ["pin", "--no"]]
)
def test_scripts_refuse_what_they_do_not_know_with_a_hint(arguments: list[str]) -> None:
    said = subprocess.run([ROOT / "script" / arguments[0], *arguments[1:]], check=False, capture_output=True, text=True)
    assert said.returncode != 0
    assert said.stderr.startswith("error: ")
    assert "hint: " in said.stderr
