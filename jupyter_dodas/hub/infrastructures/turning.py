"""What is encrypted in the store, with the key that is now the first."""

from typing import Final

from sqlalchemy import Connection, Table, and_, select, update

from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.tables import CLOUDS, INFRASTRUCTURES
from jupyter_dodas.hub.infrastructures.vault import Vault

__all__ = ["turn"]

_TABLES: Final = (INFRASTRUCTURES, CLOUDS)


async def turn(store: Store, vault: Vault) -> int:
    """Encrypt with the first key of a vault whatever was with another one of it, and return how many secrets these were."""

    def work(connection: Connection) -> int:
        return sum(_turn(connection, table, vault) for table in _TABLES)

    return await store.run(work)


def _turn(connection: Connection, table: Table, vault: Vault) -> int:
    keys, turned = list(table.primary_key), 0
    for closed, *where in connection.execute(select(table.c.secrets, *keys).where(table.c.secrets.is_not(None))).all():
        if (anew := vault.turn(closed)) != closed:
            row = and_(*(key == value for key, value in zip(keys, where, strict=True)))
            connection.execute(update(table).where(row).values(secrets=anew))
            turned += 1
    return turned
