"""So many a second, so many at once, for each caller by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import Busy
from jupyter_dodas.inference.http import rates
from jupyter_dodas.inference.http.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(bucket: Rates, caller: str) -> bool:
    try:
        bucket.take(caller)
    except Busy:
        return False
    return True


def test_a_burst_goes_through_and_the_next_one_waits_for_its_turn() -> None:
    clock = Clock()
    bucket = Rates(10, 3, clock)
    assert [allowed(bucket, "alice") for _ in range(4)] == [True, True, True, False]
    assert bucket.left("alice") == (3, 0, 1)
    clock.now += 0.1
    assert [allowed(bucket, "alice") for _ in range(2)] == [True, False]


def test_who_is_refused_hears_when_it_would_go_well() -> None:
    clock = Clock()
    bucket = Rates(2, 1, clock)
    bucket.take("alice")
    with pytest.raises(Busy, match="2 requests a second are allowed, 1 at once") as refused:
        bucket.take("alice")
    clock.now += refused.value.after
    bucket.take("alice")


def test_callers_do_not_pay_for_each_other() -> None:
    bucket = Rates(1, 1, Clock())
    bucket.take("alice")
    bucket.take("bob")
    assert bucket.left("carol") == (1, 1, 0)


def test_without_a_rate_nobody_is_counted() -> None:
    bucket = Rates(None, 1, Clock())
    assert all(allowed(bucket, "alice") for _ in range(1000))


def test_only_so_many_callers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST", 3)
    bucket = Rates(1, 1, Clock())
    for caller in ("a", "b", "c", "d"):
        bucket.take(caller)
    assert not allowed(bucket, "d")
    assert allowed(bucket, "a")  # it was away the longest


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 20), st.integers(1, 10))
def test_no_more_than_the_burst_and_the_rate_ever_go_through(waits: list[float], rate: int, burst: int) -> None:
    clock = Clock()
    bucket, passed, began = Rates(rate, burst, clock), 0, clock.now
    for wait in waits:
        clock.now += wait
        passed += allowed(bucket, "alice")
        assert passed <= burst + (clock.now - began) * rate + 0.001
        assert 0 <= bucket.left("alice")[1] <= burst
