"""The controller's process, as the keeper starts it: ``python -m jupyter_dodas.controller RUNTIME STATE``."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from jupyter_dodas import registry, settings
from jupyter_dodas.backends.local.bus import BusServer
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.backends.local.runner import LocalRunner
from jupyter_dodas.backends.local.store import OwnStore
from jupyter_dodas.controller.loop import Controller
from jupyter_dodas.spec import Phase

__all__ = ["main"]


async def _run(layout: Layout) -> None:
    bus = BusServer(layout.controller_socket)
    store, runner = OwnStore(layout, bus), LocalRunner(layout)
    store.sweep()
    _end_with_the_keeper()
    async with runner.connected(), bus.serve():
        while True:
            await Controller(store, runner, registry.service, settings.load()).run()
            # A launch either wrote its record before this look, or finds no keeper and starts one.
            with layout.locked():
                if all(record.status.phase is Phase.FAILED for record in await store.list()):
                    await runner.quit()
                    return


def _end_with_the_keeper() -> None:
    """End when the keeper's pipe closes: without it nothing here can be done."""
    alive = int(os.environ["DODAS_ALIVE"])
    asyncio.get_running_loop().add_reader(alive, os._exit, 0)


def main() -> None:
    """Run the controller of a local place."""
    runtime, state = map(Path, sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_run(Layout(state, runtime)))


if __name__ == "__main__":
    main()
