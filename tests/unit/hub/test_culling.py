"""Idleness of notebooks: of what a hub could have heard of."""

from datetime import timedelta

import pytest

from jupyter_dodas.hub.culling import fair


@pytest.mark.parametrize(
    ("silent", "up", "idle"),
    [(100.0, 1000.0, True), (99.0, 1000.0, False), (100.0, 99.0, False), (9999.0, 0.0, False), (9999.0, 100.0, True)],
)
def test_silence_counts_from_when_the_hub_could_hear(silent: float, up: float, idle: bool) -> None:
    rule = fair(50.0, lambda: 50.0 + up)
    assert rule(inactive=timedelta(seconds=silent), inactive_limit=100, server={"name": ""}) is idle
