"""Who there is: users, their groups, and clients, from a small TOML file that is read again when it changes."""

import tomllib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.iam.profiles import Profile
from jupyter_dodas.iam.provider import EXCHANGE

__all__ = ["Client", "Directory", "DirectoryFile", "Lifetimes", "User"]

_Strict = ConfigDict(frozen=True, extra="forbid")

Seconds = Annotated[float, Field(gt=0)]


class User(BaseModel):
    """Somebody who can sign in."""

    model_config = _Strict

    name: str = Field(default="", description="In full; by default the user name.")
    email: str = ""
    groups: tuple[str, ...] = Field(default=(), description="Paths without a slash in front: cms/italy.")
    optional_groups: tuple[str, ...] = Field(default=(), description="Groups that are told only to who asks for them by scope.")
    suspended: bool = Field(default=False, description="Cannot sign in, and no token of theirs works.")
    subject: str = Field(default="", description="By default one is made from the user name.")


class Client(BaseModel):
    """A program that lets people sign in here."""

    model_config = _Strict

    secret_file: Path = Field(description="Holds the secret; relative to this file.")
    redirects: tuple[str, ...] = Field(default=(), description="Where it may have people sent back to, to the letter.")
    scope: str = "openid profile email offline_access"
    grants: tuple[str, ...] = ("authorization_code", "refresh_token", EXCHANGE)


class Lifetimes(BaseModel):
    """How long tokens last, in seconds. The defaults are those of INDIGO IAM."""

    model_config = _Strict

    access: Seconds = 3600
    id: Seconds = 600
    refresh: Seconds = 30 * 86400


class Directory(BaseModel):
    """The whole file."""

    model_config = _Strict

    organisation: str = "development"
    profile: Profile = Field(default=Profile.IAM, description="Of clients whose scopes do not name one.")
    refresh_tokens: Literal["rotated", "reused"] = "rotated"
    lifetimes: Lifetimes = Lifetimes()
    users: Mapping[str, User] = Field(min_length=1)
    clients: Mapping[str, Client] = {}

    def subject(self, user: str) -> str:
        """Return the name of a user that never changes."""
        return self.users[user].subject or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.organisation}/{user}"))

    def active(self, user: str) -> bool:
        """Whether somebody is here, and not suspended."""
        return user in self.users and not self.users[user].suspended


class DirectoryFile:
    """The file, as it is now.

    Parameters
    ----------
    path
        Of the file.
    clients
        More of them than the file has.

    Raises
    ------
    InvalidSetting
        If it cannot be used.
    """

    def __init__(self, path: Path, clients: Mapping[str, Client] | None = None) -> None:
        self._path = path
        self._clients = clients or {}
        self._seen: tuple[int, int] | None = None
        self._directory = self._read()

    def now(self) -> Directory:
        """Return what it says; what it said before, while it cannot be used."""
        try:
            return self._read()
        except InvalidSetting:
            return self._directory

    def secret(self, client: Client) -> str:
        """Return the secret of a client."""
        return (self._path.parent / client.secret_file).read_text("utf-8").strip()

    def _read(self) -> Directory:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._seen:
                read = Directory.model_validate(tomllib.loads(self._path.read_text("utf-8")))
                self._directory = read.model_copy(update={"clients": {**read.clients, **self._clients}})
                self._seen = stamp
        except ValidationError as error:
            detail = error.errors()[0]
            raise _unusable(self._path, f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}") from error
        except (OSError, ValueError) as error:
            raise _unusable(self._path, str(error)) from error
        return self._directory


def _unusable(path: Path, why: str) -> InvalidSetting:
    return InvalidSetting(
        f"{path} does not say who can sign in", cause=why, remedy="docs/guides/hub.md has an example: [users.alice], [clients.hub]."
    )
