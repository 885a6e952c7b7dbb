"""What the master and the drivers say becomes a report."""

from typing import Any

import pytest

from jupyter_dodas.services.spark import conf
from jupyter_dodas.services.spark.pages import Load, Master, load


def a_worker(identifier: str, port: int, **change: Any) -> dict[str, Any]:
    return {"id": identifier, "host": "127.0.0.1", "port": port, "state": "ALIVE", "coresused": 0, **change}


def test_workers_are_told_by_their_ports() -> None:
    page = {
        "status": "ALIVE",
        "workers": [a_worker("a", 1), a_worker("b", 2, coresused=1), a_worker("c", 3, state="DEAD", coresused=1)],
        "activeapps": [{"id": "app-1", "starttime": 5000}],
    }
    found = Master.of(page)
    assert found.alive == {("127.0.0.1", 1), ("127.0.0.1", 2)}
    assert found.used == {("127.0.0.1", 2)}
    assert found.identifiers["c"] == ("127.0.0.1", 3)
    assert found.applications == {"app-1": 5.0}


def test_a_master_that_recovers_knows_nothing_yet() -> None:
    assert Master.of({"status": "RECOVERING", "workers": [a_worker("a", 1)], "activeapps": []}) == Master()


@pytest.mark.parametrize("page", [{}, [], None, 7, {"status": "ALIVE"}, {"status": "ALIVE", "workers": [{}], "activeapps": []}])
def test_other_pages_are_no_masters(page: Any) -> None:
    with pytest.raises(ValueError, match="no page of a master"):
        Master.of(page)


def an_executor(identifier: str, worker: str, tasks: int, *, active: bool = True) -> dict[str, Any]:
    logs = {"stderr": f"/proxy/{worker}/logPage/?appId=app-1&executorId={identifier}&logType=stderr"}
    return {"id": identifier, "isActive": active, "activeTasks": tasks, "executorLogs": logs}


def test_busy_is_a_worker_whose_executor_runs_a_task() -> None:
    executors = [
        {"id": "driver", "isActive": True, "activeTasks": 3, "executorLogs": {}},
        an_executor("0", "worker-a", 2),
        an_executor("1", "worker-b", 0),
        an_executor("2", "worker-c", 1, active=False),
    ]
    stages = [{"numTasks": 10, "numCompleteTasks": 3}, {"numTasks": 2, "numCompleteTasks": 0}]
    assert load(executors, stages) == Load(9, frozenset({"worker-a"}))


@pytest.mark.parametrize(("tasks", "cores", "workers"), [(0, 1, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (3, 0, 3)])
def test_tasks_want_workers(tasks: int, cores: int, workers: int) -> None:
    assert Load(tasks).workers(cores) == workers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2g", 2 * 2**30),
        ("512m", 2**29),
        ("512MB", 2**29),
        ("1024", 2**30),
        ("100b", 100),
        ("lots", None),
        ("2 g", None),
        ("", None),
    ],
)
def test_sizes_are_read_as_spark_reads_them(text: str, found: int | None) -> None:
    assert conf.size(text) == found
