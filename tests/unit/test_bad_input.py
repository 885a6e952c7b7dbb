"""What a user may get wrong when she asks for a cluster: each slip is told in words, before anything starts."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas import errors, settings
from jupyter_dodas.errors import DodasError, InvalidOption, InvalidSetting, UnknownOption
from jupyter_dodas.options import Options, validate
from jupyter_dodas.spec import check_name


def told(**options: Any) -> DodasError:
    with pytest.raises(DodasError) as caught:
        validate(Options, "toy", options).environment.check()
    return caught.value


@pytest.mark.parametrize(
    ("options", "code", "hint"),
    [
        ({"workers": -1}, "invalid-option", "at least 0"),
        ({"workers": 10**9}, "invalid-option", "at most 100000"),
        ({"workers": 2.5}, "invalid-option", "whole number"),
        ({"workers": math.nan}, "invalid-option", "whole number"),
        ({"workers": math.inf}, "invalid-option", "whole number"),
        ({"workers": True}, "invalid-option", "whole number"),
        ({"workers": "many"}, "invalid-option", "whole number"),
        ({"cores": 0}, "invalid-option", "at least 1"),
        ({"memory": "lots"}, "invalid-option", "2 GiB"),
        ({"memory": math.nan}, "invalid-option", "2 GiB"),
        ({"memory": -1}, "invalid-option", "2 GiB"),
        ({"memory": "1 MB"}, "invalid-option", "at least 64"),
        ({"adapt": [3, 1]}, "invalid-option", "[0, 10]"),
        ({"adapt": [0, 0]}, "invalid-option", "[0, 10]"),
        ({"idle_timeout": -5}, "invalid-option", "at least 0"),
        ({"groups": {"worker": {}}}, "invalid-option", "gpu"),
        ({"groups": {"GPU node": {}}}, "invalid-option", "gpu"),
        ({"groups": {"gpu": {"worker": 1}}}, "unknown-option", "workers"),
        ({"wrokers": 2}, "unknown-option", "workers"),
        ({"environment": {"variables": {"1X": "a"}}}, "invalid-option", "letters"),
        ({"environment": {"variables": {"X": "a\0b"}}}, "invalid-option", ""),
        ({"environment": {"folder": "/no/such/folder"}}, "invalid-option", "path"),
        ({"environment": {"files": ["/no/such/file"]}}, "invalid-option", "path"),
        ({"environment": {"files": ["/" + "x" * 5000]}}, "invalid-option", "path"),
        ({"environment": {"folder": "~nosuchuser/analysis"}}, "invalid-option", "path"),
    ],
)
def test_a_slip_is_told_with_its_remedy(options: Mapping[str, Any], code: str, hint: str) -> None:
    error = told(**options)
    assert error.code == code
    assert hint in error.remedy
    assert error.message


def test_a_misspelled_option_is_guessed() -> None:
    error = told(wrokers=2)
    assert isinstance(error, UnknownOption)
    assert error.cause == "Did you mean 'workers'?"


@pytest.mark.parametrize(
    ("given", "found"),
    [("1 GB", 10**9), ("1 GiB", 2**30), (1e9, 10**9), ("1e9", 10**9), (2**30, 2**30), ("512 MiB", 2**29), ("2GiB", 2**31)],
)
def test_sizes_are_read_as_they_are_written(given: object, found: int) -> None:
    assert validate(Options, "toy", {"memory": given}).memory == found


@pytest.mark.parametrize("name", ["MY_TOKEN", "db_password", "AWS_SECRET", "API_KEY"])
def test_a_secret_is_refused_as_a_variable_and_not_shown(name: str) -> None:
    error = told(environment={"variables": {name: "hunter2"}})
    assert isinstance(error, InvalidOption)
    assert name in str(error)
    assert "credentials" in error.remedy
    assert "hunter2" not in f"{error} {error!r} {error.__cause__}"


def test_credentials_that_others_can_read_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert "chmod 700" in told(environment={"credentials": str(tmp_path)}).remedy
    tmp_path.chmod(0o700)
    validate(Options, "toy", {"environment": {"credentials": str(tmp_path)}}).environment.check()


@pytest.mark.parametrize("name", ["a", "higgs", "higgs-2", "z0", "a" * 40])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "../x", "..", "a/b", "Higgs", "2nd", "-a", "a-", "a--b", "a_b", "a b", "höggs", "日本", "a" * 41, "x" * 300, "a\n", "a\0"],
)
def test_bad_names_are_refused_with_a_good_one(name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_name(name)
    suggestion = caught.value.remedy.removeprefix("For example '").removesuffix("'.")
    assert check_name(suggestion) == suggestion
    assert len(caught.value.message) < 100


@pytest.mark.parametrize(
    ("variable", "value"), [("DODAS_LINGER", "-1"), ("DODAS_LIMITS_CORES", "some"), ("DODAS_NAMESPACES", "perhaps")]
)
def test_a_bad_setting_names_where_it_stands(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting) as caught:
        settings.load({"DODAS_CONFIG": str(tmp_path / "none"), variable: value})
    assert variable in caught.value.cause


def test_settings_come_from_the_file_and_variables_win(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('linger = 5\n[limits]\nworkers = 8\nmemory = "16 GiB"\n')
    found = settings.load({"DODAS_CONFIG": str(file), "DODAS_LIMITS_WORKERS": "3"})
    assert (found.linger, found.limits.workers, found.limits.memory) == (5, 3, 16 * 2**30)
    file.write_text("linger = ")
    with pytest.raises(InvalidSetting, match=r"config\.toml"):
        settings.load({"DODAS_CONFIG": str(file)})


def test_every_error_has_a_code_of_its_own_and_is_public() -> None:
    def below(cls: type[DodasError]) -> list[type[DodasError]]:
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in below(child))]

    ours = [cls for cls in below(DodasError) if cls.__module__ == "jupyter_dodas.errors"]
    assert len({cls.code for cls in ours}) == len(ours)
    assert {cls.__name__ for cls in ours} == set(errors.__all__) - {"did_you_mean"}
