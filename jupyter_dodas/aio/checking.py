"""Options checked before anything starts: against the model of the kind, and against the limits."""

from collections.abc import Mapping
from typing import Any

from jupyter_dodas import limits, registry, settings
from jupyter_dodas.errors import QuotaExceeded
from jupyter_dodas.options import Options, validate

__all__ = ["checked"]


def checked(kind: str, options: Mapping[str, Any], bounds: settings.Limits | None = None) -> Options:
    """Return validated options, within what the limits could ever give."""
    service = registry.service(kind)
    valid = validate(service.Options, kind, options)
    if service.hidden:
        return valid
    bounds, groups = bounds or settings.load().limits, valid.all_groups()
    if barred := limits.never(bounds, limits.least(groups.values())):
        what, asked, limit = barred
        instead = limits.less(bounds, limits.NOTHING, groups)
        raise QuotaExceeded(what, limits.words(what, asked), limits.words(what, limit), instead)
    return valid
