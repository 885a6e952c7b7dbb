"""How stages are named, and what is made of all that a Connect server tells."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_dodas.services.spark.work import ConnectObserver, named


@pytest.mark.parametrize(
    ("site", "name"),
    [
        ("sum at /tmp/ipykernel_17/1518586673.py:2", "Stage 3: sum at line 2"),
        ("count at <ipython-input-1-0123>:12", "Stage 3: count at line 12"),
        ("first at NativeMethodAccessorImpl.java:0", "Stage 3: first"),
        ("treeAggregate at RDDLossFunction.scala:61", "Stage 3: treeAggregate"),
        ("sum at /home/ada/skim.py:7", "Stage 3: sum at /home/ada/skim.py:7"),
        ("my own words", "Stage 3: my own words"),
        ("", "Stage 3"),
    ],
)
def test_a_stage_is_named_without_files_that_no_reader_knows(site: str, name: str) -> None:
    assert named(3, site) == name


class Session:
    """What an observer asks of a session."""

    is_stopped = False
    hear: Callable[..., None]

    def registerProgressHandler(self, handler: Callable[..., None]) -> None:  # noqa: N802 - Spark's name
        self.hear = handler


def stages(*numbers: tuple[int, int, int, bool]) -> Any:
    return [
        SimpleNamespace(stage_id=number, num_tasks=total, num_completed_tasks=done, done=over)
        for number, total, done, over in numbers
    ]


def test_what_a_server_tells_becomes_stages() -> None:
    session = Session()
    observer = ConnectObserver(session)
    began = time.time()
    assert observer.look(began) == []
    session.hear(stages=stages((0, 20, 20, True), (1, 4, 0, False)), inflight_tasks=2, operation_id="a", done=False)
    first, second = observer.look(began)
    assert (first.name, first.total, first.done, first.running, first.over) == ("Stage 0", 20, 20, 0, True)
    assert (second.total, second.done, second.running, second.over) == (4, 0, 2, False)

    # Failed attempts count as completed, and what is left out is told of with none.
    session.hear(stages=stages((0, 20, 23, True), (1, 4, 0, False), (2, 1, 1, True)), inflight_tasks=0, operation_id="a", done=True)
    assert [(work.name, work.done, work.over) for work in observer.look(began)] == [("Stage 0", 20, True), ("Stage 2", 1, True)]
    assert observer.look(time.time() + 1) == [], "it was over before that"
    assert not observer.over()
    session.is_stopped = True
    assert observer.over()
