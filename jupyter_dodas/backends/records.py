"""Records as text, in whatever store: read back, or told why they cannot be read. Pure."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import ValidationError

from jupyter_dodas.errors import DamagedRecord, DodasError, NewerRecord
from jupyter_dodas.spec import FORMAT, ClusterSpec, ClusterStatus, Phase, Problem, Receipt, Record

__all__ = ["ModelT", "parse_receipts", "read", "unreadable"]

ModelT = TypeVar("ModelT", ClusterSpec, ClusterStatus)


def read(text: bytes | str, name: str, where: str, model: type[ModelT]) -> ModelT:
    """Return the spec or the status that a text holds.

    Parameters
    ----------
    where
        What to look at if it is damaged.

    Raises
    ------
    DamagedRecord, NewerRecord
    """
    try:
        found = model.model_validate_json(text)
    except ValidationError as error:
        number = _format(text)
        if number > FORMAT:
            raise NewerRecord(name, number, FORMAT) from error
        raise DamagedRecord(name, where, error.errors()[0]["msg"]) from error
    if found.format > FORMAT:
        raise NewerRecord(name, found.format, FORMAT)
    return found


def unreadable(name: str, error: DodasError, created: float) -> Record:
    """Return how a list shows a record that cannot be read: failed, with the reason."""
    problem = Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy, retry=error.retry)
    spec = ClusterSpec.model_construct(name=name, uid="", kind="?", owner="", created=created, options={})
    return Record.model_construct(spec=spec, status=ClusterStatus(uid="", phase=Phase.FAILED, problem=problem))


def parse_receipts(lines: Iterable[str]) -> Sequence[Receipt]:
    """Return the receipts of these lines, one for a cluster. Lines that cannot be read are passed over."""
    found: dict[str, Receipt] = {}
    for line in lines:
        with suppress(ValidationError):
            receipt = Receipt.model_validate_json(line)
            found[receipt.uid] = receipt
    return list(found.values())


def _format(text: bytes | str) -> int:
    try:
        found: Any = json.loads(text).get("format")
    except (ValueError, AttributeError):
        return 0
    return found if isinstance(found, int) else 0
