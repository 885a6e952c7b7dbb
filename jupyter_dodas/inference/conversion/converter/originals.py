"""Open what was uploaded, whatever its format. Graphs of TensorFlow are looked through before they are loaded."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.errors import ModelRefused
from jupyter_dodas.inference.conversion.converter import graphs, runtimes
from jupyter_dodas.inference.conversion.converter.messages import Job
from jupyter_dodas.inference.conversion.converter.original import Original
from jupyter_dodas.inference.records import Format

__all__ = ["opened", "said"]

_EXPORT: Final = 'Use model.export("folder") and upload the folder, as deploy() does.'


def opened(job: Job, path: Path, work: Path) -> Original:
    """Return what was uploaded.

    Raises
    ------
    ModelRefused
    """
    try:
        return _OPENERS[job.format](path, work, job.params)
    except (ModelRefused, MemoryError):
        raise
    except Exception as error:
        raise ModelRefused(
            f"The model cannot be loaded as {job.format}",
            cause=said(error),
            remedy="Load it where it was made, and export it again.",
        ) from error


def said(error: BaseException, most: int = 1000) -> str:
    """Return the first lines of what an error says, without what is only of interest where it was raised."""
    text = str(error).strip() or type(error).__name__
    return " ".join(text.split())[:most].rstrip(".")


def _keras(path: Path, work: Path) -> Original:
    import keras

    _look_into(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (TypeError, ValueError) as error:
        raise ModelRefused("The Keras file cannot be loaded", cause=said(error), remedy=_EXPORT) from error
    exported = work / "exported"
    model.export(str(exported), verbose=False)
    return graphs.saved_model(exported, work)


def _look_into(path: Path) -> None:
    """Refuse code in a Keras file before Keras sees it."""
    with zipfile.ZipFile(path) as file:
        if file.getinfo("config.json").file_size > 64 << 20:
            raise ModelRefused("The Keras file is too large", cause="Its config.json has more than 64 MiB.", remedy=_EXPORT)
        config = json.loads(file.read("config.json"))
    left = [config]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if one.get("class_name") in ("Lambda", "__lambda__"):
                raise ModelRefused(
                    "The model has a Lambda layer, which is Python code",
                    cause="Code that comes with a file is not run here.",
                    remedy=_EXPORT,
                )
            left += one.values()
        elif isinstance(one, list):
            left += one


_OPENERS: Final[Mapping[Format, Callable[[Path, Path, Mapping[str, Any]], Original]]] = {
    "saved-model": lambda path, work, _: graphs.saved_model(path, work),
    "keras": lambda path, work, _: _keras(path, work),
    "frozen-graph": graphs.frozen,
    "onnx": lambda path, *_: runtimes.onnx(path),
    "tflite": lambda path, *_: runtimes.tflite(path),
}
