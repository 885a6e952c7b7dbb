"""What the pages promise to list is listed: settings, errors, options, verbs, exit codes, dependencies, modules."""

import json
import re
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jupyter_dodas import errors, registry
from jupyter_dodas.cli.exits import EXITS, Exit
from jupyter_dodas.cli.flags import flags
from jupyter_dodas.cli.run import build
from jupyter_dodas.errors import DodasError
from jupyter_dodas.options import Options
from jupyter_dodas.settings import Limits, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def rows(page: str, *, under: str = "") -> list[list[str]]:
    """The rows of the tables of a page, or of those below a heading, without their heads."""
    text = (DOCS / page).read_text("utf-8")
    if under:
        text = re.split(rf"^## {re.escape(under)}$", text, flags=re.MULTILINE)[1].partition("\n## ")[0]
    lines = [line.strip() for line in text.splitlines()]
    found = []
    for number, line in enumerate(lines):
        ruled = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not ruled:
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    return found


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_setting_is_documented_with_its_variable() -> None:
    own = {key: f"DODAS_{key.upper()}" for key in Settings.model_fields if key != "limits"}
    limits = {f"limits.{key}": f"DODAS_LIMITS_{key.upper()}" for key in Limits.model_fields}
    assert {names(row[0])[0]: names(row[1])[0] for row in rows("reference/settings.md")} == own | limits


def test_every_error_is_documented_with_its_class() -> None:
    ours = [getattr(errors, name) for name in errors.__all__ if name != "did_you_mean"]
    documented = {names(row[0])[0]: names(row[1])[0] for row in rows("reference/errors.md")}
    assert documented == {error.code: error.__name__ for error in ours}
    assert all(all(row) for row in rows("reference/errors.md")), "each has a cause and a remedy"


def test_who_may_try_again_is_documented() -> None:
    retryable = {error.code for name in errors.__all__ if (error := getattr(errors, name)) and _retryable(error)}
    assert {names(row[0])[0] for row in rows("reference/errors.md") if "(retryable)" in row[2]} == retryable


def _retryable(error: object) -> bool:
    return isinstance(error, type) and issubclass(error, DodasError) and error.retryable


def test_every_exit_code_is_documented_with_its_errors() -> None:
    table = rows("reference/cli.md", under="Exit codes")
    assert {int(row[0]): row[1].replace(" ", "_").upper() for row in table} == {code: code.name for code in Exit}
    assert {code: Exit(int(row[0])) for row in table for code in names(row[3])} == dict(EXITS)


def test_every_verb_is_documented() -> None:
    import typer

    command: Any = typer.main.get_command(build())
    groups = {name: list(getattr(one, "commands", {})) for name, one in command.commands.items()}
    verbs = [" ".join((name, *under)) for name in command.list_commands(typer.Context(command)) for under in _each(groups[name])]
    rows_of_verbs = (names(row[0])[0].split()[1:] for row in rows("reference/cli.md") if row[0].startswith("`dodas "))
    assert [" ".join(takewhile(str.islower, words)) for words in rows_of_verbs] == verbs


def _each(group: list[str]) -> list[tuple[str, ...]]:
    """Return what stands behind the name of a group for each of its verbs, and once nothing for what is no group."""
    return [(name,) for name in group] or [()]


def options(page_part: str) -> dict[str, list[str]]:
    """The documented options of a part of the page: their flag, default and description."""
    return {names(row[0])[0]: [names(row[1])[0].split()[0], *row[2:]] for row in rows("reference/options.md", under=page_part)}


def test_every_option_of_every_kind_is_documented_as_it_is() -> None:
    common = flags(Options.model_json_schema())
    assert options("Of every kind") == {".".join(flag.path): [flag.name, flag.default, flag.help] for flag in common}


@pytest.mark.parametrize("kind", [kind for kind in registry.kinds() if kind != "toy" and not registry.is_hidden(kind)])
def test_every_option_of_a_kind_is_documented_as_it_is(kind: str) -> None:
    service = registry.service(kind)
    common = {flag.path for flag in flags(Options.model_json_schema())}
    own = [flag for flag in flags(service.Options.model_json_schema()) if flag.path not in common]
    assert options(f"Of {service.title}") == {".".join(flag.path): [flag.name, flag.default, flag.help] for flag in own}


def test_every_dependency_has_a_line_and_every_line_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {"Always": project["dependencies"], **project["optional-dependencies"]}
    del extras["all"]
    for extra, wanted in extras.items():
        table = rows("dependencies.md", under=extra)
        assert [row[0] for row in table] == sorted(canonicalize_name(Requirement(one).name) for one in wanted)
        assert all(all(row) for row in table), f"a line of {extra} is not complete"
        assert not [row for row in table if re.search(r"(?<!L)GPL", row[3])]


def test_every_package_of_the_screens_has_a_line() -> None:
    wanted = json.loads((ROOT / "labextension" / "package.json").read_text("utf-8"))
    table = rows("dependencies.md", under="The screens")
    assert {name for row in table for name in row[0].split(", ")} == {*wanted["dependencies"], *wanted["devDependencies"]}
    assert all(all(row) for row in table)


def test_every_module_is_in_the_table_of_the_architecture() -> None:
    named = {name for row in rows("architecture.md", under="Where a behaviour lives") for name in names(row[1])}
    package = ROOT / "jupyter_dodas"
    screens = {name for name in named if name.startswith("labextension/")}
    sources = {path for path in (ROOT / "labextension" / "src").rglob("*.ts*") if ".test." not in path.name}
    assert sources
    for name in screens:
        assert (ROOT / name).is_dir() or any((ROOT / f"{name}{end}").exists() for end in (".ts", ".tsx")), name
    for source in sources:
        assert any(source.is_relative_to(ROOT / name) or source.with_suffix("") == ROOT / name for name in screens), source
    named -= screens
    for name in named - {"services/<kind>"}:
        assert (package / name).is_dir() or (package / f"{name}.py").exists(), f"there is no {name}"
    found = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    for module in found:
        kind = module.parts[0] == "services" and len(module.parts) > 2
        if not kind and not module.name.startswith("__init__"):
            assert any(module.is_relative_to(name) for name in named), f"{module} is in no row"


def test_every_mark_of_ours_is_backed_by_tests() -> None:
    table = [row for row in rows("comparison.md") if row[0] != "feature"]
    assert len(table) > 20
    for feature, ours, *_, shown in table:
        file = ""
        for name in names(shown):
            if "/" in name:
                file = name if "." in name.rpartition("/")[2] else f"{name}.py"
                assert (ROOT / "tests" / file).resolve().is_file(), f"there is no {file}"
            else:
                assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file} has no {name}"
        assert bool(file) == (ours != "○"), feature
