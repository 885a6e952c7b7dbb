"""What a hub hands over to a notebook: variables, the token of the server among them, in a file for its owner alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["TOKEN", "VARIABLES", "of_bytes", "of_folder", "to_bytes"]

VARIABLES: Final = "variables.json"
"""The name of the file among the secrets."""

TOKEN: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of the variable


def to_bytes(variables: Mapping[str, str]) -> bytes:
    """Return variables as they are kept."""
    return json.dumps(dict(sorted(variables.items()))).encode()


def of_bytes(data: bytes) -> Mapping[str, str]:
    """Return variables that were kept."""
    variables: dict[str, str] = json.loads(data)
    return variables


def of_folder(secrets: Path) -> Mapping[str, str]:
    """Return the variables from a folder of secrets.

    Raises
    ------
    OSError
        If they are not there.
    """
    return of_bytes((secrets / VARIABLES).read_bytes())
