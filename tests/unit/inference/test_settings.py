"""Settings of the server: read from flags and files, refused with a sentence, and all of them documented."""

import re
from pathlib import Path

import pytest

from jupyter_dodas.cli import exits
from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.inference.command import Exit
from jupyter_dodas.inference.settings import Settings, load

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "tfaas-server.md").read_text("utf-8")


def rows(under: str) -> list[list[str]]:
    part = PAGE.split(f"## {under}\n")[1].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")][1:]


def test_every_setting_is_documented_as_it_is() -> None:
    def default(name: str) -> str:
        field = Settings.model_fields[name]
        value = field.get_default()
        return "must be given" if field.is_required() else "none" if value in (None, "", ()) else f"`{value}`"

    known = [[f"`{name}`", default(name), str(field.description)] for name, field in Settings.model_fields.items()]
    assert rows("Settings") == known


def test_every_exit_code_is_documented_and_means_what_it_means_elsewhere() -> None:
    assert [int(row[0]) for row in rows("The end")] == list(Exit)
    assert all(exits.Exit[code.name].value == code.value for code in Exit)


def test_the_example_is_understood(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "file").write_text(found[1])
    read = load(tmp_path / "file")
    assert (read.upload_groups, read.folder) == (("cms/trainers",), Path("models").absolute())
    assert load(tmp_path / "file", port="1").port == 1, "flags win"


@pytest.mark.parametrize(("text", "size"), [("100", 100), ("2GiB", 2 << 30), ("64 MB", 64_000_000), ("1.5 KiB", 1536), (7, 7)])
def test_sizes_may_have_units(tmp_path: Path, text: object, size: int) -> None:
    assert load(None, folder=tmp_path, anonymous="all", body_cap=text).body_cap == size


@pytest.mark.parametrize("text", ["", "GiB", "1 apple", "-1", "0", "1.5.2 MB"])
def test_what_is_no_size_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSetting, match="body_cap"):
        load(None, folder=tmp_path, anonymous="all", body_cap=text)
