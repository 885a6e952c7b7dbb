"""Which lines of a log are new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.aio.logs import added


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "", ""),
        ("", "ab", "ab"),
        ("ab", "ab", ""),
        ("ab", "abc", "c"),
        ("abc", "bcd", "d"),
        ("abc", "xyz", "xyz"),
        ("abc", "", ""),
    ],
)
def test_lines_that_are_new(before: str, now: str, new: str) -> None:
    assert list(added(list(before), list(now))) == list(new)


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_every_line_once_through_a_window(window: int, first: int, more: int) -> None:
    said = [str(number) for number in range(first + more)]
    before, now = said[:first][-window:], said[-window:]
    assert list(added(before, now)) == said[first:][-window:]
