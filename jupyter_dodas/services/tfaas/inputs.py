"""What people have, as a model takes it: arrays, frames, columns and lists become one contiguous array for each input.

Columns with names are looked up by the names of the model's features and put in their order; what stands beside them in a frame
is left out. Whatever will not do is refused here, before anything is sent, with what to do about it.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from jupyter_dodas.errors import BadInput, did_you_mean
from jupyter_dodas.services.tfaas.versions import Tensor, Version

__all__ = ["arrays", "columns", "names_of", "numbers", "rows_of"]

_SHOWN: Final = 5
"""More names than this are only counted."""


def arrays(data: Any, version: Version, *, nan: bool = False) -> list[NDArray[Any]]:
    """Return an array for each input of a model, in the order of its signature.

    Parameters
    ----------
    data
        An array of shape (rows, features) or, for a single row, (features,); a frame of pandas, polars or Arrow; an awkward array
        that is regular; a dictionary of columns; lists. For a model of several inputs, a dictionary by their names.
    nan
        Whether numbers may be missing (NaN) or infinite.

    Raises
    ------
    BadInput
    """
    if len(version.inputs) > 1:
        given = columns(data)
        if given is None:
            raise BadInput(
                f"{version.model!r} takes {len(version.inputs)} inputs, and one was given",
                cause=f"Its inputs are {_listed([one.name for one in version.inputs])}.",
                remedy=f"Give them by name: {{{version.inputs[0].name!r}: ..., {version.inputs[1].name!r}: ...}}.",
            )
        _need(given, [one.name for one in version.inputs], version.model, "input")
        made = [_array(given[one.name], one, version, nan=nan) for one in version.inputs]
        if version.rowwise and len({len(one) for one in made}) > 1:
            sizes = ", ".join(f"{one.name} has {len(array)}" for one, array in zip(version.inputs, made, strict=True))
            raise BadInput("The inputs have different numbers of rows", cause=f"{sizes}.", remedy="Give as many rows of each.")
        return made
    wanted = version.inputs[0]
    given = columns(data)
    if given is not None and list(given) == [wanted.name] and version.keys != (wanted.name,):
        data, given = given[wanted.name], None
    if given is None:
        return [_array(data, wanted, version, nan=nan)]
    return [_table(given, wanted, version, nan=nan)]


def rows_of(made: Sequence[NDArray[Any]]) -> int:
    """Return how many rows there are."""
    return len(made[0]) if made[0].ndim else 1


def names_of(data: Any) -> tuple[str, ...]:
    """Return the names of the columns, where there are any."""
    return tuple(map(str, columns(data) or ()))


def columns(data: Any) -> Mapping[str, Any] | None:
    """Return the columns of what has names for them, in order; None of what has not."""
    if isinstance(data, Mapping):
        return data
    if isinstance(data, np.ndarray):
        return {name: data[name] for name in data.dtype.names} if data.dtype.names else None
    if _is_awkward(data):
        return {name: data[name] for name in data.fields} if data.fields and not data.is_tuple else None
    if isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        return _transposed(data)
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)  # Arrow calls them so; pandas and polars do not
    if names is None or callable(names) or not hasattr(data, "__getitem__"):
        return None
    return _Columns(data, list(names))


class _Columns(Mapping[str, Any]):
    """The columns of a frame: taken when they are wanted, since a frame may have many more."""

    def __init__(self, frame: Any, names: Sequence[Any]) -> None:
        self._frame, self._names = frame, {str(name): name for name in names}

    def __getitem__(self, name: str) -> Any:
        return self._frame[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _transposed(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    names = list(rows[0])
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            differing = _listed(sorted(row.keys() ^ rows[0].keys()))
            raise BadInput(f"Row {number} has not the names of row 0", cause=f"They differ in {differing}.", remedy="")
    return {name: [row[name] for row in rows] for name in names}


def _table(given: Mapping[str, Any], wanted: Tensor, version: Version, *, nan: bool) -> NDArray[Any]:
    """Put columns side by side, in the order of the model's features."""
    width = wanted.width
    if width is None:
        raise BadInput(
            f"{version.model!r} takes no columns",
            cause=f"Its input {wanted.name!r} has the shape {_shape(wanted.shape)}.",
            remedy="Give an array of that shape.",
        )
    if version.keys:
        _need(given, version.keys, version.model, "feature")
        names = version.keys
    else:
        names = tuple(given)
        if len(names) != width:
            raise _too_wide(len(names), width, version, names)
    first = np.asarray(numbers(given[names[0]], names[0]))
    table = np.empty((first.size, width), dtype=wanted.dtype)
    for place, name in enumerate(names):
        column = first if place == 0 else np.asarray(numbers(given[name], name))
        if column.ndim != 1 or len(column) != len(table):
            raise BadInput(
                f"The column {name!r} has the shape {column.shape}, the first one has {len(table)} rows",
                cause="A column has one number for each row.",
                remedy="Give columns of one length.",
            )
        table[:, place] = _cast(column, wanted.dtype, f"the column {name!r}")
    if not nan:
        _check_finite(table, names)
    return table


