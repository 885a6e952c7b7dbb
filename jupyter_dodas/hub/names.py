"""Names that people have in the hub: safe as a path, a label and an account, and never those of the system."""

import pwd
import re
from collections.abc import Container
from typing import Final

from jupyter_dodas.errors import SignInRefused

__all__ = ["FIRST_OF_PEOPLE", "hub_name", "system_names"]

_SAFE: Final = re.compile(r"[a-z0-9](?:[a-z0-9_+@-]|\.(?!\.)){0,62}(?<![.])")

FIRST_OF_PEOPLE: Final = 1000
"""The smallest uid that Linux distributions give to people."""


def hub_name(username: str, reserved: Container[str]) -> str:
    """Return the name in the hub of somebody whom the provider calls so.

    Upper and lower case are one, here as in mail addresses and host names.

    Parameters
    ----------
    username
        What the provider calls ``preferred_username``.
    reserved
        Names that nobody can have.

    Raises
    ------
    SignInRefused
        If it can be no name here.
    """
    # Some letters of other alphabets become ours in lower case: the sign for kelvin is no k.
    name = username.lower() if username.isascii() else username
    if not name:
        raise SignInRefused(
            "Your account has no user name",
            cause="The identity provider sent no preferred_username.",
            remedy="An administrator of the hub can add profile to the scopes of its client.",
        )
    if not _SAFE.fullmatch(name):
        raise SignInRefused(
            f"The user name {username[:64]!r} cannot be used here",
            cause="Names are at most 63 letters a to z, digits, and . _ + @ - between them.",
            remedy="Ask your organisation for another user name.",
        )
    if name in reserved:
        raise SignInRefused(
            f"The user name {name!r} cannot be used here",
            cause="It is one of the system's.",
            remedy="Ask your organisation for another user name.",
        )
    return name


def system_names() -> frozenset[str]:
    """Return the accounts of this machine that are nobody's in person."""
    return frozenset({"root", *(entry.pw_name.lower() for entry in pwd.getpwall() if entry.pw_uid < FIRST_OF_PEOPLE)})
