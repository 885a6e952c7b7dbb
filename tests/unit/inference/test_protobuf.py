"""TFaaS's two messages, against Google's own library."""

import re
import struct

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import BadInput
from jupyter_dodas.inference.http.protobuf import read_row, write_predictions

FLOAT, STRING, MESSAGE = 2, 9, 11
ONE, MANY = 1, 3


def _messages() -> dict[str, type]:
    """The messages as Google's library makes them of their description."""
    file = descriptor_pb2.FileDescriptorProto(name="tfaas.proto", package="tfaaspb", syntax="proto3")
    shapes: dict[str, list[tuple[str, int, int, str]]] = {
        "Row": [("key", STRING, MANY, ""), ("value", FLOAT, MANY, ""), ("model", STRING, ONE, "")],
        "Class": [("label", STRING, ONE, ""), ("probability", FLOAT, ONE, "")],
        "Predictions": [("prediction", MESSAGE, MANY, ".tfaaspb.Class")],
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, label, of) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=label, **({"type_name": of} if of else {}))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tfaaspb.{name}")) for name in shapes}


MESSAGES = _messages()
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.text(max_size=20), max_size=10), st.lists(FLOATS, max_size=50), st.text(max_size=200))
def test_rows_are_read_as_google_writes_them(keys: list[str], values: list[float], model: str) -> None:
    row = read_row(MESSAGES["Row"](key=keys, value=values, model=model).SerializeToString())
    assert (row.keys, row.model) == (keys, model)
    assert list(struct.unpack(f"<{len(values)}f", row.values)) == values


@given(st.lists(FLOATS, max_size=50), st.lists(st.text(max_size=200), max_size=50))
def test_google_reads_the_predictions_that_are_written(probabilities: list[float], labels: list[str]) -> None:
    read = MESSAGES["Predictions"].FromString(write_predictions(probabilities, labels))  # type: ignore[attr-defined]
    padded = [*labels, *[""] * len(probabilities)][: len(probabilities)]
    assert [(one.label, one.probability) for one in read.prediction] == list(zip(padded, probabilities, strict=True))


def test_single_values_and_fields_that_are_not_ours_are_taken() -> None:
    single = b"\x15" + struct.pack("<f", 1.5) + b"\x15" + struct.pack("<f", 2.5)
    others = b"\x20\x96\x01" + b"\x29" + bytes(8) + b"\x32\x02ab" + b"\x3d" + bytes(4)
    row = read_row(single + others + b"\x1a\x01m")
    assert struct.unpack("<2f", row.values) == (1.5, 2.5)
    assert row.model == "m"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x12", "does not end"),
        (b"\x12\x08\x00\x00", "before its last field"),
        (b"\x12\x03abc", "4 bytes"),
        (b"\x0a\x01\xff", "UTF-8"),
        (b"\x08\x01", "Field 1 has another type"),
        (b"\x00\x01", "number 0"),
        (b"\x0b", "type 3"),
        (b"\xff" * 11, "does not end"),
        (b'{"values": [1]}', "another type|type|before"),
    ],
)
def test_what_is_no_row_is_refused_with_a_sentence(message: bytes, why: str) -> None:
    with pytest.raises(BadInput, match="no row") as refused:
        read_row(message)
    assert re.search(why, str(refused.value))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(message: bytes) -> None:
    try:
        row = read_row(message)
    except BadInput:
        return
    assert len(row.values) % 4 == 0
