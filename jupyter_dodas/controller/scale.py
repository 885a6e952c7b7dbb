"""Adaptive scaling: how many workers a group should have for the work there is. Pure, but for the patience that it remembers."""

from collections.abc import Mapping

from jupyter_dodas.options import GroupOptions

__all__ = ["Patience", "shares"]


class Patience:
    """Grows at once, shrinks only when less has been wanted for a while, so that the size does not flap.

    Parameters
    ----------
    seconds
        How long fewer workers must suffice before one is let go.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self._since: dict[str, float] = {}

    def target(self, group: str, current: int, wanted: int, now: float) -> int:
        """Return the size that a group should have now."""
        if wanted >= current:
            self._since.pop(group, None)
            return wanted
        since = self._since.setdefault(group, now)
        if now - since < self.seconds:
            return current
        return wanted

    def look_at(self) -> float | None:
        """When a group may be ripe to shrink."""
        return min(self._since.values()) + self.seconds if self._since else None


def shares(groups: Mapping[str, GroupOptions], wanted: int | None) -> dict[str, int]:
    """Divide the workers that a service wants among its groups: fixed ones first, then the adaptive in their order.

    Parameters
    ----------
    wanted
        Workers over all groups; None if the service cannot tell, which asks for the fewest.
    """
    left = (wanted or 0) - sum(group.workers for group in groups.values() if group.adapt is None)
    found = {}
    for name, group in groups.items():
        fewest, most = group.bounds()
        found[name] = max(fewest, min(most, left)) if group.adapt else group.workers
        if group.adapt:
            left -= found[name]
    return found
