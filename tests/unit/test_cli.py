"""The command line: flags made from models, exit codes, and words for everything that is typed wrongly."""

import io
import json
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from jupyter_dodas import errors
from jupyter_dodas.cli import main
from jupyter_dodas.cli.exits import EXITS, Exit
from jupyter_dodas.cli.flags import Shape, assemble, flags
from jupyter_dodas.cli.models import read_rows
from jupyter_dodas.errors import BadInput, DodasError, InvalidOption
from jupyter_dodas.options import Options
from tests.place import Place


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    folder: str | None = Field(default=None, description="A folder that the outer one has as well.")


class Everything(Options):
    """A model that has one option of each sort, as a kind of another package may."""

    ratio: float = Field(default=0.5, description="A number.")
    colour: Literal["red", "green"] | None = Field(default=None, description="One of several words.")
    fast: bool = Field(default=True, description="Yes or no.")
    tags: tuple[str, ...] = Field(default=(), description="Several words.")
    folder: str = Field(default="here", description="A text with [brackets].")
    inner: Inner = Field(default=Inner(), description="An object that is always there.")


FLAGS = flags(Everything.model_json_schema())
BY_NAME = {flag.name: flag for flag in FLAGS}


def test_every_option_has_a_flag_of_its_own_with_help() -> None:
    assert len(BY_NAME) == len(FLAGS)
    assert {flag.path[0] for flag in FLAGS} == set(Everything.model_fields)
    assert all(flag.help for flag in FLAGS)


def test_of_two_fields_of_one_name_both_can_be_given() -> None:
    assert BY_NAME["--folder"].path == ("folder",)
    assert BY_NAME["--environment-folder"].path == ("environment", "folder")
    assert BY_NAME["--inner-folder"].path == ("inner", "folder")


@pytest.mark.parametrize(
    ("flag", "shape", "metavar", "default"),
    [
        ("--workers", Shape.WORD, "N", "2"),
        ("--memory", Shape.WORD, "SIZE", "2 GiB"),
        ("--idle-timeout", Shape.WORD, "NUMBER|none", "3600"),
        ("--colour", Shape.WORD, "red|green", ""),
        ("--fast", Shape.SWITCH, "", "true"),
        ("--tag", Shape.LIST, "TAG", ""),
        ("--adapt", Shape.OBJECT, "MINIMUM:MAXIMUM", ""),
        ("--group", Shape.MAPPING, "NAME:workers=N,...", ""),
        ("--variable", Shape.MAPPING, "NAME=VALUE", ""),
    ],
)
def test_flags_say_how_to_write_a_value(flag: str, shape: Shape, metavar: str, default: str) -> None:
    made = BY_NAME[flag]
    assert (made.shape, made.metavar, made.default) == (shape, metavar, default)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"--workers": "4", "--memory": "4 GiB"}, {"workers": "4", "memory": "4 GiB"}),
        ({"--workers": None, "--tag": [], "--variable": []}, {}),
        ({"--idle-timeout": "none"}, {"idle_timeout": None}),
        ({"--fast": False}, {"fast": False}),
        ({"--tag": ["a", "b"]}, {"tags": ["a", "b"]}),
        ({"--adapt": "0:10"}, {"adapt": {"minimum": "0", "maximum": "10"}}),
        ({"--adapt": "maximum=10"}, {"adapt": {"maximum": "10"}}),
        ({"--adapt": "none"}, {"adapt": None}),
        ({"--variable": ["A=1", "B=x=y"]}, {"environment": {"variables": {"A": "1", "B": "x=y"}}}),
        (
            {"--group": ["gpu:workers=1,memory=4GiB", "big:adapt=0:4"]},
            {"groups": {"gpu": {"workers": "1", "memory": "4GiB"}, "big": {"adapt": {"minimum": "0", "maximum": "4"}}}},
        ),
        ({"--file": ["a.py"], "--environment-folder": "b"}, {"environment": {"files": ["a.py"], "folder": "b"}}),
    ],
)
def test_what_is_typed_becomes_options(given: dict[str, Any], options: dict[str, Any]) -> None:
    assert assemble(FLAGS, given) == options


