"""What runs beside the daemons of a manager: the watch that tells the controller how the pool is, its page, and its neighbours."""

import asyncio
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from jupyter_dodas.services.htcondor.daemons import Daemons
from jupyter_dodas.services.htcondor.jobs import Jobs, here
from jupyter_dodas.services.htcondor.neighbours import Neighbours
from jupyter_dodas.services.htcondor.observation import Shape
from jupyter_dodas.services.htcondor.retirement import Retirement, command
from jupyter_dodas.services.htcondor.service import HtcondorService
from jupyter_dodas.services.htcondor.tokens import PAGE_TOKEN
from jupyter_dodas.services.htcondor.watching import Watch
from jupyter_dodas.services.htcondor.web import serve

__all__ = ["keep_company"]


async def keep_company(arguments: Namespace, daemons: Daemons, config: Path, changed: Callable[[], object]) -> None:
    """Do all of it until cancelled.

    Parameters
    ----------
    arguments
        Of `process`.
    config
        What the daemons read.
    changed
        Called when that has changed.

    Raises
    ------
    OSError
        If a port is taken.
    """
    shapes = [Shape.read(shape) for shape in arguments.shape]
    retirement = Retirement(command(daemons.bin / "condor_drain", config, arguments.domain))
    queue, host = f"schedd@{arguments.domain}", arguments.listen or arguments.host
    watch = Watch(queue, shapes, retirement, HtcondorService.packages)
    jobs = Jobs(here(queue), max((shape.memory for shape in shapes), default=0))
    neighbours = Neighbours(arguments.folder.absolute(), arguments.flock_folder.absolute(), arguments.manager, changed)
    verbs = {"release": jobs.release, "remove": jobs.remove, **neighbours.acts()}
    page = await serve(host, arguments.web, arguments.secrets / PAGE_TOKEN, jobs.look, verbs, watch.thread)
    try:
        await asyncio.gather(watch.serve(host, arguments.control, arguments.secrets), neighbours.follow())
    finally:
        await page.cleanup()
