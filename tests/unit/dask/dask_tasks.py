"""Tasks that tests run on workers, which find this module by their PYTHONPATH."""

import os
import time
from pathlib import Path

from distributed import get_worker, secede

__all__ = ["count_and_wait", "hold", "secede_and_wait", "touch", "wait_for_file", "where_after"]


def wait_for_file(path: str, number: int) -> int:
    """Return `number` once the file is there."""
    while not Path(path).exists():
        time.sleep(0.01)
    return number


def where_after(path: str) -> str:
    """Return the name of the worker that it runs on, once the file is there."""
    wait_for_file(path, 0)
    return str(get_worker().name)


def secede_and_wait(path: str) -> None:
    """Wait outside the worker's thread pool."""
    secede()  # type: ignore[no-untyped-call]
    wait_for_file(path, 0)


def count_and_wait(folder: str, number: int) -> int:
    """Note that it began, wait for the file ``gate``, and return `number`."""
    touch(folder, number)
    return wait_for_file(f"{folder}/gate", number)


def touch(folder: str, number: int) -> int:
    """Note that it ran, in a file of its own for every run."""
    Path(folder, f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return number


def hold(size: int, path: str) -> int:
    """Hold so many bytes in memory until the file is there."""
    held = b"x" * size
    return wait_for_file(path, len(held))