def _need(given: Mapping[str, Any], names: Sequence[str], model: str, what: str) -> None:
    missing = [name for name in names if name not in given]
    if not missing:
        return
    spare = [str(name) for name in given if name not in names]
    guesses = [f"{name!r}: {guess}" for name in missing[:_SHOWN] if (guess := did_you_mean(name, spare))]
    raise BadInput(
        f"{what.capitalize()}s of {model!r} are missing: {_listed(missing)}",
        cause=" ".join(guesses) or (f"Beside those that it takes there are {_listed(spare)}." if spare else "There are no others."),
        remedy=f"It takes {_listed(names, most=40)}; rename the columns, or give an array in this order.",
    )


def _array(data: Any, wanted: Tensor, version: Version, *, nan: bool) -> NDArray[Any]:
    """Return an array of the shape and type that an input has."""
    given = np.asarray(numbers(data, wanted.name))
    rank = len(wanted.shape)
    if given.ndim == rank - 1 and wanted.shape and wanted.shape[0] is None and given.shape == wanted.shape[1:]:
        given = given[np.newaxis]  # a single row
    elif given.ndim == 1 and wanted.width == 1:
        given = given[:, np.newaxis]
    _check_shape(given, wanted, version)
    made = np.ascontiguousarray(_cast(given, wanted.dtype, f"the input {wanted.name!r}"))
    if not nan:
        _check_finite(made, version.keys if made.ndim == 2 and len(version.keys) == made.shape[-1] else ())
    return made


def _check_shape(given: NDArray[Any], wanted: Tensor, version: Version) -> None:
    fits = given.ndim == len(wanted.shape) and all(w in (None, g) for g, w in zip(given.shape, wanted.shape, strict=True))
    if fits:
        return
    if wanted.width is not None and given.ndim == 2:
        raise _too_wide(given.shape[1], wanted.width, version, ())
    raise BadInput(
        f"An array of the shape {_shape(given.shape)} does not go into {version.model!r}",
        cause=f"Its input {wanted.name!r} has the shape {_shape(wanted.shape)}.",
        remedy="Reshape it; the first axis is that of rows." if wanted.shape and wanted.shape[0] is None else "Reshape it.",
    )


def _too_wide(width: int, wanted: int, version: Version, names: Sequence[str]) -> BadInput:
    has = f" ({_listed(names)})" if names else ""
    takes = f": {_listed(version.keys, most=40)}" if version.keys else ""
    return BadInput(
        f"{version.model!r} takes rows of {wanted} numbers, these have {width}{has}",
        cause=f"Its features are{takes}." if takes else "",
        remedy="Give its features alone, in their order."
        if version.keys
        else "Give as many columns; deploy it with keys=[...], and columns are found by their names.",
    )


def numbers(data: Any, name: str) -> Any:
    """Return something that NumPy makes an array of numbers of.

    Raises
    ------
    BadInput
        For text, dates, objects, and rows of different lengths.
    """
    if _is_awkward(data):
        data = _regular(data, name)
    elif isinstance(dtype := getattr(data, "dtype", None), np.dtype) and dtype.kind in "fiub":
        return data
    try:
        given = np.asarray(data)
    except ValueError as error:
        raise BadInput(
            f"{name!r} has rows of different lengths", cause=str(error), remedy="Give every row as many numbers."
        ) from error
    if given.dtype.kind in "fiub":
        return given
    if given.dtype.kind == "O":
        return _objects(given, name)
    raise BadInput(
        f"{name!r} holds {_kind(given)}, a model takes numbers",
        cause=f"Its first value is {given.ravel()[0]!r}." if given.size else "",
        remedy="Leave it out, or make numbers of it: frame[name].astype('category').cat.codes, for one.",
    )


