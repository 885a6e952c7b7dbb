"""The limits that a hub has set for a local place: a file beside it that, where they are enforced, its user cannot write."""

import os
from pathlib import Path

from pydantic import ValidationError

from jupyter_dodas.backends.local.layout import write_atomically
from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.limits import Allowance

__all__ = ["file_of", "read", "write"]


def file_of(state: Path) -> Path:
    """Return the file for a state root. It is not in that folder, which is its user's."""
    return state.with_name(f"{state.name}.limits.json")


def write(state: Path, allowance: Allowance) -> None:
    """Write what holds for a place. Its folder must be there.

    Parameters
    ----------
    allowance
        ``enforced`` if something sees to it that the user cannot change; it counts only if she cannot write the file either.

    Raises
    ------
    StoreFull, StateNotWritable
    """
    file = file_of(state)
    data = allowance.model_dump_json().encode()
    if not file.exists() or file.read_bytes() != data:
        write_atomically(file, data)
        file.chmod(0o644)


def read(state: Path) -> Allowance:
    """Return what holds for a place; no limits if nobody has written any.

    Raises
    ------
    InvalidSetting
        If the file is damaged: what it says cannot be passed over.
    """
    file = file_of(state)
    try:
        found = Allowance.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Allowance()
    except (OSError, ValidationError) as error:
        raise InvalidSetting(
            f"The limits of this place cannot be read: {file}",
            cause=str(error),
            remedy="An administrator has to mend it.",
        ) from error
    return found if found.enforced and not _is_mine(file) else found.model_copy(update={"enforced": False})


def _is_mine(file: Path) -> bool:
    """Whether I could change what it says, or put another in its place."""
    return any(one.stat().st_uid == os.geteuid() or os.access(one, os.W_OK) for one in (file, file.parent))
