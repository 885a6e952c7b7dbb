"""What clusters do for a running cell, as a notebook hears of it: with kernels, Dask and Spark as they are."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place
from tests.spark import SMALL, UP
from tests.system.test_notebook import Cell, Kernel, started

MIME: Final = "application/vnd.jupyter-dodas.progress+json"

GATED: Final = """
import os, time
def gated(number, gate={gate!r}):
    while not os.path.exists(gate):
        time.sleep(0.02)
    return number
"""


@pytest.fixture
def open_kernel(place: Place) -> Iterator[Callable[..., Kernel]]:
    """Start kernels that work until a gate is there: `place.root / "gate"`."""
    waiting = []

    def opened(**variables: str) -> Kernel:
        context = started(place, variables)
        made = context.__enter__()
        waiting.append(context)
        made.run("import jupyter_dodas as dodas" + GATED.format(gate=str(gate(place))))
        return made

    yield opened
    gate(place).touch()
    for context in waiting:
        context.__exit__(None, None, None)


def gate(place: Place) -> Path:
    return place.root / "gate"


def told(cell: Cell) -> Sequence[Any]:
    """What was told of the work for a cell, which is all in one place of its output."""
    found = [states for states in cell.displays.values() if any(MIME in state for state in states)]
    assert len(found) < 2
    return [state[MIME] for states in found for state in states]


def ran(kernel: Kernel, cell: Cell, place: Place) -> Sequence[Any]:
    """See its work while it runs, let it go on to its end, and return all that was told."""
    blocking_until(lambda: kernel.hear(cell) or told(cell), within=UP)
    assert not cell.done, cell.error
    gate(place).touch()
    blocking_until(lambda: kernel.hear(cell), within=UP)
    gate(place).unlink()
    states = told(cell)
    assert [state["state"] for state in states] == ["running"] * (len(states) - 1) + ["ended"]
    assert all(before != after for before, after in pairwise(states)), "nothing is drawn twice"
    return states


SCRIPTED: Final = """
import threading, time
from jupyter_dodas.display import cells
from jupyter_dodas.services.work import Work

class Observer:
    title, row, item, lag = "Toy", "heap", "thing", 0.0
    closed = False
    works = ()
    def look(self, since):
        return list(self.works)
    def over(self):
        return self.closed
    def close(self):
        pass

class Hangs(Observer):
    def look(self, since):
        threading.Event().wait()

class Fails(Observer):
    def look(self, since):
        raise RuntimeError("no")

observer = Observer()
for one in (Hangs(), Fails(), observer):
    cells.observe(one, "higgs", one.title)

def until(condition):
    while not condition():
        time.sleep(0.01)
