"""What is secret of people and their infrastructures: encrypted with keys that are in a file of their own."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from jupyter_dodas.errors import InvalidSetting

__all__ = ["Vault"]

_PRIVATE: Final = 0o600


class Vault:
    """Closes and opens secrets.

    Parameters
    ----------
    keys
        The first one closes, all of them open.
    """

    def __init__(self, keys: Sequence[Fernet]) -> None:
        self._first, self._keys = keys[0], MultiFernet(keys)

    def __repr__(self) -> str:
        return "Vault()"

    @classmethod
    def at(cls, file: Path) -> Self:
        """Return the vault with the keys in a file, a line each; a file that is missing is made.

        Raises
        ------
        InvalidSetting
            If it holds no keys, or others could read it.
        """
        try:
            if not file.exists():
                _make(file)
        except OSError as error:
            raise _unusable(file, error.strerror or "") from error
        try:
            if file.stat().st_mode & 0o077:
                raise _unusable(file, "Other accounts of this machine can read it.")
            return cls([Fernet(line) for line in file.read_text("ascii").split()])
        except (OSError, ValueError, IndexError) as error:
            raise _unusable(file, getattr(error, "strerror", "") or "It holds no keys of Fernet.") from error

    def close(self, secrets: Mapping[str, str]) -> bytes:
        """Encrypt secrets."""
        return self._keys.encrypt(json.dumps(dict(secrets)).encode())

    def open(self, closed: bytes | None) -> dict[str, str]:
        """Return secrets; of nothing there are none.

        Raises
        ------
        InvalidSetting
            If they were closed with a key that is not there.
        """
        if not closed:
            return {}
        try:
            found: dict[str, str] = json.loads(self._keys.decrypt(closed))
        except InvalidToken:
            raise InvalidSetting(
                "Secrets of the service of infrastructures cannot be read",
                cause="They were encrypted with a key that its file no longer holds.",
                remedy="Put the key back into the file, as a further line; or delete the credentials, and enter them again.",
            ) from None
        return found

    def turn(self, closed: bytes) -> bytes:
        """Encrypt with the first key what was with another one; what cannot be opened stays as it is, and says so when it is."""
        with suppress(InvalidToken):
            self._first.decrypt(closed)
            return closed
        with suppress(InvalidToken):
            return self._keys.rotate(closed)
        return closed


def _make(file: Path) -> None:
    """Make a file with a key, whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as made:
        made.write(Fernet.generate_key() + b"\n")
        made.flush()
        os.fsync(made.fileno())
    try:
        with suppress(FileExistsError):  # somebody else was quicker, and may have used theirs
            os.link(beside, file)
    finally:
        beside.unlink()


def _unusable(file: Path, cause: str) -> InvalidSetting:
    return InvalidSetting(
        f"The keys of the service of infrastructures cannot be used: {file}",
        cause=cause,
        remedy="It is a file of the hub's account alone (chmod 600), with a key of Fernet in each line.",
    )
