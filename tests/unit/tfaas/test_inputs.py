"""What people have, as a model takes it; and what they are told where it will not do."""

from typing import Any

import awkward as ak  # type: ignore[import-untyped]
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from jupyter_dodas.errors import BadInput
from jupyter_dodas.services.tfaas.inputs import arrays, names_of
from jupyter_dodas.services.tfaas.versions import Tensor, Version

KEYS = ("pt", "eta", "mass")
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def a_version(*shapes: tuple[int | None, ...], keys: tuple[str, ...] = KEYS, dtype: str = "float32") -> Version:
    inputs = tuple(Tensor(f"input_{number}", dtype, shape) for number, shape in enumerate(shapes or ((None, 3),)))
    outputs = (Tensor("score", "float32", (None, 1)),)
    return Version("k0s", "0123456789ab", "staged", "keras", "litert", inputs, outputs, keys)


def columns(*names: str) -> dict[str, Any]:
    return {name: ROWS[:, KEYS.index(name)].astype(np.float64) for name in names}


@pytest.mark.parametrize(
    "data",
    [
        ROWS,
        ROWS.astype(np.float64),
        ROWS.astype(np.int64),
        np.asfortranarray(ROWS),
        ROWS.astype(">f4"),
        ROWS.tolist(),
        [tuple(row) for row in ROWS.tolist()],
        columns(*KEYS),
        columns("mass", "pt", "eta"),
        [dict(zip(KEYS, row, strict=True)) for row in ROWS.tolist()],
        pd.DataFrame(columns("eta", "mass", "pt")),
        pd.DataFrame(columns("eta", "mass", "pt")).assign(run="A", event=1),
        pd.DataFrame(columns(*KEYS)).astype("Float32"),
        pa.table(columns("eta", "mass", "pt")),
        ak.Array(ROWS),
        ak.Array(columns("mass", "eta", "pt")),
        np.array([tuple(row) for row in ROWS.tolist()], dtype=[(name, "f8") for name in KEYS]),
    ],
    ids=[
        *("float32", "float64", "integers", "fortran", "big-endian", "lists", "tuples", "columns", "other-order", "records"),
        *("frame", "frame-with-more", "nullable", "arrow", "awkward", "awkward-records", "structured"),
    ],
)
def test_all_that_people_have_becomes_the_same_rows(data: Any) -> None:
    (made,) = arrays(data, a_version())
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert made.dtype.isnative
    np.testing.assert_array_equal(made, ROWS)


def test_rows_that_fit_are_not_copied() -> None:
    (made,) = arrays(ROWS, a_version())
    assert np.shares_memory(made, ROWS)


def test_a_single_row_is_a_row() -> None:
    (made,) = arrays([1, 2, 3], a_version())
    assert made.shape == (1, 3)
    (made,) = arrays([1, 2, 3], a_version((None, 1), keys=("pt",)))
    assert made.shape == (3, 1)


def test_a_model_without_names_takes_columns_as_they_stand() -> None:
    (made,) = arrays(pd.DataFrame(columns("mass", "eta", "pt")), a_version(keys=()))
    np.testing.assert_array_equal(made, ROWS[:, ::-1])


def test_several_inputs_go_by_name() -> None:
    version = a_version((None, 3), (None, 2, 2), keys=())
    images = np.zeros((4, 2, 2))
    one, two = arrays({"input_1": images, "input_0": ROWS}, version)
    assert one.shape == (4, 3)
    assert two.shape == (4, 2, 2)
    with pytest.raises(BadInput, match="takes 2 inputs, and one was given"):
        arrays(ROWS, version)
    with pytest.raises(BadInput, match="Inputs of 'k0s' are missing: input_1"):
        arrays({"input_0": ROWS}, version)
    with pytest.raises(BadInput, match="different numbers of rows"):
        arrays({"input_1": images[:2], "input_0": ROWS}, version)


def test_the_only_input_may_be_named() -> None:
    (made,) = arrays({"input_0": ROWS}, a_version())
    np.testing.assert_array_equal(made, ROWS)


def test_no_rows_are_no_error() -> None:
    assert arrays(ROWS[:0], a_version())[0].shape == (0, 3)
    assert arrays(pd.DataFrame(columns(*KEYS))[:0], a_version())[0].shape == (0, 3)


def test_missing_numbers_go_where_they_are_wanted() -> None:
    rows = ROWS.copy()
    rows[2, 1] = np.nan
    np.testing.assert_array_equal(arrays(rows, a_version(), nan=True)[0], rows)


