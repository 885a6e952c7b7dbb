"""The loop of a widget: it ends with all that was begun on it."""

import asyncio

from jupyter_dodas.testing.waiting import blocking_until
from jupyter_dodas.widgets.background import Background


def test_what_others_have_begun_on_it_ends_with_it() -> None:
    background = Background()
    begun: list[asyncio.Task[None]] = []
    ended: list[str] = []

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("beside")

    async def work() -> None:
        begun.append(asyncio.create_task(beside()))
        await asyncio.sleep(0)

    assert background.start(work)
    background.finish()
    blocking_until(lambda: ended, within=20)
    assert begun[0].cancelled()
    assert not background.start(work)
