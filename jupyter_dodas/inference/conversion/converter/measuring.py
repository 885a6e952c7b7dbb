"""Open a model in the engine that is to serve it, by the code that serves it, and see what that takes."""

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jupyter_dodas.inference.conversion.converter.comparing import Rows
from jupyter_dodas.inference.conversion.converter.original import Array, Original
from jupyter_dodas.inference.execution import engines
from jupyter_dodas.inference.records import Engine, Lineage, Manifest

__all__ = ["Chosen", "opened", "speed"]

_SECONDS: Final = 0.05
_RUNS: Final = 200


@dataclass(frozen=True)
class Chosen:
    """A model in an engine.

    Parameters
    ----------
    memory
        Bytes that it took to open it and to run it once: for TensorFlow, all that the process has.
    """

    engine: Engine
    model: engines.Runnable
    memory: int

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Return outputs in the order of the signature."""
        return self.model.run(inputs)


class _Itself:
    """The original as TensorFlow runs it. The engine's module is for processes of their own: it sets up TensorFlow."""

    def __init__(self, original: Original) -> None:
        self.run = original.call


def opened(engine: Engine, original: Original, rows: Rows, folder: Path) -> Chosen:
    """Open what is in ``engine/``, and run it once."""
    before = _resident() if engine != "tensorflow" else 0
    if engine == "tensorflow":
        model: engines.Runnable = _Itself(original)
    else:
        lineage = Lineage(owner="", created=0.0)
        manifest = Manifest(model="-", version="", format="saved-model", engine=engine, signature=rows.signature, lineage=lineage)
        model = engines.load(engine)(manifest, folder)
    model.run(rows.inputs[0])
    return Chosen(engine, model, max(0, _resident() - before))


def speed(chosen: Chosen, rows: Rows) -> float:
    """Return the microseconds that one row takes, as the median of some calls."""
    inputs = rows.inputs[0]
    count = len(inputs[0]) if inputs and inputs[0].ndim else 1
    taken: list[float] = []
    end = time.perf_counter() + _SECONDS
    while not taken or (time.perf_counter() < end and len(taken) < _RUNS):
        begin = time.perf_counter()
        chosen.run(inputs)
        taken.append(time.perf_counter() - begin)
    return round(statistics.median(taken) / count * 1e6, 2)


def _resident() -> int:
    fields = Path("/proc/self/statm")
    if not fields.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(fields.read_text().split()[1]) * resource.getpagesize()
