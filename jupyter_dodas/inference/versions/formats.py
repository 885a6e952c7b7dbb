"""What an unpacked upload is: which format, which file, and what TFaaS's ``params.json`` and labels say of it.

Nothing here reads a model; that is done in the sandbox.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from jupyter_dodas.errors import ModelRefused
from jupyter_dodas.inference.records import Format
from jupyter_dodas.inference.versions.tree import files_below

__all__ = ["Bundle", "Found", "read_bundle", "recognised"]

_SUFFIXES: Final[Mapping[str, Format]] = {".keras": "keras", ".onnx": "onnx", ".tflite": "tflite", ".pb": "frozen-graph"}
_REFUSED: Final[Mapping[str, str]] = {
    ".h5": "Save it in Keras's present format: model.save('model.keras'), or model.export('folder').",
    ".hdf5": "Save it in Keras's present format: model.save('model.keras'), or model.export('folder').",
    ".pbtxt": "Write it in the binary form: saved_model.pb.",
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin"), "Export it as ONNX: a pickle is a program, which is not run here."
    ),
}
_WANTED: Final = "Upload a SavedModel folder, or one .keras, .onnx, .tflite or frozen .pb file."
_SAVED_MODEL: Final = "saved_model.pb"
_BESIDE: Final = {"keras_metadata.pb", "fingerprint.pb"}
_MOST_TEXT: Final = 4 * 1024 * 1024


class Found(msgspec.Struct, frozen=True):
    """A model among the files of an upload.

    Parameters
    ----------
    path
        Of the file, or of the folder of a SavedModel, in the folder that was looked at; ``"."`` is that itself.
    """

    format: Format
    path: str


class Bundle(msgspec.Struct, frozen=True):
    """What an upload in the manner of TFaaS says of itself.

    Parameters
    ----------
    name
        Of the model: from ``params.json``, else of the only folder; empty if neither is there.
    """

    name: str = ""
    labels: tuple[str, ...] = ()
    params: dict[str, Any] = {}


def recognised(folder: Path, params: Mapping[str, Any] | None = None) -> Found:
    """Return which model the files are.

    Parameters
    ----------
    params
        ``params.json``: its ``model`` settles which file is meant.

    Raises
    ------
    ModelRefused
        If there is none, or more than one.
    """
    files = {PurePosixPath(name): path for name, path in files_below(folder).items() if not _hidden(name)}
    saved = [name for name in files if name.name == _SAVED_MODEL]
    found = [Found("saved-model", str(name.parent)) for name in saved]
    if not found:
        found = [
            Found(_SUFFIXES[name.suffix.lower()], str(name))
            for name in files
            if name.suffix.lower() in _SUFFIXES and name.name not in _BESIDE
        ]
    meant = str((params or {}).get("model", ""))
    if len(found) > 1 and meant:
        found = [one for one in found if PurePosixPath(one.path).name == PurePosixPath(meant).name] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(one.path[:60] for one in found)[:5])
        raise ModelRefused("The upload holds more than one model", cause=f"Found: {names}.", remedy="Upload them one by one.")
    for name in files:
        if (remedy := _REFUSED.get(name.suffix.lower())) is not None:
            raise ModelRefused(
                f"{name.name[:80]!r} is in a format that is not served", cause="It is outdated, or executes code.", remedy=remedy
            )
    held = ", ".join(str(name)[:60] for name in sorted(files)[:5]) or "nothing"
    raise ModelRefused("The upload holds no model", cause=f"There is: {held}.", remedy=_WANTED)


def read_bundle(folder: Path) -> Bundle:
    """Return what ``params.json`` and the file of labels say, be they at the root or in a folder.

    Raises
    ------
    ModelRefused
        If ``params.json`` is there, but cannot be read.
    """
    files = [path for name, path in sorted(files_below(folder).items()) if not _hidden(name)]
    told = next((path for path in files if path.name == "params.json"), None)
    params = _params(told) if told else {}
    tops = {path.relative_to(folder).parts[0] for path in files if len(path.relative_to(folder).parts) > 1}
    alone = tops.pop() if len(tops) == 1 and not any(path.parent == folder for path in files) else ""
    wanted = PurePosixPath(str(params.get("labels") or "")).name
    names = [wanted] if wanted else ["labels.txt", "labels.csv"]
    listed = next((path for path in files if path.name in names), None)
    return Bundle(str(params.get("name") or alone), _labels(listed) if listed else (), params)


def _params(file: Path) -> dict[str, Any]:
    try:
        params = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise ModelRefused("params.json cannot be read", cause=str(error)[:200], remedy="It has to be a JSON object.") from error
    if not isinstance(params, dict):
        raise ModelRefused("params.json cannot be read", cause="It holds something else.", remedy="It has to be a JSON object.")
    return params


def _labels(file: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in _text(file).splitlines() if line.strip())


def _text(file: Path) -> str:
    if file.stat().st_size > _MOST_TEXT:
        raise ModelRefused(
            f"{file.name} is too large", cause=f"It has {file.stat().st_size} bytes.", remedy=f"Keep it below {_MOST_TEXT}."
        )
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelRefused(f"{file.name} is not text", cause=str(error)[:200], remedy="Write it in UTF-8.") from error


def _hidden(name: str) -> bool:
    """Whether a file is there only because of the machine that packed it."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)
