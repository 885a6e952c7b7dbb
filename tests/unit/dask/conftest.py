"""Clusters of processes: one that all tests share and none may hurt, and fresh ones."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_processes import Processes


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    processes = Processes(tmp_path_factory.mktemp("shared"))
    try:
        processes.start("scheduler", "worker-1", "worker-2")
        asyncio.run(processes.complete())
        yield processes
    finally:
        processes.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Processes]]:
    made: list[Processes] = []

    def make(*names: str, **options: Any) -> Processes:
        processes = Processes(tmp_path / str(len(made)), **options)
        made.append(processes)
        processes.start(*names)
        return processes

    yield make
    for processes in made:
        processes.stop()
