"""What the controller of a local place holds: it is the keeper's child, and alone by that."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from jupyter_dodas.backends.local import allowance
from jupyter_dodas.backends.local.bus import BusServer
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.backends.local.runner import LocalRunner
from jupyter_dodas.backends.local.store import OwnStore
from jupyter_dodas.settings import Limits, Settings
from jupyter_dodas.spec import Phase

__all__ = ["LocalTenure", "tenure"]


class LocalTenure:
    """See `Tenure`."""

    def __init__(self, layout: Layout, store: OwnStore, runner: LocalRunner, limits: Limits) -> None:
        self._layout, self._limits = layout, limits
        self.store, self.runner = store, runner

    async def limits(self) -> Limits:
        """See `Tenure.limits`."""
        return allowance.read(self._layout.state).within(self._limits).limits

    async def resign(self) -> bool:
        """See `Tenure.resign`. The keeper ends as well."""
        # A launch either wrote its record before this look, or finds no keeper and starts one.
        with self._layout.locked():
            if all(record.status.phase is Phase.FAILED for record in await self.store.list()):
                await self.runner.quit()
                return True
        return False


@asynccontextmanager
async def tenure(settings: Settings, arguments: Sequence[str]) -> AsyncGenerator[LocalTenure, None]:
    """Take charge, as a child of the keeper.

    Parameters
    ----------
    arguments
        The runtime folder and the state folder.
    """
    runtime, state = map(Path, arguments)
    layout = Layout(state, runtime)
    bus = BusServer(layout.controller_socket)
    store, runner = OwnStore(layout, bus), LocalRunner(layout)
    store.sweep()
    _end_with_the_keeper()
    async with runner.connected(), bus.serve():
        yield LocalTenure(layout, store, runner, settings.limits)


def _end_with_the_keeper() -> None:
    """End when the keeper's pipe closes: without it nothing here can be done."""
    alive = int(os.environ["DODAS_ALIVE"])
    asyncio.get_running_loop().add_reader(alive, os._exit, 0)
