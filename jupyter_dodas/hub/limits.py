"""What people may hold at once, by the groups that the identity provider says. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Limits

__all__ = ["EVERYBODY_ELSE", "GroupLimits"]

EVERYBODY_ELSE: Final = "*"
"""The row for what no group of somebody says anything about."""


class GroupLimits:
    """Limits by group, as an administrator writes them.

    Parameters
    ----------
    written
        Tables of limits by the name of a group, as it stands in ``allowed_groups``. Null is no limit; what is left out is as the
        other groups of somebody say, and where none does, as `EVERYBODY_ELSE` does.

    Raises
    ------
    InvalidSetting
        If a table is not one.
    """

    def __init__(self, written: Mapping[str, Any]) -> None:
        self._rows = {str(group).strip("/"): _row(str(group), table) for group, table in written.items()}

    def of(self, groups: Iterable[str]) -> Allowance:
        """Return what somebody in these groups may hold: of each thing what the most generous of them gives."""
        own = {group: row for group in sorted(groups) if (row := self._rows.get(group)) is not None}
        rest = self._rows.get(EVERYBODY_ELSE, Limits())
        limits: dict[str, int | None] = {}
        givers: set[str] = set()
        for thing in Limits.model_fields:
            said = {group: getattr(row, thing) for group, row in own.items() if thing in row.model_fields_set}
            if not said:
                limits[thing] = getattr(rest, thing)
                continue
            limits[thing] = None if None in said.values() else max(said.values())
            givers.update(group for group, amount in said.items() if amount == limits[thing])
        return Allowance(limits=Limits.model_validate(limits), groups=tuple(sorted(givers)))


def _row(group: str, table: Any) -> Limits:
    try:
        return Limits.model_validate(table)
    except ValidationError as error:
        detail = error.errors()[0]
        where = "".join(f" {part}:" for part in detail["loc"])
        raise InvalidSetting(
            f"The limits of {group} in DodasSpawner.limits will not do:{where} {detail['msg']}",
            cause="For each group there are some of clusters, workers, cores and memory.",
            remedy="docs/guides/notebooks.md shows them.",
        ) from error
