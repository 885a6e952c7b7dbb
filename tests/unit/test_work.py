"""What clusters do for a cell: what is known of it, when it is worth showing, and how it is told."""

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from jupyter_dodas.display.work import MIME, Following, bundle
from jupyter_dodas.services.work import Work

NASTY = "<script>alert('x')</script>&"
SPARK = Following("Spark", "skim", "stage", "task")
DASK = Following("Dask", "higgs", "", "task")
OPEN = Work("Stage 3: sum at line 2", total=128, done=96, running=4, failed=1)
DONE = Work("Stage 2: map at line 1", total=32, done=32, over=True)


def followed(start: Following, *looks: tuple[float, Sequence[Work]]) -> Following:
    """What is known after some looks."""
    for now, works in looks:
        start = start.seen(works, now)
    return start


def test_time_counts_from_the_last_look_without_work_to_the_first_at_which_it_is_over() -> None:
    known = followed(SPARK, (0.5, []), (0.8, [OPEN]), (1.1, [OPEN]))
    assert known.seconds == pytest.approx(0.6)
    known = followed(known, (2.5, [DONE]), (9.0, [DONE]), (9.5, []))
    assert known.seconds == pytest.approx(2.0)
    assert followed(known, (10.0, [DONE, OPEN])).seconds == pytest.approx(9.5), "there is more"


@pytest.mark.parametrize(
    ("looks", "due"),
    [
        ([], False),
        ([(5.0, [])], False),
        ([(0.5, [OPEN])], False),
        ([(0.5, [OPEN]), (1.1, [OPEN])], True),
        ([(5.0, []), (5.3, [OPEN])], False),
        ([(0.5, [DONE]), (5.0, [DONE])], False),
    ],
)
def test_only_work_that_lasts_is_worth_showing(looks: Sequence[tuple[float, Sequence[Work]]], due: bool) -> None:
    assert followed(SPARK, *looks).due is due


def test_nothing_is_drawn_twice() -> None:
    shown = followed(SPARK, (1.0, [OPEN]))
    assert not followed(shown, (1.3, [OPEN])).differs(shown)
    assert followed(shown, (1.3, [replace(OPEN, done=97)])).differs(shown)
    assert followed(shown, (7.0, [OPEN])).differs(shown), "time has passed"


@pytest.mark.parametrize(
    ("start", "works", "line"),
    [
        (SPARK, [DONE, replace(DONE, total=96, done=96), DONE], "✓ Spark: 3 stages, 160 tasks in 4.2 s"),
        (SPARK, [replace(DONE, failed=2)], "▲ Spark: 1 stage, 32 tasks in 4.2 s, 2 failed"),
        (DASK, [OPEN], "✕ Dask: 96 of 128 tasks in 4.2 s, 1 failed"),
        (DASK, [replace(OPEN, failed=0)], "□ Dask: 96 of 128 tasks in 4.2 s"),
        (DASK, [Work("inc", 1, 1, over=True)], "✓ Dask: 1 task in 4.2 s"),
    ],
)
def test_one_line_tells_it_afterwards(start: Following, works: Sequence[Work], line: str) -> None:
    said = bundle(followed(start, (4.2, works)), final=True)
    assert said["text/plain"] == line
    assert line[2:] in said["text/html"]
    assert said[MIME]["state"] == "ended"
    assert said[MIME]["works"] == [], "a notebook as it is saved holds the line, and no more"
    assert said[MIME]["sum"]["total"] == sum(work.total for work in works)


def test_while_it_runs_bars_and_numbers_tell_it() -> None:
    said = bundle(followed(SPARK, (3.0, [DONE, OPEN])))
    assert said["text/plain"].splitlines() == [
        "Spark, skim: 128 of 160 tasks, 4 running, 1 failed, 3.0 s",
        "  Stage 2: map at line 1  32 of 32",
        "  Stage 3: sum at line 2  96 of 128, 4 running, 1 failed",
    ]
    data = said[MIME]
    assert (data["version"], data["state"], data["title"], data["cluster"]) == (1, "running", "Spark", "skim")
    assert data["works"][1] == {"name": OPEN.name, "total": 128, "done": 96, "running": 4, "failed": 1, "over": False}
    assert data["sum"] == {"rows": 2, "total": 160, "done": 128, "running": 4, "failed": 1}
    assert 'aria-valuetext="96 of 128, 4 running, 1 failed"' in said["text/html"]


def test_of_many_those_under_way_and_the_latest_are_shown() -> None:
    works = [replace(DONE, name=f"Stage {number}") for number in range(100)]
    works[10] = OPEN
    said = bundle(followed(SPARK, (3.0, works)))
    assert [work["name"] for work in said[MIME]["works"]] == [OPEN.name, *(f"Stage {number}" for number in range(95, 100))]
    assert said[MIME]["sum"]["rows"] == 100
    assert said["text/plain"].endswith("and 94 more")


class Tags(HTMLParser):
    """Which tags there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.add(tag)


def test_names_are_text_whatever_they_hold() -> None:
    following = followed(replace(SPARK, cluster=NASTY, title=NASTY), (3.0, [replace(OPEN, name=f'{NASTY}" onload="x')]))
    for final in (False, True):
        page = bundle(following, final=final)["text/html"]
        assert "script" not in Tags(page).found
        assert 'onload="x' not in page
