"""A model on its way to an endpoint: exported by the library that it is of, packed with what is known of it and some rows.

Keras and TensorFlow are used if a model of theirs is given, and are imported by nobody else.
"""

import io
import json
import platform
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.errors import BadInput, ModelRefused, NotSupported
from jupyter_dodas.services.tfaas.inputs import columns, names_of, numbers

__all__ = ["ARCHIVE", "Known", "Sent", "known", "packed"]

ARCHIVE: Final = "application/x-tar"
_CHUNK: Final = 1 << 20

_FILES: Final[Mapping[str, str]] = {".keras": "model.keras", ".onnx": "model.onnx", ".tflite": "model.tflite", ".pb": "model.pb"}
_TARS: Final = (".tar", ".tar.gz", ".tgz")

_TOLD: Final = ("awkward", "jax", "keras", "numpy", "onnx", "pandas", "sklearn", "tensorflow", "tf_keras", "torch", "uproot")
"""Modules whose versions may tell, later, why a model is as it is."""

_ROUTES: Final[Mapping[str, str]] = {
    "sklearn": "skl2onnx.to_onnx(model, X[:1]).SerializeToString()",
    "torch": 'torch.onnx.export(model, (X,), "model.onnx")',
    "xgboost": "onnxmltools.convert_xgboost(model, initial_types=...)",
    "lightgbm": "onnxmltools.convert_lightgbm(model, initial_types=...)",
}
"""How models of other libraries become ONNX."""


@dataclass(frozen=True)
class Known:
    """What is known of a model beside its files.

    Parameters
    ----------
    keys, labels
        Names of its features and of its classes, in order.
    channels
        Of the images that it takes; 0 if it takes none.
    packages, metrics, note
        Versions where it was made, numbers that its maker gives, and a sentence.
    """

    keys: Sequence[str] = ()
    labels: Sequence[str] = ()
    channels: int = 0
    packages: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def known(
    examples: Any, keys: Sequence[str], labels: Sequence[str], channels: int, metrics: Mapping[str, float], note: str
) -> Known:
    """Return what is known of a model, with the names of features from the rows that are given, and versions of this process."""
    found = tuple(map(str, keys)) or (names_of(examples) if _is_table(examples) else ())
    numbers_given = {str(name): float(value) for name, value in metrics.items()}
    return Known(found, tuple(map(str, labels)), channels, _packages(), numbers_given, note)


@contextmanager
def packed(model: Any, about: Known, examples: Any) -> Iterator[IO[bytes]]:
    """Export a model and yield it as an archive: ``model/``, ``upload.json`` and perhaps ``examples.npz``.

    Parameters
    ----------
    model
        A model of Keras; a module or function of TensorFlow with a signature; a model or the bytes of ONNX; the path of a
        ``.keras``, ``.onnx``, ``.tflite`` or ``.pb`` file, of the folder of a SavedModel, or of a tarball of any of them.
    examples
        Some rows that it will get, to compare on; None for random ones.

    Raises
    ------
    NotSupported
        If nobody knows how to export it.
    ModelRefused
        If the export fails, or the file is not what its name says.
    BadInput
        If the rows will not do.
    """
    rows = _rows(examples, about.keys)  # first: it takes no time, and may be wrong
    with TemporaryDirectory(prefix="dodas-") as folder, TemporaryFile(prefix="dodas-") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "upload.json", json.dumps(asdict(about)).encode())
            if rows:
                _add(tar, "examples.npz", _npz(rows))
            if isinstance(model, str | Path):
                _add_path(tar, Path(model).expanduser())
            else:
                _export(model, Path(folder))
                tar.add(folder, "model", filter=_plain)
        yield file


class Sent:
    """An archive on its way, piece by piece.

    Parameters
    ----------
    done
        Is called once it has been read to its end.
    """

    def __init__(self, file: IO[bytes], done: Callable[[], None]) -> None:
        self._file, self._done = file, done
        self.size = file.seek(0, io.SEEK_END)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_CHUNK):
            yield piece
        self._done()


