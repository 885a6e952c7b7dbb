"""Whatever waits goes to a worker once, in turn, in batches within bounds."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jupyter_dodas.errors import Busy
from jupyter_dodas.inference.execution.batcher import ROWS, SIZE, Batch, Queue, Request


class Waiting:
    """Somebody who waits."""

    def __init__(self) -> None:
        self.gone = False

    def done(self) -> bool:
        return self.gone

    def set_result(self, result: Any, /) -> None:
        self.gone = True

    def set_exception(self, exception: BaseException, /) -> None:
        self.gone = True


def request(rows: int = 1, size: int = 4, *, large: bool = False) -> Request:
    return Request(Waiting(), rows, (bytes(size),), size, 0.0, 1.0, large=large)


def queue(*, together: bool = True, rows: int = 1000, size: int = 1 << 30) -> Queue:
    return Queue(rows=rows, size=size, together=together)


def test_what_waits_goes_together_up_to_the_cap() -> None:
    made = queue()
    for _ in range(ROWS + 10):
        made.put(request())
    assert [len(batch.requests) for batch in iter(made.take, None)] == [ROWS, 10]


def test_rows_that_are_wide_go_in_batches_of_so_many_bytes() -> None:
    made = queue()
    for _ in range(5):
        made.put(request(size=SIZE // 2))
    assert [len(batch.requests) for batch in iter(made.take, None)] == [2, 2, 1]


def test_requests_of_a_model_that_is_no_matter_of_rows_go_one_by_one() -> None:
    made = queue(together=False)
    for _ in range(3):
        made.put(request())
    assert [len(batch.requests) for batch in iter(made.take, None)] == [1, 1, 1]


def test_large_and_small_ones_take_turns() -> None:
    made = queue()
    for _ in range(3):
        made.put(request(5000, large=True))
    for _ in range(2 * ROWS):
        made.put(request())
    assert [batch.rows for batch in iter(made.take, None)] == [5000, ROWS, 5000, ROWS, 5000]


def test_what_came_to_nothing_goes_first_and_alone() -> None:
    made = queue()
    for _ in range(3):
        made.put(request())
    batch = made.take()
    assert batch is not None
    late = request()
    made.put(late)
    made.put_again(batch)
    order = [one for each in iter(made.take, None) for one in each.requests]
    assert order == [*batch.requests, late]


def test_who_waits_no_more_is_left_out() -> None:
    made = queue()
    requests = [request() for _ in range(3)]
    for one in requests:
        made.put(one)
    requests[1].future.set_result(None)
    batch = made.take()
    assert batch is not None
    assert batch.requests == [requests[0], requests[2]]
    assert batch.rows == 2
    assert made.take() is None


def test_more_than_may_wait_is_refused_but_never_the_first() -> None:
    made = queue(rows=10, size=100)
    made.admit(5000, 1 << 20, large=True)
    for _ in range(10):
        made.admit(1, 4)
        made.put(request())
    with pytest.raises(Busy, match="More requests wait"):
        made.admit(1, 4)
    made.admit(500, 50, large=True)  # of these, bytes count
    with pytest.raises(Busy):
        made.admit(500, 61, large=True)


def test_the_wait_that_is_advised_follows_from_what_waits() -> None:
    made = queue(rows=1)
    made.put(request(size=1000))
    made.rate = 100.0
    with pytest.raises(Busy) as told:
        made.admit(1, 4)
    assert told.value.after == 10


class Queues(RuleBasedStateMachine):
    """Any sequence of what can happen to a queue."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = queue()
        self.waiting: set[Request] = set()
        self.out: list[Batch] = []

    @rule(rows=st.integers(1, ROWS), size=st.integers(0, SIZE), large=st.booleans())
    def put(self, rows: int, size: int, large: bool) -> None:
        one = request(rows, size, large=large)
        self.queue.put(one)
        self.waiting.add(one)

    @rule()
    def take(self) -> None:
        batch = self.queue.take()
        gone = {one for one in self.waiting if one.future.done()}
        if batch is None:
            assert self.waiting == gone
            self.waiting.clear()
            return
        assert set(batch.requests) <= self.waiting - gone
        assert batch.rows == sum(one.rows for one in batch.requests)
        if len(batch.requests) > 1:
            assert batch.rows <= ROWS
            assert sum(one.size for one in batch.requests) <= SIZE
            assert not any(one.large for one in batch.requests)
        self.waiting -= set(batch.requests)
        # Those who have gone leave when it is their turn.
        self.waiting &= {*self.queue}
        self.out.append(batch)

    @precondition(lambda self: self.out)
    @rule()
    def fail(self) -> None:
        batch = self.out.pop()
        self.queue.put_again(batch)
        self.waiting |= set(batch.requests)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(list(self.queue)))
        one.future.set_result(None)

    @rule()
    def clear(self) -> None:
        assert set(self.queue.clear()) == self.waiting
        self.waiting.clear()

    @invariant()
    def counts_are_right(self) -> None:
        assert {*self.queue} == self.waiting
        assert len(self.queue) == len(self.waiting)
        assert self.queue.size == sum(one.size for one in self.waiting)
        assert self.queue.rows == sum(one.rows for one in self.waiting if not one.large)


TestQueues = Queues.TestCase
