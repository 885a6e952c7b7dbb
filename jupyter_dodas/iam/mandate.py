"""What lets a program that is no server of a user's ask the hub for access tokens of hers, and for nothing else."""

import json
import re
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Mandate"]

_ADDRESS: Final = re.compile(r"https?://[^\s?#]+")


@dataclass(frozen=True)
class Mandate:
    """Given by a hub, and taken back by it.

    Parameters
    ----------
    address
        Of the hub's API.
    key
        A token of the hub for it.
    due
        When to ask for the first time, in seconds since 1970: till then the access token will do that came along with it.
    """

    address: str
    key: str = field(repr=False)
    due: float = 0.0

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        return json.dumps({"address": self.address, "key": self.key, "due": self.due}).encode()

    @classmethod
    def of_bytes(cls, data: bytes) -> "Mandate | None":
        """Return one that was kept; None for nothing, and for what is none."""
        try:
            found = json.loads(data)
            address, key, due = str(found["address"]), str(found["key"]), float(found.get("due", 0.0))
        except (ValueError, LookupError, TypeError):
            return None
        # Whoever owns the place can write there, and its controller may reach more than they do: it asks for tokens, and for no
        # file and no page of their choice.
        return cls(address, key, due) if _ADDRESS.fullmatch(address) else None
