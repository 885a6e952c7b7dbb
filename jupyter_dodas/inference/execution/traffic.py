"""What is known of the requests to one version in the last minutes: how many, how many failed, how long they took."""

from bisect import bisect_right
from collections import deque
from typing import Final

__all__ = ["Traffic"]

_BOUNDS: Final = tuple(1e-5 * 1.2**step for step in range(90))
"""Seconds, from 10 us to two minutes: each bucket is a fifth wider than the one before."""
_SPAN: Final = 10.0
_SPANS: Final = 18


class Traffic:
    """Counts, in spans of ten seconds of which the last three minutes are kept."""

    def __init__(self) -> None:
        self.requests = self.failures = self.rows = 0
        self._spans: deque[tuple[float, list[int]]] = deque(maxlen=_SPANS)
        self._until = 0.0
        self._counts: list[int] = []

    def count(self, requests: int, rows: int, seconds: float, now: float) -> None:
        """Count requests that were answered together, and what one of them took."""
        if now >= self._until:
            self._until, self._counts = now + _SPAN, [0] * (len(_BOUNDS) + 1)
            self._spans.append((now, self._counts))
        self._counts[bisect_right(_BOUNDS, seconds)] += requests
        self.requests += requests
        self.rows += rows

    def fail(self, requests: int) -> None:
        """Count requests that failed."""
        self.requests += requests
        self.failures += requests

    def per_second(self, now: float) -> float:
        """Return the requests that were answered in a second, over the last minute."""
        recent = [(began, sum(counts)) for began, counts in self._spans if began > now - 60 - _SPAN]
        return sum(count for _, count in recent) / max(1.0, now - recent[0][0]) if recent else 0.0

    def quantiles(self, now: float, *shares: float) -> list[float]:
        """Return the seconds within which these shares of the requests of the last minutes were answered; 0 without any."""
        counts = [
            sum(column) for column in zip(*(counts for began, counts in self._spans if began > now - _SPAN * _SPANS), strict=True)
        ]
        total, found = sum(counts), []
        for share in shares:
            left, index = share * total, 0
            while index < len(counts) - 1 and left > counts[index]:
                left -= counts[index]
                index += 1
            found.append(_BOUNDS[min(index, len(_BOUNDS) - 1)] if total else 0.0)
        return found