@pytest.mark.parametrize(
    ("flag", "typed"), [("--adapt", "1:2:3"), ("--adapt", "minimum=0,4"), ("--group", "gpu"), ("--variable", "A")]
)
def test_what_cannot_be_taken_apart_is_refused_with_the_way_to_write_it(flag: str, typed: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        BY_NAME[flag].value([typed] if BY_NAME[flag].shape is Shape.MAPPING else typed)
    assert BY_NAME[flag].metavar in raised.value.remedy


def subclasses(of: type[DodasError]) -> Iterable[type[DodasError]]:
    yield of
    for below in of.__subclasses__():
        yield from subclasses(below)


def test_every_error_has_a_code_of_its_own_and_an_exit_code() -> None:
    ours = [error for error in subclasses(DodasError) if error.__module__ == errors.__name__]
    assert {error.__name__ for error in ours} == set(errors.__all__) - {"did_you_mean"}
    assert len({error.code for error in ours}) == len(ours)
    assert set(EXITS) == {error.code for error in ours}
    assert Exit.OK not in EXITS.values()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["lst"], 2, ["There is no command 'lst'", "Did you mean 'list'?", "hint: Commands: launch, list"]),
        (["list", "--jsn"], 2, ["`dodas list` has no option '--jsn'", "Did you mean '--json'?"]),
        (["show"], 2, ["Missing argument 'NAME'", "hint: `dodas show --help`"]),
        (["launch"], 2, ["Say which kind", "Kinds: ", "toy", "hint: dodas launch"]),
        (["launch", "toyy"], 2, ["There is no kind of cluster 'toyy'", "Did you mean 'toy'?"]),
        (["launch", "toy", "--worker", "2"], 2, ["has no option '--worker'", "Did you mean '--workers'?"]),
        (["launch", "toy", "--workers", "-1"], 2, ["workers='-1' will not do", "hint: Give at least 0."]),
        (["launch", "toy", "--workers", "NaN"], 2, ["workers='NaN' will not do", "hint: Give a whole number."]),
        (["launch", "toy", "--workers", "1.5"], 2, ["workers='1.5' will not do", "hint: Give a whole number."]),
        (["launch", "toy", "--memory", "lots"], 2, ["memory='lots' will not do", '"2 GiB"']),
        (["launch", "toy", "--group", "gpu"], 2, ["--group 'gpu' cannot be read", "hint: Write it as: --group NAME:"]),
        (["launch", "toy", "--group", "gpu:worker=1"], 2, ["has no option 'worker'", "Did you mean 'workers'?"]),
        (["launch", "toy", "--variable", "API_TOKEN=x"], 2, ["looks like a secret"]),
        (["launch", "toy", "--name", "../x"], 2, ["'../x' cannot name a cluster", "hint: For example 'x'."]),
        (["launch", "toy", "--backend", "locl"], 2, ["There is no backend 'locl'", "Did you mean 'local'?"]),
        (["scale", "higgs", "many"], 2, ["workers='many' will not do"]),
        (["keep", "higgs", "--hours", "long"], 2, ["hours='long' will not do"]),
        (["show", "higgs"], 3, ["There is no cluster 'higgs'", "hint: Nothing runs; launch one."]),
        (["logs", "higgs"], 3, ["There is no cluster 'higgs'"]),
        (["shell", "higgs", "--", "true"], 3, ["There is no cluster 'higgs'"]),
        (["shell"], 2, ["Missing argument 'NAME'"]),
        (["stop", "higgs"], 3, ["There is no cluster 'higgs'"]),
        (["stop"], 2, ["Say which clusters to stop", "--all"]),
        (["stop", "higgs", "--all"], 2, ["Say which clusters to stop"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else str(value),
)
def test_what_is_typed_wrongly_is_told_in_words(
    place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: list[str]
) -> None:
    assert main(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err
    assert not place.processes(), "nothing is started for a request that is refused"


@pytest.mark.parametrize("arguments", [["show", "higgs"], ["launch", "toy", "--workers", "x"], ["list", "--bckend", "x"]])
def test_with_json_an_error_is_an_object_on_stdout(place: Place, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code = main([*arguments, "--json"])
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert set(error) == {"code", "message", "cause", "remedy"}
    assert EXITS[error["code"]] == code
    assert said.err == ""


def test_limits_refuse_what_can_never_fit(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DODAS_LIMITS_CORES", "4")
    assert main(["launch", "toy", "--workers", "5"]) == Exit.REFUSED
    assert "the limit is 4" in capsys.readouterr().err


def test_a_setting_that_will_not_do_is_told(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DODAS_LINGER", "soon")
    assert main(["list"]) == Exit.INVALID
    assert "DODAS_LINGER" in capsys.readouterr().err
    assert main(["doctor"]) == 1
    assert "linger" in capsys.readouterr().out


def test_lists_of_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "No clusters.\n"
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["stop", "--all"]) == 0
    assert capsys.readouterr() == ("", "Nothing runs.\n")


def test_kinds_and_their_schemas(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kinds"]) == 0
    assert "toy" in capsys.readouterr().out
    assert main(["kinds", "--json"]) == 0
    found = {kind["kind"]: kind for kind in json.loads(capsys.readouterr().out)}
    assert set(found["toy"]) == {"kind", "title", "summary", "options"}
    assert "workers" in found["toy"]["options"]["properties"]


def test_quota_says_who_enforces_it(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_LIMITS_MEMORY", "8 GiB")
    assert main(["quota"]) == 0
    said = capsys.readouterr().out
    assert "8 GiB" in said
    assert "advisory" in said
    assert main(["quota", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "limits": {"clusters": None, "workers": None, "cores": None, "memory": 8 * 2**30},
        "used": {"clusters": 0, "workers": 0, "cores": 0, "memory": 0},
        "enforced": False,
        "groups": [],
    }


def test_help_shows_the_options_of_a_kind(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "toy", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("--workers", "--adapt", "--group", "--variable", "--no-ignore-term", "hub|drone"))


def test_the_command_alone_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr()
    assert "launch" in said.out
    assert said.err == ""
    assert main(["--version"]) == 0


def test_the_doctor_judges_this_machine(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(set(check) == {"about", "verdict", "message", "remedy"} for check in found)
    about = {check["about"]: check for check in found}
    assert {"Python", "Toy", "Memory", "Disk", "State folder", "Runtime folder", "Process guard", "Controller"} <= set(about)
    assert str(place.state) in about["State folder"]["message"]
    assert main(["doctor"]) == 0
    assert "✓ ok" in capsys.readouterr().out


def test_the_doctor_says_what_is_bad(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_STATE", "/proc/nowhere")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "✕ bad" in said
    assert "hint: " in said


ROWS = [[1.0, 2.0], [3.0, 4.0]]
CSV = "pt,eta,name\n1,2,a\n3,4,b\n"


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (b"1,2\n3,4\n", ROWS),
        (b"\xef\xbb\xbf1,2\r\n3,4", ROWS),
        (b"[[1, 2], [3, 4]]", ROWS),
        (b' {"pt": [1, 3]}', {"pt": [1, 3]}),
        (CSV.encode(), {"pt": [1.0, 3.0], "eta": [2.0, 4.0], "name": ["a", "b"]}),
    ],
)
def test_rows_for_a_model_are_read_in_the_form_that_they_have(given: bytes, rows: Any) -> None:
    assert read_rows(given, "-") == rows


def test_rows_of_numpy_are_read_but_no_objects() -> None:
    file = io.BytesIO()
    np.save(file, np.array(ROWS))
    assert read_rows(file.getvalue(), "rows.npy").tolist() == ROWS
    file = io.BytesIO()
    np.save(file, np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"rows\.npy cannot be read as rows"):
        read_rows(file.getvalue(), "rows.npy")


@pytest.mark.parametrize("given", [b"", b"1,2\n3\n", b"[[1,", b"\xff\xfe1"])
def test_rows_that_cannot_be_read_are_told(given: bytes) -> None:
    with pytest.raises(BadInput, match="What came in cannot be read as rows"):
        read_rows(given, "-")


def test_models_are_asked_of_endpoints_alone(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "tagger"]) == Exit.NOT_FOUND
    assert "There is no cluster 'tagger'" in capsys.readouterr().err
