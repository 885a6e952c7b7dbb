"""Connections to the API server end with the loop that they belong to, whatever goes over them just then."""

import asyncio
import gc
import logging

import pytest

from jupyter_dodas import settings
from jupyter_dodas.backends.kubernetes.api import Api
from tests.namespace import Namespace

ASKED = 3
"""Requests that are under way when the loop ends."""


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("forgotten", [False, True], ids=["kept", "forgotten"])
def test_a_loop_that_ends_in_the_middle_leaves_nothing_open(
    namespace: Namespace, connected: bool, forgotten: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left open is told as an error, when it is collected."""
    kept = []

    async def leave_in_the_middle(after: float) -> None:
        api = Api(settings.load())
        if connected:
            await api.get("pods")
        asking = [asyncio.create_task(api.get("pods")) for _ in range(ASKED)]
        kept.append((None if forgotten else api, asking))
        del api
        await asyncio.sleep(after)

    with caplog.at_level(logging.ERROR, "asyncio"):
        for milliseconds in range(0, 60, 2):
            asyncio.run(leave_in_the_middle(milliseconds / 1000))
            kept.clear()
            gc.collect()
    assert caplog.messages == []
