"""What a waiting cluster names as its remedy does it."""

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place


def test_what_waits_for_room_starts_with_the_workers_that_fit(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_LIMITS_WORKERS", "4")
    with dodas.toy(name="higgs", workers=3), dodas.toy(name="top", workers=3, wait=False) as waiting:
        problem = blocking_until(lambda: waiting.record().status.problem, within=20)
        assert problem is not None
        assert (problem.code, waiting.phase(), problem.retry) == ("queued", Phase.PENDING, {"workers": 1})
        waiting.scale(1)
        waiting.wait(timeout=60)
        assert waiting.record().status.problem is None