"""


def test_the_work_for_a_cell_is_told_below_it(open_kernel: Callable[..., Kernel], place: Place) -> None:
    kernel = open_kernel()
    kernel.run(SCRIPTED)
    cell = kernel.start("observer.works = [Work('first', 10, 3, 2)]; gated(0); observer.works = [Work('first', 10, 10, over=True)]")
    states = ran(kernel, cell, place)
    assert states[0]["works"] == [{"name": "first", "total": 10, "done": 3, "running": 2, "failed": 0, "over": False}]
    assert states[0]["cluster"] == "higgs"
    assert states[-1]["sum"] == {"rows": 1, "total": 10, "done": 10, "running": 0, "failed": 0}
    (shown,) = cell.displays.values()
    assert shown[-1]["text/plain"].startswith("✓ Toy: 1 heap, 10 things in ")
    assert "Toy: 1 heap" in shown[-1]["text/html"]

    quick = kernel.run("1 + 1")
    assert quick.result["text/plain"] == "2"
    assert told(quick) == []

    kernel.run("observer.works = []")
    assert told(kernel.run("time.sleep(1.5)")) == [], "it did nothing for this one"

    cell = kernel.start("observer.works = [Work('second', 4, 1)]; gated(0); raise ValueError('mine')")
    assert ran(kernel, cell, place)[-1]["sum"]["done"] == 1
    assert "mine" in cell.error

    cell = kernel.start("observer.works = [Work('third', 4, 1)]; gated(0)")
    blocking_until(lambda: kernel.hear(cell) or told(cell), within=UP)
    kernel.interrupt()
    blocking_until(lambda: kernel.hear(cell), within=UP)
    assert "KeyboardInterrupt" in cell.error
    assert told(cell)[-1]["state"] == "ended"

    kernel.run("observer.closed = True")
    kernel.run("time.sleep(0.6)")
    gone = "until(lambda: sum(thread.name.startswith('dodas-work') for thread in threading.enumerate()) == 2)"
    assert kernel.run(gone).error == "", "what watched a client that is closed has ended"


def test_dask_tells_its_tasks(open_kernel: Callable[..., Kernel], place: Place) -> None:
    kernel = open_kernel()
    kernel.run("cluster = dodas.dask(workers=1, name='higgs')\nclient = cluster.client()\nimport distributed")
    cell = kernel.start("futures = client.map(gated, range(6)); distributed.wait(futures)")
    states = ran(kernel, cell, place)
    assert (states[0]["title"], states[0]["cluster"], states[0]["sum"]["total"]) == ("Dask", "higgs", 6)
    assert states[0]["works"][0]["name"] == "gated"
    assert any(state["sum"]["running"] for state in states)
    assert states[-1]["sum"] == {"rows": 1, "total": 6, "done": 6, "running": 0, "failed": 0}
    assert told(kernel.run("time.sleep(1.5)")) == []

    fails = "def fails(number): return 1 / (gated(number) - 2)\nbroken = client.map(fails, range(4)); distributed.wait(broken)"
    assert ran(kernel, kernel.start(fails), place)[-1]["sum"] == {"rows": 1, "total": 4, "done": 3, "running": 0, "failed": 1}

    silent = open_kernel(DODAS_PROGRESS="false")
    assert "Dask" not in str(silent.run("client = dodas.connect('higgs').client()").displays)
    cell = silent.run(
        "until = time.time() + 1.5\nclient.gather(client.map(lambda n: time.sleep(max(0, until - time.time())), range(2)))"
    )
    assert cell.error == ""
    assert told(cell) == []

    # All in one cell: when it has ended, nobody is there to be asked.
    everything = (
        "client.close()\nwith dodas.connect('higgs') as found, found.client() as own:\n    own.gather(own.map(gated, range(5)))"
    )
    assert ran(kernel, kernel.start(everything), place)[-1]["sum"]["done"] == 5


@pytest.mark.timeout(600)
def test_spark_tells_its_stages(open_kernel: Callable[..., Kernel], place: Place) -> None:
    kernel = open_kernel()
    with dodas.launch("spark", name="skim", timeout=UP, warm=False, executors=1, **SMALL):
        kernel.run("spark = dodas.connect('skim').session()", within=UP)
        cell = kernel.start("print(spark.sparkContext.parallelize(range(4), 4).map(gated).sum())")
        states = ran(kernel, cell, place)
        assert cell.text == "6\n"
        assert states[0]["works"][0]["name"] == "Stage 0: sum at line 1"
        assert states[-1]["sum"] == {"rows": 1, "total": 4, "done": 4, "running": 0, "failed": 0}
        assert list(cell.displays.values())[-1][-1]["text/plain"].startswith("✓ Spark: 1 stage, 4 tasks in ")
        assert told(kernel.run("time.sleep(1.5)")) == []


@pytest.mark.timeout(600)
def test_spark_connect_tells_its_stages(open_kernel: Callable[..., Kernel], place: Place) -> None:
    kernel = open_kernel()
    with dodas.launch("spark", name="skim", timeout=UP, warm=False, executors=1, connect=True, **SMALL):
        kernel.run("spark = dodas.connect('skim').session()\nfrom pyspark.sql.functions import udf", within=UP)
        cell = kernel.start("print(len(spark.range(0, 4, 1, 4).select(udf(gated, 'long')('id')).collect()))")
        states = ran(kernel, cell, place)
        assert cell.text == "4\n"
        assert states[0]["works"][0]["name"].startswith("Stage ")
        assert states[-1]["sum"] == {"rows": 1, "total": 4, "done": 4, "running": 0, "failed": 0}
        assert told(kernel.run("time.sleep(1.5)")) == []
