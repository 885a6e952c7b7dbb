"""How many requests a caller may make: so many a second, and so many at once.

The bucket of a caller is one number, the time at which it would be full again.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from jupyter_dodas.errors import Busy

__all__ = ["Rates"]

_MOST: Final = 10_000
"""Callers that are kept; beyond, whoever has been away longest begins anew."""


class Rates:
    """The buckets of all callers.

    Parameters
    ----------
    rate
        Requests a second; None is no bound.
    burst
        Requests at once.
    clock
        Seconds, of any beginning.
    """

    def __init__(self, rate: float | None, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.bounded: Final = rate is not None
        self._each = 0.0 if rate is None else 1 / rate
        self._burst = burst
        self._depth = burst * self._each
        self._clock = clock
        self._full: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count a request.

        Raises
        ------
        Busy
            If it is one too many, with the seconds after which it is not.
        """
        if not self.bounded:
            return
        now = self._clock()
        full = max(self._full.get(caller, now), now) + self._each
        # A hair of patience, for sums of numbers that are not exact.
        if full - now > self._depth + self._each * 1e-6:
            raise Busy(
                f"{caller} asks too often",
                cause=f"{1 / self._each:g} requests a second are allowed, {self._burst} at once.",
                after=full - now - self._depth,
            )
        self._full[caller] = full
        self._full.move_to_end(caller)
        if len(self._full) > _MOST:
            self._full.popitem(last=False)

    def left(self, caller: str) -> tuple[int, int, int]:
        """Return how many requests may come at once, how many of them are left, and the seconds until all are again."""
        now = self._clock()
        wait = max(self._full.get(caller, now) - now, 0.0)
        return self._burst, int((self._depth - wait) / self._each + 1e-6), math.ceil(wait)
