"""Frames say exactly what was put into them, in pieces that lie where arrays can be laid over them."""

import socket
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.inference.execution.frames import HEADER, MOST, PREDICT, SIZES, frame, pack, padded, row_bytes, sizes, unpack
from jupyter_dodas.inference.execution.worker import Frames
from jupyter_dodas.inference.records import DTYPES, Tensor

TENSORS = (Tensor("a", "float32", (None, 3)), Tensor("b", "int8", (None,)), Tensor("c", "float64", (None, 2, 2)))
FREE = (Tensor("a", "float32", (None, None)), Tensor("b", "int64", ()))


def test_every_element_type_has_its_size() -> None:
    assert {name: np.dtype(name).itemsize for name in DTYPES} == SIZES


@pytest.mark.parametrize(("size", "takes"), [(0, 0), (1, 16), (16, 16), (17, 32)])
def test_parts_begin_at_multiples_of_16(size: int, takes: int) -> None:
    assert padded(size) == takes


@given(st.lists(st.tuples(st.binary(min_size=12, max_size=12), st.binary(min_size=1, max_size=1)), min_size=1, max_size=40))
def test_rows_of_several_requests_come_out_as_one_part_each(rows: list[tuple[bytes, bytes]]) -> None:
    third = bytes(32 * len(rows))
    pieces = pack(PREDICT, 7, len(rows), [[a for a, _ in rows], [b for _, b in rows], [third]])
    whole = b"".join(pieces)
    length, count, number, shapes, kind = HEADER.unpack_from(whole)
    assert (length, count, number, shapes, kind) == (len(whole) - HEADER.size, len(rows), 7, 0, PREDICT)
    assert length % 16 == 0
    parts, given_shapes = unpack(memoryview(whole)[HEADER.size :], 0, len(rows), TENSORS)
    assert [bytes(part) for part in parts] == [b"".join(a for a, _ in rows), b"".join(b for _, b in rows), third]
    assert not given_shapes


@given(st.integers(0, 5), st.integers(0, 5))
def test_shapes_go_along_where_a_model_is_no_matter_of_rows(height: int, width: int) -> None:
    first, second = bytes(range(height * width)) * 4, b"12345678"
    whole = b"".join(pack(PREDICT, 1, 0, [[first], [second]], [(height, width), ()]))
    parts, shapes = unpack(memoryview(whole)[HEADER.size :], 2, 0, FREE)
    assert shapes == [(height, width), ()]
    assert [bytes(part) for part in parts] == [first, second]
    assert sizes(FREE, 0, shapes) == [len(first), 8]


def test_a_body_that_is_too_short_is_refused() -> None:
    whole = b"".join(pack(PREDICT, 1, 2, [[bytes(24)], [bytes(2)], [bytes(64)]]))
    with pytest.raises(ValueError, match="cut short"):
        unpack(memoryview(whole)[HEADER.size : -32], 0, 2, TENSORS)
    with pytest.raises(ValueError, match="32 axes"):
        unpack(memoryview(b"\xff" * 64), 1, 0, FREE)
    assert [row_bytes(tensor) for tensor in TENSORS] == [12, 1, 32]


@given(st.lists(st.integers(0, 700_000), min_size=1, max_size=6))
def test_frames_come_out_whole_however_the_bytes_come_in(lengths: list[int]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames = Frames(theirs)
        for number, length in enumerate(lengths):
            sent = frame(PREDICT, number, bytes([number + 1]) * length, rows=length)
            _send_while(ours, sent, frames, number, length)
        ours.close()
        assert frames.next() is None


def _send_while(ours: socket.socket, sent: bytes, frames: Frames, number: int, length: int) -> None:
    sender = Thread(target=ours.sendall, args=(sent,))
    sender.start()
    received = frames.next()
    sender.join()
    assert received is not None
    assert received[:3] == (number, length, 0)
    assert received[3][:length] == bytes([number + 1]) * length
    assert np.frombuffer(received[3], np.uint8).ctypes.data % 16 == 0


def test_frames_that_come_together_are_told_apart() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(frame(PREDICT, number, bytes([number]) * number) for number in range(100)))
        frames = Frames(theirs)
        for number in range(100):
            received = frames.next()
            assert received is not None
            assert bytes(received[3][:number]) == bytes([number]) * number


@pytest.mark.parametrize("start", [HEADER.pack(MOST + 16, 0, 0, 0, 0) + b"x", HEADER.pack(64, 0, 0, 0, 0) + b"cut"])
def test_a_frame_that_never_gets_whole_ends_the_connection(start: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(start)
        ours.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            Frames(theirs).next()
