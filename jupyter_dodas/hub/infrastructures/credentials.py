"""Credentials for clouds, of users and groups: what may be seen lies open, the rest encrypted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import SecretStr, TypeAdapter
from sqlalchemy import Connection, delete, insert, select

from jupyter_dodas.errors import NotAllowed, NotSupported
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.tables import CLOUDS
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.clouds import Cloud
from jupyter_dodas.provision.views import CloudView

__all__ = ["Credentials", "group", "missing", "user"]

_CLOUD: Final[TypeAdapter[Cloud]] = TypeAdapter(Cloud)
_C: Final = CLOUDS.c


def user(name: str) -> str:
    """Return the owner that a user is."""
    return f"user:{name}"


def group(name: str) -> str:
    """Return the owner that a group is."""
    return f"group:{name}"


class Credentials:
    """All of them.

    Parameters
    ----------
    store, vault
        Where they are, and who closes and opens what is secret in them.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault

    async def put(self, owner: str, cloud: Cloud) -> CloudView:
        """Keep credentials, instead of any of this owner and name."""
        public, hidden = _apart(cloud)
        row = {
            "owner": owner,
            "name": cloud.name,
            "kind": cloud.kind,
            "public": json.dumps(public),
            "secrets": self._vault.close(hidden),
        }

        def work(connection: Connection) -> None:
            connection.execute(delete(CLOUDS).where(_C.owner == owner, _C.name == cloud.name))
            connection.execute(insert(CLOUDS).values(**row))

        await self._store.run(work)
        return CloudView(name=cloud.name, kind=cloud.kind, group=_group_of(owner), public=public)

    async def list(self, owners: Sequence[str]) -> Sequence[tuple[str, CloudView]]:
        """Return what there is of several owners, in their order, each with its owner."""
        which = select(_C.owner, _C.name, _C.kind, _C.public).where(_C.owner.in_(owners)).order_by(_C.name)
        rows = await self._store.run(lambda it: list(it.execute(which)))
        views = [
            (owner, CloudView(name=name, kind=kind, group=_group_of(owner), public=json.loads(public)))
            for owner, name, kind, public in rows
        ]
        return sorted(views, key=lambda one: list(owners).index(one[0]))

    async def of_users(self) -> Sequence[tuple[str, str]]:
        """Return the users who have credentials of their own, with the names of these."""
        rows = await self._store.run(lambda it: list(it.execute(select(_C.owner, _C.name).where(_C.owner.startswith("user:")))))
        return [(owner.removeprefix("user:"), name) for owner, name in rows]

    async def get(self, owner: str, name: str) -> Cloud:
        """Return credentials with what is secret in them.

        Raises
        ------
        NotSupported
            If there are none of this name any more.
        InvalidSetting
            If the key is gone with which they were encrypted.
        """
        which = select(_C.kind, _C.public, _C.secrets).where(_C.owner == owner, _C.name == name)
        found = await self._store.run(lambda it: it.execute(which).one_or_none())
        if found is None:
            raise missing(name)
        kind, public, closed = found
        return _CLOUD.validate_python({"kind": kind, "name": name, **json.loads(public), **self._vault.open(closed)})

    async def remove(self, owner: str, name: str) -> None:
        """Forget credentials.

        Raises
        ------
        NotAllowed
            If something that is there was made with them, and could not be deleted without.
        """
        users = [one for one in await self._store.all() if (one.cloud_owner, one.cloud) == (owner, name)]
        if users:
            raise NotAllowed(
                f"The credentials {name!r} are in use",
                cause=f"With them were made: {', '.join(sorted({one.name for one in users}))}.",
                remedy="Delete these first; new values under the same name are taken at any time.",
            )
        await self._store.run(lambda it: it.execute(delete(CLOUDS).where(_C.owner == owner, _C.name == name)))


def missing(name: str) -> NotSupported:
    """Return the error that there are no such credentials."""
    return NotSupported(
        f"There are no credentials {name!r} for a cloud",
        cause="They are neither yours nor those of a group of yours.",
        remedy="`dodas infrastructure cloud list` shows which there are, `dodas infrastructure cloud add` takes new ones.",
    )


def _apart(cloud: Cloud) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return what may be seen of credentials, and what is secret."""
    values: dict[str, Any] = {name: value for name, value in cloud if name not in ("kind", "name") and value is not None}
    hidden = {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}
    return {name: str(value) for name, value in values.items() if name not in hidden}, hidden


def _group_of(owner: str) -> str:
    kind, _, name = owner.partition(":")
    return name if kind == "group" else ""