def _objects(given: NDArray[Any], name: str) -> NDArray[Any]:
    """Return numbers that are held as Python's objects, missing ones as NaN: what frames make of columns with gaps."""
    odd = next((value for value in given.ravel().tolist() if not _is_number(value)), None)
    if odd is not None:
        raise BadInput(
            f"{name!r} holds {type(odd).__name__}, a model takes numbers",
            cause=f"One of its values is {odd!r}.",
            remedy="Leave it out, or make numbers of it: frame[name].astype('category').cat.codes, for one.",
        )
    numbers = [float("nan") if _is_missing(value) else value for value in given.ravel().tolist()]
    return np.array(numbers, dtype=np.float64).reshape(given.shape)


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float | np.number | np.bool_) or _is_missing(value)


def _is_missing(value: object) -> bool:
    return value is None or type(value).__name__ == "NAType"  # as pandas has it


def _is_awkward(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "awkward" and hasattr(data, "fields")


def _regular(data: Any, name: str) -> Any:
    ak: Any = import_module("awkward")

    if data.fields:
        raise BadInput(f"{name!r} has fields of its own: {_listed(data.fields)}", remedy="Give its fields, one by one.")
    try:
        given = ak.to_numpy(data)
    except ValueError as error:
        raise BadInput(
            f"{name!r} is jagged: its rows have different lengths",
            cause=f"Its type is {data.type}.",
            remedy="Flatten it to ask for each element, or pad it: awkward.fill_none(awkward.pad_none(...), 0).",
        ) from error
    if isinstance(given, np.ma.MaskedArray):
        return np.ma.filled(given.astype(np.float64), np.nan)
    return given


def _cast(given: NDArray[Any], dtype: str, what: str) -> NDArray[Any]:
    """Return numbers as another type, if they mean the same in it; a rounding of fractions is no difference."""
    to = np.dtype(dtype)
    if given.dtype == to:
        return given
    with np.errstate(over="ignore", invalid="ignore"):
        made = given.astype(to)
        if to.kind == "f":
            if given.dtype.kind == "f" and given.dtype.itemsize > to.itemsize and not _sum_is_finite(made):
                lost = np.isfinite(given) & ~np.isfinite(made)
                if lost.any():
                    raise BadInput(
                        f"{what.capitalize()} has numbers too large for {to.name}, which the model takes",
                        cause=f"One of {np.count_nonzero(lost)} is {given[lost][0]:g}.",
                        remedy="Scale it as it was scaled for the training.",
                    )
        elif not np.array_equal(made.astype(given.dtype), given):
            wrong = given[made.astype(given.dtype) != given]
            raise BadInput(
                f"{what.capitalize()} is to be {to.name}, and has numbers that are not",
                cause=f"One of {wrong.size} is {wrong.ravel()[0]!s}.",
                remedy="Round them, or leave these rows out.",
            )
    return made


def _check_finite(table: NDArray[Any], names: Sequence[str]) -> None:
    if table.dtype.kind != "f" or _sum_is_finite(table):
        return
    bad = ~np.isfinite(table)
    if not bad.any():
        return  # they are finite, only their sum is not
    rows = bad.reshape(len(table), -1).any(axis=1)
    where = [name for name, hurt in zip(names, bad.any(axis=0), strict=True) if hurt] if names else []
    of = f" in {_listed(where)}" if where else ""
    raise BadInput(
        f"{np.count_nonzero(rows)} of {len(table)} rows have missing (NaN) or infinite numbers{of}",
        cause=f"The first is row {int(rows.argmax())}.",
        remedy="Fill them or leave these rows out; with nan=True the model gets them as they are.",
    )


def _sum_is_finite(table: NDArray[Any]) -> bool:
    """Whether all numbers are finite, found out at the speed of memory; it may err for huge numbers, to the safe side."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(table.sum()))


def _kind(given: NDArray[Any]) -> str:
    return {"U": "text", "S": "text", "M": "dates", "m": "durations", "c": "complex numbers"}.get(
        given.dtype.kind, given.dtype.name
    )


def _shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join('rows' if one is None else str(one) for one in shape)}{',' if len(shape) == 1 else ''})"


def _listed(names: Sequence[Any], most: int = _SHOWN) -> str:
    shown = ", ".join(map(str, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
