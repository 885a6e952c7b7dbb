"""The access token that instances find in a file, kept fresh for as long as something runs, with or without a notebook.

A hub entrusts a place with a mandate: the right to ask it for short-lived tokens of the user. Where there is none nothing happens.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jupyter_dodas.backends.base import MANDATE, TOKEN, Runner, Store
from jupyter_dodas.errors import DodasError, IamUnreachable
from jupyter_dodas.iam.mandate import Mandate

__all__ = ["Bearer"]

_log = logging.getLogger(__name__)

_FIRST, _LONGEST = 1.0, 120.0
"""Seconds after which what failed is tried again: each time twice as many."""

_SOON: Final = 10.0
"""Seconds after a start in which a mandate that came with it is found. Its first token was laid out by the hub itself."""

_OFTEN: Final = 300.0
"""Seconds after which the hub is asked again at the latest: it gives the same token, or says that its user may not have one."""


class Bearer:
    """Keeps the token of a place.

    Parameters
    ----------
    clock
        Seconds since 1970.
    """

    def __init__(self, store: Store, runner: Runner, clock: Callable[[], float] = time.time) -> None:
        self._store, self._runner, self._clock = store, runner, clock
        self._mandate: Mandate | None = None
        # What was laid out with it; None if that is not known.
        self._laid: bytes | None = None
        self._due = 0.0
        self._pause = _FIRST
        self._trouble = ""
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Take note that something starts or ends here. A hub that starts a notebook has entrusted a mandate before."""
        self._stirred.set()

    async def run(self) -> None:
        """Look after it for ever."""
        while True:
            try:
                pause = await self.look()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a token, clusters must go on
                pause = self._later(error)
            with suppress(TimeoutError):
                # So that not all ask at once.
                async with asyncio.timeout(None if pause is None else pause * random.uniform(0.9, 1.1)):  # noqa: S311
                    await self._stirred.wait()
                    await asyncio.sleep(_SOON)
            self._stirred.clear()

    async def look(self) -> float | None:
        """Do what is due. Returns the seconds after which to look again, if nothing stirs before; None for only then."""
        if not await self._runner.clusters():
            return None
        mandate = Mandate.of_bytes(await self._store.entrusted(MANDATE))
        if mandate != self._mandate:
            self._mandate, self._laid = mandate, None
            # Many places that start at once have all just been given a token: none of them has to ask its hub for it.
            self._due = min(mandate.due, self._clock() + _OFTEN) if mandate and await self._store.entrusted(TOKEN) else 0.0
            self._pause, self._trouble = _FIRST, ""
        if mandate is None:
            await self._clear()
            return None
        if self._clock() >= self._due:
            await self._renew(mandate)
        return max(0.0, self._due - self._clock())

    async def _renew(self, mandate: Mandate) -> None:
        from jupyter_dodas.iam.bearer import ask  # with what speaks HTTP, which most places never need

        asked = self._clock()
        try:
            given = await asyncio.to_thread(ask, mandate)
        except IamUnreachable as error:
            self._due = self._clock() + self._later(error)  # the one that is there may last for a while
        except DodasError as error:
            self._due = self._clock() + self._later(error)
            await self._clear()
        else:
            if self._laid != (token := given.token.encode()):
                await self._store.entrust(TOKEN, token)
            self._laid, self._pause, self._trouble = token, _FIRST, ""
            self._due = asked + max(_FIRST, min(given.lasts / 2, _OFTEN))

    async def _clear(self) -> None:
        if self._laid != b"" and await self._store.entrusted(TOKEN):
            await self._store.entrust(TOKEN, b"")
            _log.info("The access token was removed")
        self._laid = b""

    def _later(self, trouble: Exception) -> float:
        if str(trouble) != self._trouble:
            self._trouble = str(trouble)
            _log.warning("No access token can be had now: %s", trouble)
        pause = self._pause
        self._pause = min(pause * 2, _LONGEST)
        return pause
