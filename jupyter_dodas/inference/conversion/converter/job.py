"""One conversion, from the first look at what was uploaded to the last measurement, in a process that can do little else."""

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import keras  # noqa: F401 - imported before it is forked
import msgspec
import numpy as np
import tensorflow as tf  # noqa: F401 - as above

from jupyter_dodas.errors import DodasError, ModelRefused
from jupyter_dodas.inference.confinement.sandbox import confine, libraries
from jupyter_dodas.inference.conversion.converter import comparing, measuring, originals
from jupyter_dodas.inference.conversion.converter.candidates import candidates
from jupyter_dodas.inference.conversion.converter.messages import Converted, Job, Refused, Said, Step
from jupyter_dodas.inference.conversion.converter.original import Array, Original
from jupyter_dodas.inference.records import Check
from jupyter_dodas.inference.versions.tree import is_full

__all__ = ["run"]

_NAMES: Final = {"litert": "LiteRT", "onnx": "ONNX Runtime", "tensorflow": "TensorFlow"}


def run(job: Job, tell: int) -> None:
    """Do it, and say how it goes to a descriptor. Never raises."""

    def say(message: Said) -> None:
        os.write(tell, msgspec.json.encode(message) + b"\n")

    try:
        say(_convert(job, say))
    except DodasError as error:
        say(Refused(error.message, error.cause, error.remedy))
    except MemoryError:
        cause = f"It needs more than the {job.memory >> 20} MiB that a conversion may take."
        say(Refused("The model is too large", cause, "Upload a smaller one."))
    except Exception as error:  # noqa: BLE001 - whatever a library raises is about the model
        if isinstance(error, OSError) and is_full(error):
            say(
                Refused(
                    "There is no space left for the model", str(error), "Delete models that nobody needs, or make room.", full=True
                )
            )
            return
        say(Refused("The model cannot be converted", originals.said(error), "Load it where it was made, and export it again."))


def _convert(job: Job, say: Callable[[Said], None]) -> Converted:
    folder = Path(job.folder)
    work = folder / "work"
    os.environ["TMPDIR"] = str(work)
    os.chdir(work)
    given = [folder / "original", *([Path(job.examples)] if job.examples else [])]
    layers = confine(
        [*libraries(), *given], [folder / "engine", work], memory=job.memory, cpu=job.seconds, files=1024, size=job.size
    )
    clock = _Clock(say)
    original = originals.opened(job, folder / "original" / job.path, work)
    rows = comparing.rows(original, _examples(job.examples, original))
    clock.step("Loaded")
    chosen, tolerance, reasons = _choose(original, rows, folder, clock)
    clock.step("Compared")
    microseconds = measuring.speed(chosen, rows)
    clock.step("Measured")
    check = Check(
        compared=rows.count if chosen.engine != original.engine else 0,
        tolerance=tolerance,
        seconds=clock.seconds,
        microseconds=microseconds,
        memory=chosen.memory,
        layers=(*layers, "deadline"),
        note=f"{_NAMES[chosen.engine]} serves it, because {'; '.join(reasons)}." if reasons else "",
    )
    return Converted(chosen.engine, rows.signature, check)


def _choose(original: Original, rows: comparing.Rows, folder: Path, clock: "_Clock") -> tuple[measuring.Chosen, float, list[str]]:
    """Return the first engine that gives what the original gives, and why those before it do not serve."""
    engine, reasons = folder / "engine", list[str]()
    for candidate in candidates(original):
        name = _NAMES[candidate.engine]
        try:
            _empty(engine)
            candidate.make(engine)
            chosen = measuring.opened(candidate.engine, original, rows, folder)
            clock.step("Converted")
            difference = 0.0 if candidate.same else comparing.difference(chosen, rows)
        except Exception as error:
            if candidate.same or (isinstance(error, OSError) and is_full(error)):
                raise
            reasons.append(f"{name} cannot run {_what(error)}")
            continue
        if difference <= comparing.TOLERANCE:
            return chosen, difference, reasons
        reasons.append(f"{name} differs from it by {difference:.1g}")
    raise AssertionError("the last candidate is the original itself")


def _what(error: Exception) -> str:
    """Return the operations that an engine does not know, if it says so, or what else it says."""
    text = str(error)
    listed = [name.strip() for names in re.findall(r"(?:Custom|TF Select) ops: ([\w, ]+)", text) for name in names.split(",")]
    found = listed or re.findall(r"No Op registered for (\w+)", text) or re.findall(r"'tf\.(\w+)' op", text)
    return ", ".join(dict.fromkeys(found)) or f"it ({originals.said(error, 200)})"


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _examples(file: str, original: Original) -> list[Array] | None:
    if not file:
        return None
    names = [tensor.name for tensor in original.signature.inputs]
    try:
        with np.load(file, allow_pickle=False) as there:
            found = {name: there[name] for name in there.files}
    except Exception as error:
        raise ModelRefused(
            "The examples cannot be read", cause=originals.said(error), remedy="Send an npz file of plain numbers."
        ) from error
    if len(names) == len(found) == 1:
        return list(found.values())
    if set(names) != set(found):
        raise ModelRefused(
            "The examples do not fit the model",
            cause=f"They are for {', '.join(sorted(found))}; its inputs are {', '.join(names)}.",
            remedy="Give an array for each input, by its name.",
        )
    return [found[name] for name in names]


class _Clock:
    """What took how long, in seconds, said as it happens."""

    def __init__(self, say: Callable[[Said], None]) -> None:
        self._say, self._last = say, time.monotonic()
        self.seconds: dict[str, float] = {}

    def step(self, name: str) -> None:
        now = time.monotonic()
        if name not in self.seconds:
            self._say(Step(name))
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._last, 3)
        self._last = now
