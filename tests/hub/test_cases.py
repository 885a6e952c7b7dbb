"""The cases that the page on security lists: each has tests, which are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

Case = tuple[int, str, list[tuple[str, str]]]


def cases() -> list[Case]:
    """The rows of the table: number, what is tried, and the tests as file and function."""
    page = (TESTS.parent / "docs" / "security.md").read_text("utf-8")
    found: list[Case] = []
    for number, what, cell in re.findall(r"^\| (\d+) \| (.*?) \| (.*) \|$", page, re.MULTILINE):
        file, tests = "", []
        for name in re.findall(r"`([^`]+)`", cell):
            if "/" in name:
                file = name
            else:
                tests.append((file, name))
        found.append((int(number), what, tests))
    return found


def test_there_are_all_25() -> None:
    assert [number for number, _, _ in cases()] == list(range(1, 26))


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case[0]}: {case[1]}")
def test_case_is_tried(case: Case) -> None:
    _, _, tests = case
    assert tests
    for file, name in tests:
        assert f"def {name}(" in (TESTS / f"{file}.py").read_text("utf-8"), f"{file} has no {name}"
