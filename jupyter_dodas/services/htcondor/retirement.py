"""Retiring workers: nothing new goes to them, and what they run is finished.

Retiring is a lease, since the controller that asks for it may change its mind, or die: a worker that nobody asks about any more
goes back to work.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from logging import getLogger
from pathlib import Path
from time import monotonic
from typing import Final

from jupyter_dodas.channel import LEASE
from jupyter_dodas.services.htcondor.observation import Slots

__all__ = ["Retirement", "command"]

logger = getLogger(__name__)

_WAIT: Final = 2.0  # a request is answered after this many seconds at the latest; the rest goes on behind it
_PATIENCE: Final = 20.0  # seconds for the command that tells a worker


class Retirement:
    """The workers of one pool that are being retired.

    Parameters
    ----------
    tell
        Has a worker drain, or go back to work; returns whether it was told.
    lease
        Seconds after which a retirement that nobody asked about again is undone.
    """

    def __init__(self, tell: Callable[[str, bool], Awaitable[bool]], *, lease: float = LEASE) -> None:
        self._tell, self._lease = tell, lease
        self._asked: dict[str, float] = {}
        self._told: dict[str, float] = {}  # by the clock of the workers
        self._slots = Slots()
        self._looked = asyncio.Condition()

    @property
    def under_way(self) -> bool:
        """Whether somebody waits for a worker to go."""
        return bool(self._asked)

    async def retire(self, names: Iterable[str]) -> list[str]:
        """Retire these workers, and return those that can be deleted now: they have no job, and take none."""
        wanted = dict.fromkeys(names, monotonic())
        self._asked.update(wanted)
        await asyncio.gather(*(self._drain(name) for name in wanted if name not in self._told))
        try:
            async with asyncio.timeout(_WAIT), self._looked:
                await self._looked.wait_for(lambda: all(self._is_done(name) for name in wanted))
        except TimeoutError:
            pass
        return [name for name in wanted if self._is_done(name)]

    async def look(self, slots: Slots) -> None:
        """Take in how the workers are now, and have those go on that nobody asks about any more."""
        async with self._looked:
            self._slots = slots
            self._looked.notify_all()
        now = monotonic()
        for name in [name for name, asked in self._asked.items() if now - asked > self._lease]:
            del self._asked[name]
            if self._told.pop(name, None) is not None and name in slots.ready and await self._tell(name, False):
                logger.info("%s goes on working: nobody asked again to retire it", name)

    async def _drain(self, name: str) -> None:
        now = time.time()
        if name in self._slots.ready and await self._tell(name, True):
            self._told[name] = now

    def _is_done(self, name: str) -> bool:
        """Whether it is drained by what it said since it was told, or is not there at all."""
        drained = self._slots.drained.get(name)
        return name not in self._slots.ready or (drained is not None and drained >= self._told.get(name, float("inf")) - 1)


def command(program: Path, config: Path, domain: str) -> Callable[[str, bool], Awaitable[bool]]:
    """Return what tells a worker, by HTCondor's own command; the bindings cannot take on the rights that it takes.

    Parameters
    ----------
    program
        ``condor_drain``.
    config
        The manager's configuration.
    """

    async def tell(worker: str, drain: bool) -> bool:
        how = ("-graceful", "-reason", "The worker is to go.") if drain else ("-cancel",)
        process = await asyncio.create_subprocess_exec(
            *(program, *how, f"slot1@{worker}@{domain}"),
            env={"CONDOR_CONFIG": str(config), "PATH": os.defpath},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return False
        if process.returncode:
            logger.info("%s cannot be told: %s", worker, said.decode(errors="replace").strip())
        return not process.returncode

    return tell
