"""What somebody may hold beside what they do, as the pages of the hub tell it: in words, and for a script."""

import json
from dataclasses import asdict, dataclass

from jupyter_dodas.display import quota as words
from jupyter_dodas.limits import Quota

__all__ = ["Room"]


@dataclass(frozen=True)
class Room:
    """A quota on a page."""

    quota: Quota

    @property
    def words(self) -> str:
        """The groups whose limits hold, and what is free of these: ``cms · 18 cores and 58 GiB free``."""
        return " · ".join(filter(None, (", ".join(self.quota.groups), words.free(self.quota))))

    @property
    def data(self) -> str:
        """JSON, as ``GET /dodas/api/v1/quota`` has it."""
        limits, used = self.quota.limits.model_dump(), asdict(self.quota.used)
        return json.dumps({"limits": limits, "used": used, "enforced": self.quota.enforced, "groups": self.quota.groups})
