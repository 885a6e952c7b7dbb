"""The controller's process, as its place starts it: ``python -m jupyter_dodas.controller PLACE ARGUMENT...``."""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Final

from jupyter_dodas import registry, settings
from jupyter_dodas.backends import places
from jupyter_dodas.controller.loop import Controller
from jupyter_dodas.errors import PlaceUnreachable

__all__ = ["main"]

_log = logging.getLogger(__name__)

_RETRY: Final = 2.0


async def _run(place: str, arguments: Sequence[str]) -> None:
    """Be in charge until there is nothing to do; of a place that cannot be reached, again as soon as it can."""
    while True:
        try:
            async with places.tenure(settings.load(), place, arguments) as tenure:
                while True:
                    await Controller(tenure.store, tenure.runner, registry.service, settings.load(), limits=tenure.limits).run()
                    if await tenure.resign():
                        return
        except* PlaceUnreachable as errors:
            _log.warning("The place is out of reach; trying again: %s", errors.exceptions[0])
        await asyncio.sleep(_RETRY)


def main() -> None:
    """Run the controller of a place."""
    place, *arguments = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_run(place, arguments))


if __name__ == "__main__":
    main()