def test_large_numbers_are_no_missing_ones() -> None:
    rows = np.full((4, 3), 3e38, np.float32)
    np.testing.assert_array_equal(arrays(rows, a_version())[0], rows)


def test_names_of_columns() -> None:
    assert names_of(pd.DataFrame(columns("eta", "pt"))) == ("eta", "pt")
    assert names_of(ROWS) == ()


def with_nan(name: str) -> dict[str, Any]:
    given = columns(*KEYS)
    given[name] = given[name].copy()
    given[name][[1, 3]] = np.nan
    return given


JAGGED = ak.Array([[1.0, 2.0, 3.0], [4.0]])
BAD: list[tuple[str, Any, str, str]] = [
    ("missing", columns("pt", "mass"), "Features of 'k0s' are missing: eta", "It takes pt, eta, mass"),
    (
        "renamed",
        pd.DataFrame(columns(*KEYS)).rename(columns={"mass": "masss"}),
        "'mass': Did you mean 'masss'?",
        "rename the columns",
    ),
    ("too wide", np.zeros((4, 5)), "takes rows of 3 numbers, these have 5", "Give its features alone"),
    ("too narrow", [[1.0, 2.0]], "takes rows of 3 numbers, these have 2", "in their order"),
    ("a cube", np.zeros((4, 3, 1)), r"shape \(4, 3, 1\) does not go into 'k0s'", "first axis is that of rows"),
    ("text", {**columns("pt", "eta"), "mass": ["a", "b", "c", "d"]}, "'mass' holds text", "Leave it out"),
    ("text in a frame", pd.DataFrame({**columns("pt", "eta"), "mass": ["a", "b", "c", "d"]}), "'mass' holds str", "Leave it out"),
    ("dates", {**columns("pt", "eta"), "mass": pd.date_range("2031", periods=4)}, "'mass' holds", "Leave it out"),
    ("objects", [[1, 2, object()]], "holds object", "Leave it out"),
    ("complex", ROWS * 1j, "holds complex numbers", "Leave it out"),
    ("rows of lists", [[1, 2, 3], [1, 2]], "rows of different lengths", "as many numbers"),
    ("jagged", JAGGED, "is jagged", "pad"),
    ("a jagged column", {**columns("pt", "eta"), "mass": JAGGED}, "'mass' is jagged", "Flatten"),
    ("columns of differing lengths", {**columns("pt", "eta"), "mass": [1.0]}, "the first one has 4 rows", "one length"),
    ("nan", with_nan("eta"), r"2 of 4 rows have missing \(NaN\) or infinite numbers in eta", "nan=True"),
    ("nan in an array", ROWS * np.array([1, np.nan, 1]), "4 of 4 rows have missing .* in eta", "Fill them"),
    ("none", pd.DataFrame({**columns("pt", "eta"), "mass": [1.0, None, 2.0, None]}), "in mass", "nan=True"),
    ("None among lists", [[1.0, None, 2.0]], "1 of 1 rows have missing", "nan=True"),
    ("infinite", ROWS + np.inf, "4 of 4 rows", "nan=True"),
    ("too large", ROWS.astype(np.float64) * 1e300, "too large for float32", "Scale it"),
    ("other records", [{"pt": 1, "eta": 2, "mass": 3}, {"pt": 1}], "Row 1 has not the names of row 0", ""),
    ("a word", "muons", "holds text", "Leave it out"),
    ("nothing", None, "does not go into", "Reshape it"),
]


@pytest.mark.parametrize(("data", "message", "remedy"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_will_not_do_is_told(data: Any, message: str, remedy: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        arrays(data, a_version())
    assert remedy in caught.value.remedy


def test_fractions_do_not_go_into_integers() -> None:
    version = a_version(dtype="int32")
    assert arrays(ROWS, version)[0].dtype == np.int32
    with pytest.raises(BadInput, match="is to be int32, and has numbers that are not"):
        arrays(ROWS + 0.5, version)
    with pytest.raises(BadInput, match="is to be int32"):
        arrays(ROWS.astype(np.int64) + 2**40, version)


def test_columns_do_not_go_into_images() -> None:
    with pytest.raises(BadInput, match="'k0s' takes no columns"):
        arrays(pd.DataFrame(columns(*KEYS)), a_version((None, 28, 28, 1), keys=()))
