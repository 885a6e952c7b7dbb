"""The verbs for models of a TFaaS endpoint: deploy, predict, models, publish, rollback, delete."""

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import AsJson, Backend, Endpoint
from jupyter_dodas.cluster import connect
from jupyter_dodas.errors import BadInput, NotSupported

__all__ = ["delete", "deploy", "models", "predict", "publish", "read_rows", "rollback"]

_KIND: Final = "tfaas"
_NPY: Final = b"\x93NUMPY"

Model: TypeAlias = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]
Version: TypeAlias = Annotated[str | None, typer.Argument(metavar="VERSION", help="One of its versions.")]


def deploy(
    endpoint: Endpoint,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .keras, .onnx, .tflite or .pb file, a tarball, or the folder of a SavedModel.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call the model; by default as the file.")
    ] = None,
    examples: Annotated[
        Path | None, typer.Option("--examples", metavar="FILE", help="Rows to compare on: .npy, .csv or .json.")
    ] = None,
    keys: Annotated[list[str] | None, typer.Option("--key", metavar="NAME", help="Names of its features, in order.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", metavar="NAME", help="Names of its classes, in order.")] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A sentence to keep with the version.")] = "",
    published: Annotated[bool, typer.Option("--publish", help="Publish it at once.")] = False,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model to an endpoint, which converts and verifies it. Until it is published it is yours alone."""
    rows = read_rows(examples.read_bytes(), examples.name) if examples is not None else None
    called = name or file.name.partition(".")[0]
    made = _endpoint(endpoint, backend).deploy(file, name=called, examples=rows, keys=keys or (), labels=labels or (), note=note)
    if published:
        made.publish()
    if as_json:
        output.data(dataclasses.asdict(made.info()))
    elif not (output.both_are_seen() and not published):
        output.text(f"{called} {made.version} is {'published' if published else 'staged'} at {endpoint}.")


def predict(
    endpoint: Endpoint,
    model: Model,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="Rows: .csv, .json or .npy; - for what comes in, in any of these forms.")
    ] = "-",
    version: Annotated[str | None, typer.Option("--version", metavar="VERSION", help="By default the published one.")] = None,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Print what a model gives for some rows, a line for each."""
    given = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    rows = read_rows(given, file)
    found = _endpoint(endpoint, backend).model(model, version).predict(rows)
    if as_json:
        output.data({name: one.tolist() for name, one in found.items()} if isinstance(found, dict) else found.tolist())
        return
    columns = list(found.values()) if isinstance(found, dict) else [found]
    for row in zip(*(one.reshape(len(one), -1).tolist() for one in columns), strict=True):
        output.text(",".join(f"{number:.7g}" for part in row for number in part))


def models(endpoint: Endpoint, backend: Backend = None, as_json: AsJson = False) -> None:
    """List the models of an endpoint: those that are published, and your own."""
    found = _endpoint(endpoint, backend).models()
    if as_json:
        output.data([{"model": one.name, "versions": [dataclasses.asdict(it) for it in one.versions()]} for one in found])
    else:
        output.text(repr(found))


def publish(
    endpoint: Endpoint,
    model: Model,
    version: Version = None,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Open a version of a model to everybody who may predict; by default the one that was staged last."""
    found = _endpoint(endpoint, backend)
    if version is None:
        staged = [one.version for one in found.model(model).versions() if one.state == "staged"]
        if not staged:
            raise BadInput(
                f"No version of {model!r} is staged", cause="All have been published.", remedy="Name the one to publish."
            )
        version = staged[0]
    _tell(found.model(model, version).publish(), endpoint, as_json=as_json)


def rollback(endpoint: Endpoint, model: Model, backend: Backend = None, as_json: AsJson = False) -> None:
    """Publish again what was published before."""
    _tell(_endpoint(endpoint, backend).model(model).rollback(), endpoint, as_json=as_json)


def delete(endpoint: Endpoint, model: Model, version: Version = None, backend: Backend = None, as_json: AsJson = False) -> None:
    """Remove a model, or one version of it. Requests under way end first."""
    _endpoint(endpoint, backend).model(model, version).delete()
    if as_json:
        output.data({"model": model, "version": version})
    else:
        output.text(f"{model}{f' {version}' if version is not None else ''} is removed from {endpoint}.")


def read_rows(given: bytes, name: str) -> Any:
    """Return rows from a file of NumPy, JSON or comma-separated values: columns by name where the first line names them.

    Raises
    ------
    BadInput
        If they are in none of these forms.
    """
    try:
        if given.startswith(_NPY):
            import numpy as np

            return np.load(io.BytesIO(given), allow_pickle=False)
        text = given.decode("utf-8-sig")
        if text.lstrip()[:1] in ("[", "{"):
            return json.loads(text)
        return _table(text)
    except ValueError as error:
        what = "What came in" if name == "-" else name
        raise BadInput(
            f"{what} cannot be read as rows", cause=str(error), remedy="Give a .npy file, JSON, or comma-separated numbers."
        ) from error


def _table(text: str) -> Any:
    lines = [line for line in csv.reader(io.StringIO(text)) if line]
    if not lines:
        raise ValueError("There are no rows.")
    if uneven := next((number for number, line in enumerate(lines, 1) if len(line) != len(lines[0])), None):
        raise ValueError(f"Line {uneven} has {len(lines[uneven - 1])} values, the first {len(lines[0])}.")
    if all(isinstance(_value(cell), float) for cell in lines[0]):
        return [[_value(cell) for cell in line] for line in lines]
    return {name.strip(): [_value(line[at]) for line in lines[1:]] for at, name in enumerate(lines[0])}


def _value(cell: str) -> float | str:
    """Return a number; text stays, since a column that no model takes may hold it."""
    if not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return cell


def _endpoint(name: str, backend: str | None) -> Any:
    found = connect(name, backend=backend)
    if found.kind != _KIND:
        raise NotSupported(
            f"{name!r} has no models", cause=f"It is of the kind {found.kind!r}.", remedy="Launch one: dodas launch tfaas."
        )
    return found


def _tell(model: Any, endpoint: str, *, as_json: bool) -> None:
    known = model.info()
    if as_json:
        output.data(dataclasses.asdict(known))
    else:
        output.text(f"{known.model} {known.version} is {known.state} at {endpoint}.")