def _export(model: Any, folder: Path) -> None:
    """Write a model into a folder, by the library that it is of."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    is_keras = bool(libraries & {"keras", "tf_keras"}) and hasattr(model, "export")
    is_onnx = isinstance(model, bytes) or ("onnx" in libraries and hasattr(model, "SerializeToString"))
    if not (is_keras or is_onnx or "tensorflow" in libraries):
        raise _unknown(model, libraries)
    try:
        if is_keras:
            _export_keras(model, folder)
        elif is_onnx:
            (folder / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        else:
            _export_tensorflow(model, folder)
    except (ModelRefused, OSError):
        raise
    except Exception as error:
        raise ModelRefused(
            f"The export of this {type(model).__name__} failed",
            cause=f"{type(error).__name__}: {str(error).strip()[:500]}",
            remedy="A layer may have no graph; model.export(folder) alone shows the same.",
        ) from error


def _export_keras(model: Any, folder: Path) -> None:
    if not getattr(model, "built", True):
        raise ModelRefused(
            "This Keras model has no shape yet",
            cause="It was neither called nor built, so nobody knows what it takes.",
            remedy="Call it on some rows: model(X[:1]).",
        )
    model.export(str(folder), verbose=False)


def _export_tensorflow(model: Any, folder: Path) -> None:
    tensorflow: Any = sys.modules["tensorflow"]
    signature = model
    if hasattr(model, "get_concrete_function"):  # a function
        if getattr(model, "input_signature", None) is None:
            raise ModelRefused(
                "This function has no signature",
                cause="What it takes is known only for what it was called with.",
                remedy="Give it one: @tf.function(input_signature=[tf.TensorSpec([None, 9], tf.float32)]).",
            )
        signature = model.get_concrete_function()
    elif isinstance(model, tensorflow.Module):
        if getattr(model, "signatures", None):
            signature = model.signatures["serving_default"]
        elif getattr(getattr(model, "__call__", None), "input_signature", None) is not None:  # noqa: B004 - its signature is meant
            signature = model.__call__.get_concrete_function()
        else:
            raise ModelRefused(
                "This tf.Module has no signature",
                cause="Its __call__ is no tf.function that says what it takes.",
                remedy="Decorate it: @tf.function(input_signature=[tf.TensorSpec([None, 9], tf.float32)]).",
            )
    holder = model if isinstance(model, tensorflow.Module) else tensorflow.Module()
    holder.dodas_function = signature  # or its variables would not be saved
    try:
        tensorflow.saved_model.save(holder, str(folder), signatures=signature)
    finally:
        del holder.dodas_function


def _unknown(model: Any, libraries: Iterable[str]) -> NotSupported:
    route = next((_ROUTES[name] for name in libraries if name in _ROUTES), "")
    return NotSupported(
        f"A {type(model).__name__} cannot be deployed as it is",
        cause="Models of Keras, TensorFlow and ONNX can, and files of theirs.",
        remedy=f"Make ONNX of it: {route}." if route else "Give a Keras model, or the path of a model's file.",
    )


def _add_path(tar: tarfile.TarFile, path: Path) -> None:
    """Add a model that is a file or folder already."""
    if path.is_dir():
        if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise ModelRefused(
                f"{path} is no SavedModel",
                cause="It has no file saved_model.pb.",
                remedy="Give the folder that model.export() wrote.",
            )
        tar.add(path, "model", filter=_plain)
    elif not path.is_file():
        raise ModelRefused(f"There is no model {path}", cause="No such file or folder.", remedy="Look at its path.")
    elif path.name.endswith(_TARS):
        _add_members(tar, path)
    elif path.suffix in _FILES:
        tar.add(path, f"model/{_FILES[path.suffix]}", recursive=False, filter=_plain)
    else:
        raise ModelRefused(
            f"Nobody knows what {path.name} is",
            cause=f"Files that end with {', '.join((*_FILES, *_TARS))} are known, and folders of SavedModels.",
            remedy="model.export(folder) makes a SavedModel of a Keras model, also of an old .h5 file that Keras has loaded.",
        )


def _add_members(tar: tarfile.TarFile, path: Path) -> None:
    """Add what a tarball holds; the endpoint looks at it as at any upload."""
    try:
        with tarfile.open(path) as given:
            for member in given:
                if member.isfile():
                    content = given.extractfile(member)
                    member.name = f"model/{member.name.removeprefix('./')}"
                    tar.addfile(_plain(member), content)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ModelRefused(f"{path} cannot be read", cause=str(error), remedy="Make the tarball again.") from error


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who had it, and when: that is nobody's business."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(_plain(member), io.BytesIO(content))


def _is_table(examples: Any) -> bool:
    """Whether these are columns of one input, rather than several inputs."""
    given = columns(examples) if examples is not None else None
    return given is not None and all(np.ndim(numbers(given[name], name)) == 1 for name in given)


def _rows(examples: Any, keys: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    if examples is None:
        return {}
    given = columns(examples)
    if given is None:
        rows = {"0": np.asarray(numbers(examples, "examples"))}
    elif _is_table(examples):
        if missing := [name for name in keys if name not in given]:
            raise BadInput(
                f"The examples have no {', '.join(missing)}",
                cause=f"Their columns are {', '.join(given)}.",
                remedy="Name the columns as in keys=[...].",
            )
        rows = {"0": np.stack([np.asarray(numbers(given[name], name), dtype=np.float32) for name in keys or given], axis=1)}
    else:
        rows = {name: np.asarray(numbers(given[name], name)) for name in given}
    if any(not one.ndim or not len(one) for one in rows.values()):
        raise BadInput(
            "There are no rows among the examples", cause="An empty array was given.", remedy="Give some: examples=X[:100]."
        )
    return rows


def _npz(rows: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # numpy.savez takes names as arguments, and some as its own
        for name, array in rows.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def _packages() -> Mapping[str, str]:
    """Return the versions of what a model may have been made with: of modules that this process has imported."""
    names = packages_distributions()
    found = {"python": platform.python_version()}
    for module in _TOLD:
        if module in sys.modules:
            distribution = next(iter(names.get(module, ())), module)
            try:
                found[distribution] = version(distribution)
            except PackageNotFoundError:
                continue
    return found
