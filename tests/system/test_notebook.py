"""What a notebook shows: a launch that changes below its own cell, and the representations of clusters and logs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place


@dataclass
class Cell:
    """A cell that was run, with the outputs that are its own."""

    displays: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Every state of each display that can be updated."""
    result: dict[str, str] = field(default_factory=dict)
    error: str = ""
    done: bool = False


class Kernel:
    """A real kernel, spoken to as a notebook does."""

    def __init__(self, manager: KernelManager) -> None:
        self._manager = manager
        self._client: BlockingKernelClient = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._cells: dict[str, Cell] = {}

    def start(self, source: str) -> Cell:
        """Begin to run a cell."""
        cell = self._cells[self._client.execute(source)] = Cell()
        return cell

    def run(self, source: str) -> Cell:
        """Run a cell to its end."""
        cell = self.start(source)
        blocking_until(lambda: self.hear(cell), within=60)
        return cell

    def interrupt(self) -> None:
        """Do what the stop button does."""
        self._manager.interrupt_kernel()

    def hear(self, cell: Cell) -> bool:
        """Take what the kernel said, and tell whether the cell is done."""
        try:
            while True:
                self._take(self._client.get_iopub_msg(timeout=0.05))
        except Empty:
            return cell.done

    def _take(self, message: Any) -> None:
        cell = self._cells.get(message["parent_header"].get("msg_id"), Cell())
        content = message["content"]
        match message["msg_type"]:
            case "display_data" | "update_display_data":
                cell.displays.setdefault(content["transient"]["display_id"], []).append(content["data"])
            case "execute_result":
                cell.result = content["data"]
            case "error":
                cell.error = "\n".join(content["traceback"])
            case "status":
                cell.done = content["execution_state"] == "idle"

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(place: Place) -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(place.root / "kernel"))
    manager.start_kernel(env={**place.variables, "PATH": "/usr/bin:/bin", "HOME": str(place.root)}, cwd=str(place.root))
    made = Kernel(manager)
    made.run("import jupyter_dodas as dodas")
    yield made
    made.close()


def test_a_launch_changes_below_its_own_cell(kernel: Kernel) -> None:
    cell = kernel.run("cluster = dodas.toy(workers=2, name='higgs')\ncluster")
    (states,) = cell.displays.values()
    assert states[0]["text/plain"].startswith("higgs  toy  ○ pending")
    assert all(before != after for before, after in pairwise(states)), "nothing is drawn twice"
    assert states[-1]["text/plain"].startswith("● higgs is ready after")
    assert "2 workers" in cell.result["text/plain"]
    assert 'class="dodas-card"' in cell.result["text/html"]

    listed = kernel.run("dodas.list()").result
    assert "dodas-table" in listed["text/html"]
    assert kernel.run("cluster.logs()").result["text/plain"].startswith("── hub ──")
    (again,) = kernel.run("cluster.restart()").displays.values()
    assert again[-1]["text/plain"].startswith("● higgs is ready after")
    assert kernel.run("cluster.stop()\ncluster").result["text/plain"] == "□ higgs has stopped"


def test_interrupting_a_launch_removes_what_was_half_made(kernel: Kernel) -> None:
    cell = kernel.start("dodas.toy(fail='drone', name='half')")
    blocking_until(lambda: kernel.hear(cell) or "Drones" in str(cell.displays), within=30)
    kernel.interrupt()
    blocking_until(lambda: kernel.hear(cell), within=30)
    (states,) = cell.displays.values()
    assert states[-1]["text/plain"] == "□ half: interrupted; it was removed"
    assert kernel.run("dodas.list()").result["text/plain"] == "No clusters."


def test_a_failed_launch_is_told_in_words(kernel: Kernel) -> None:
    cell = kernel.run("dodas.toy(fail='hub', name='bad')")
    (states,) = cell.displays.values()
    assert states[-1]["text/plain"] == "✕ bad has failed"
    assert cell.error.startswith("LaunchFailed: ")
    assert "the hub was asked to fail" in cell.error
    assert "hint: " in cell.error
    assert "site-packages" not in cell.error, "a sentence, not a stack trace"
    failed = kernel.run("dodas.connect('bad')").result
    assert "✕ failed" in failed["text/plain"]
    assert "the hub was asked to fail" in failed["text/html"]
    kernel.run("dodas.connect('bad').stop()")
