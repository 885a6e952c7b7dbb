"""What a model takes is checked before it is asked, and told in a sentence."""

import math
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import BadInput
from jupyter_dodas.inference.http.intake import NUMBERS, Intake, numbers
from jupyter_dodas.inference.records import DTYPES, Tensor
from tests.unit.inference.manifests import manifest

KEYED = manifest(keys=("pt", "eta", "phi"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_its_letter_in_the_width_of_numpy(dtype: str) -> None:
    assert struct.calcsize(f"<{NUMBERS[dtype]}") == np.dtype(dtype).itemsize


def test_a_row_is_packed_as_numpy_would() -> None:
    assert Intake(KEYED).row([1, 2.5, -3e-9]) == np.array([1, 2.5, -3e-9], "<f4").tobytes()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "Too few numbers: 0"),
        ([1.0, 2.0], "Too few numbers: 2"),
        ([1.0] * 4, "Too many numbers: 4"),
        ([1.0, 2.0, 1e39], "does not fit"),
    ],
)
def test_a_row_that_does_not_fit_is_told_what_would(values: list[float], why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        Intake(KEYED).row(values)
    assert "is 3 numbers: pt, eta, phi" in str(refused.value)


def test_names_put_values_in_order_and_are_read_once() -> None:
    intake = Intake(KEYED)
    assert intake.order(b'["pt","eta","phi"]') is None
    assert intake.order(b'["phi", "pt", "eta"]') == (1, 2, 0)
    assert intake.order(b'["phi", "pt", "eta"]') == (1, 2, 0)
    assert [intake.order(none) for none in (b"", b"null", b"[]")] == [None] * 3


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (b'["pt","eta"]', "missing phi"),
        (b'["pt","eta","ph"]', "missing phi; unknown ph"),
        (b'["pt","eta","phi","pt"]', "given twice pt"),
        (b'["pt",1,"phi"]', "names of features"),
        (b'{"pt":1}', "names of features"),
    ],
)
def test_names_that_are_not_those_of_the_model_are_refused(keys: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        Intake(KEYED).order(keys)


def test_a_slip_of_the_pen_is_told() -> None:
    with pytest.raises(BadInput, match="Did you mean 'phi'"):
        Intake(KEYED).order(b'["pt","eta","phj"]')


def test_names_are_not_read_where_the_model_has_none() -> None:
    assert Intake(manifest()).order(b'["anything", 7]') is None


def test_only_so_many_orders_are_kept() -> None:
    intake = Intake(manifest())
    for number in range(1000):
        intake.order(b"[%d]" % number)
    assert len(intake._orders) <= 64


def test_several_inputs_take_their_share_of_the_row() -> None:
    intake = Intake(manifest(Tensor("a", "float32", (None, 2)), Tensor("b", "int64", (None,)), Tensor("c", "bool", (None, 2))))
    parts, shapes = intake.parts([1, 2, 7, 1, 0])
    assert parts == [struct.pack("<2f", 1, 2), struct.pack("<q", 7), b"\x01\x00"]
    assert shapes == [(1, 2), (1,), (1, 2)]


@pytest.mark.parametrize(
    ("tensor", "values", "why"),
    [
        (Tensor("x", "int64", (None, 1)), [1.5], "whole numbers"),
        (Tensor("x", "int8", (None, 1)), [128.0], "does not fit"),
        (Tensor("x", "uint8", (None, 1)), [-1.0], "does not fit"),
        (Tensor("x", "bool", (None, 1)), [2.0], "takes 0 and 1"),
        (Tensor("x", "float16", (None, 1)), [1e5], "does not fit"),
        (Tensor("x", "float32", (None, None, 3)), [1.0, 2.0], "do not fit"),
        (Tensor("x", "float32", (None, None, None)), [1.0, 2.0], "do not fit"),
    ],
)
def test_numbers_of_another_kind_are_refused(tensor: Tensor, values: list[float], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        Intake(manifest(tensor)).parts(values)


def test_one_length_that_is_free_is_that_of_the_row() -> None:
    parts, shapes = Intake(manifest(Tensor("x", "float32", (None, None, 3)))).parts([1.0] * 6)
    assert (len(parts[0]), shapes) == (24, [(1, 2, 3)])


def test_a_model_without_an_axis_of_rows_gets_its_shape() -> None:
    assert Intake(manifest(Tensor("x", "float32", (1, 3)))).parts([1.0] * 3)[1] == [(1, 3)]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_written_in_the_shortest_form_that_is_the_same(values: list[float]) -> None:
    text = numbers(np.array(values, "<f4").tobytes(), np.dtype("<f4"))
    assert np.array(msgspec.json.decode(text), "f4").tolist() == values
    for number in text[1:-1].split(b","):
        digits = number.lower().split(b"e")[0].replace(b"-", b"").replace(b".", b"").strip(b"0")
        assert len(digits) <= 9


def test_a_number_that_has_a_short_form_is_not_written_as_a_double() -> None:
    assert numbers(np.array([0.4023223, 0.1], "<f4").tobytes(), np.dtype("<f4")) == b"[0.4023223,0.1]"
    assert math.isclose(float(numbers(np.array([0.1], "<f2").tobytes(), np.dtype("<f2"))[1:-1]), 0.1, rel_tol=1e-3)
