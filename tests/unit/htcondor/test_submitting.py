"""What HTCondor is asked for a job: needs are checked, nothing that a user writes becomes more than a text."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.errors import BadInput
from jupyter_dodas.services.htcondor import submitting
from jupyter_dodas.services.htcondor.preparing import is_sent
from jupyter_dodas.services.htcondor.submitting import LEFT, RESULT, Needs, command, description, given, inputs_of, script

MIB = 2**20
STRANGE = ["two words", "a'b", 'a"b', "$HOME $(Cluster) $$(Arch)", "line\nend", "`id`", "", "*", "-n", "\\", "é"]


def described(needs: Needs, share: int = 1000 * MIB) -> dict[str, str]:
    return description(needs, "fit", "me", outputs=[], share=share)


@pytest.mark.parametrize(
    "given_needs",
    [
        {"cpus": 0},
        {"cpus": True},
        {"cpus": 1.5},
        {"cpus": "2"},
        {"memory": "lots"},
        {"memory": 0},
        {"memory": -1},
        {"memory": True},
        {"memory": float("nan")},
        {"gpus": -1},
        {"disk": "1 XB"},
        {"deadline": 0},
        {"deadline": float("inf")},
        {"deadline": "1 h"},
        {"retries": -1},
        {"environment": {"MY_TOKEN": "x"}},
        {"environment": {"A B": "x"}},
    ],
    ids=str,
)
def test_needs_that_will_not_do(given_needs: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Needs.read(**given_needs)


def test_needs_are_asked_for() -> None:
    asked = described(Needs.read(cpus=2, memory="1.5 GiB", gpus=1, deadline=60.5, retries=2))
    assert (asked["request_cpus"], asked["request_memory"], asked["request_gpus"]) == ("2", "1536", "1")
    assert asked["allowed_job_duration"] == "61"
    assert asked["max_retries"] == "2"


def test_without_a_word_a_job_gets_its_share_and_all_fit() -> None:
    """HTCondor rounds up to 128 MiB, and two of half of a worker must still fit into it."""
    assert described(Needs(), share=1000 * MIB)["request_memory"] == "896"
    assert described(Needs(cpus=2), share=512 * MIB)["request_memory"] == "1024"
    assert described(Needs(), share=100 * MIB)["request_memory"] == "100"


@pytest.mark.parametrize("name", ["fit", "<lambda>", "a\nqueue 100", "$(x)", "", "é" * 300])
def test_a_name_is_but_a_name(name: str) -> None:
    assert description(Needs(), name, "me", outputs=[], share=MIB)["batch_name"].isprintable()
    assert "$" not in description(Needs(), name, "me", outputs=[], share=MIB)["batch_name"]


def run(folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    (folder / "run").write_text(text)
    return subprocess.run(["/bin/sh", "run"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("outputs", [[], ["x"]])
def test_a_program_gets_its_arguments_and_variables_as_they_are(tmp_path: Path, outputs: list[str]) -> None:
    line = command("/usr/bin/printf", ["[%s]", *STRANGE, 5, 2.5], sent=False)
    assert run(tmp_path, script(line, {}, outputs)).stdout == "".join(f"[{word}]" for word in [*STRANGE, 5, 2.5])
    for value in STRANGE:
        done = run(tmp_path, script("printenv STRANGE", {"STRANGE": value}, []))
        assert done.stdout == f"{value}\n"


@pytest.mark.parametrize("argument", [None, True, b"x", ["x"], "a\0b"])
def test_arguments_that_no_program_takes(argument: Any) -> None:
    with pytest.raises(BadInput):
        command("/bin/echo", [argument], sent=False)


@pytest.mark.parametrize("outputs", [[], ["a"]])
@pytest.mark.parametrize(("line", "code"), [("true", 0), ("sh -c 'exit 3'", 3), ("sh -c 'kill -9 $$'", -9)])
def test_a_job_ends_as_its_program_does(tmp_path: Path, line: str, code: int, outputs: list[str]) -> None:
    assert run(tmp_path, script(line, {}, outputs)).returncode == code


def test_outputs_that_there_are_come_into_one_folder(tmp_path: Path) -> None:
    line = "sh -c 'mkdir -p d/e; echo 1 > d/e/deep; echo 2 > \"with space\"; mkdir f; echo 3 > f/in'"
    run(tmp_path, script(line, {}, ["d/e/deep", "with space", "f", "missing"], calls=True))
    found = {str(path.relative_to(tmp_path / LEFT)) for path in (tmp_path / LEFT).rglob("*") if path.is_file()}
    assert found == {"d/e/deep", "with space", "f/in"}
    assert (tmp_path / RESULT).read_bytes() == b""


def test_files_go_by_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cuts.json").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "cuts.json").touch()
    (tmp_path / "a,b").touch()
    assert inputs_of(["cuts.json", "https://example.org/x"]) == [str(tmp_path / "cuts.json"), "https://example.org/x"]
    for wrong in (["nothing"], ["cuts.json", "sub/cuts.json"], ["a,b"], "cuts.json"):
        with pytest.raises(BadInput):
            inputs_of(wrong)


def test_outputs_stay_below_where_a_job_works(tmp_path: Path) -> None:
    assert given(["a", "b/c"]) == {"a": None, "b/c": None}
    assert given({"a": tmp_path / "x"}) == {"a": tmp_path / "x"}
    for wrong in (["/etc/passwd"], ["../x"], [""], "hist.root", ["a,b"], ["$(x)"]):
        with pytest.raises(BadInput):
            given(wrong)


def test_which_programs_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "analysis.sh").touch()
    assert is_sent("/bin/sh") is None
    assert is_sent("root") is None
    for name in ("./analysis.sh", "analysis.sh", str(tmp_path / "analysis.sh")):
        assert is_sent(name) == tmp_path / "analysis.sh"
    assert is_sent("./nothing.sh") == tmp_path / "nothing.sh"


def test_results_stay_until_they_are_fetched() -> None:
    assert f"{submitting.FETCHED} =!= true" in described(Needs())["leave_in_queue"]
