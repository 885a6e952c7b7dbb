"""Workers retire as long as somebody asks for it."""

import asyncio

import pytest

from jupyter_dodas.services.htcondor.observation import Slots
from jupyter_dodas.services.htcondor.retirement import Retirement

pytestmark = pytest.mark.anyio

LATER = 2e10
"""A time by the clock of the workers after any that they are told at."""


class Workers:
    """What workers were told."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.told: list[tuple[str, bool]] = []
        self._deaf = deaf

    async def __call__(self, worker: str, drain: bool) -> bool:
        self.told.append((worker, drain))
        return not self._deaf


async def test_who_has_no_job_left_may_be_deleted() -> None:
    workers = Workers()
    retirement = Retirement(workers)
    await retirement.look(Slots(("worker-1", "worker-2")))
    asked = asyncio.create_task(retirement.retire(["worker-1", "worker-2"]))
    await asyncio.sleep(0)
    await retirement.look(Slots(("worker-1", "worker-2"), ("worker-2",), {"worker-1": LATER, "worker-2": LATER}))
    assert await asked == ["worker-1", "worker-2"]
    assert sorted(workers.told) == [("worker-1", True), ("worker-2", True)]


async def test_who_has_gone_may_be_deleted_without_a_word() -> None:
    workers = Workers()
    assert await Retirement(workers).retire(["worker-1"]) == ["worker-1"]
    assert workers.told == []


@pytest.mark.parametrize("deaf", [False, True])
async def test_who_works_or_cannot_be_told_stays(deaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.services.htcondor.retirement._WAIT", 0.05)
    retirement = Retirement(Workers(deaf=deaf))
    # What it said before it was told does not count.
    await retirement.look(Slots(("worker-1",), (), {"worker-1": 5.0}))
    assert await retirement.retire(["worker-1"]) == []


async def test_who_is_asked_for_again_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.services.htcondor.retirement._WAIT", 0.05)
    workers = Workers()
    retirement = Retirement(workers)
    await retirement.look(Slots(("worker-1",), ("worker-1",)))
    for _ in range(3):
        assert await retirement.retire(["worker-1"]) == []
    assert workers.told == [("worker-1", True)]


async def test_who_is_not_asked_for_any_more_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.services.htcondor.retirement._WAIT", 0.05)
    workers = Workers()
    retirement = Retirement(workers, lease=0)
    await retirement.look(Slots(("worker-1",), ("worker-1",)))
    assert await retirement.retire(["worker-1"]) == []
    assert retirement.under_way
    await retirement.look(Slots(("worker-1",), ("worker-1",)))
    assert workers.told == [("worker-1", True), ("worker-1", False)]
    assert not retirement.under_way
