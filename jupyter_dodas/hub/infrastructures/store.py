"""The store of the service: durable, its own, and in nobody's way when the hub's database is lost.

All questions go through one thread, so that a database far away keeps nothing else waiting, and two of ours never race.
"""

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, create_engine, delete, event, insert, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from jupyter_dodas.errors import InfrastructureExists, InvalidSetting, StateNotWritable
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.tables import DURATIONS, FACTS, INFRASTRUCTURES, METADATA, TEXTS

__all__ = ["Store"]

T = TypeVar("T")

_KEPT: Final = 20
"""Durations of a step that are remembered."""
_LOCK: Final = 0x646F646173
"""Number of the lock in PostgreSQL: "dodas"."""
_PATIENCE: Final = 60.0
"""Seconds that a service before this one may take to end."""

_ROWS: Final = INFRASTRUCTURES.c


class Store:
    """Everything that the service must not forget.

    Parameters
    ----------
    url
        Of SQLAlchemy: ``sqlite:////var/lib/.../infrastructures.sqlite`` or ``postgresql+psycopg://...``.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._held: Any = None
        self._file = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
        try:
            self._engine = create_engine(parsed, pool_pre_ping=self._file is None)
        except (SQLAlchemyError, ImportError) as error:
            raise InvalidSetting(
                "The database of the service of infrastructures cannot be used",
                cause=str(error),
                remedy="Set an address of SQLAlchemy, and install what it needs: psycopg for PostgreSQL.",
            ) from error
        if self._file is not None:
            event.listen(self._engine, "connect", _prepare)
            event.listen(self._engine, "begin", _begin)

    async def open(self) -> None:
        """Wait until no other service holds it, and make what is missing.

        Raises
        ------
        StateNotWritable
        """
        await self.run_raw(self._open)

    async def close(self) -> None:
        """Let go of it."""
        await self.run_raw(self._close)
        self._thread.shutdown(wait=True)

    # -- questions -----------------------------------------------------------------------------------------------------

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Do something within one transaction.

        Raises
        ------
        StateNotWritable
            If the database does not answer, or refuses.
        """

        def transaction() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return await self.run_raw(transaction)

    async def run_raw(self, work: Callable[[], T]) -> T:
        """Do something in the thread of the store."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            # Its own words may hold what was to be written.
            raise StateNotWritable(
                "The database of the service of infrastructures does not answer",
                cause=f"{type(error).__name__}: {getattr(error, 'orig', None) or error.__class__.__doc__}"[:300],
                remedy="Try again in a moment; an administrator looks at the database, and at the room on its disk.",
            ) from None

    async def name(self) -> str:
        """Return what this store calls itself: infrastructures of another one are not its business."""

        def work(connection: Connection) -> str:
            found = connection.execute(select(FACTS.c.value).where(FACTS.c.name == "id")).scalar_one_or_none()
            if found is None:
                found = secrets.token_hex(4)
                connection.execute(insert(FACTS).values(name="id", value=found))
            return str(found)

        return await self.run(work)

    async def all(self) -> Sequence[Record]:
        """Return all of them, oldest first, also those that have lost their names."""
        return await self.run(lambda it: [_record(one) for one in it.execute(_SELECT.order_by(_ROWS.created)).scalars()])

    async def of(self, owner: str) -> Sequence[Record]:
        """Return those of a user, oldest first."""
        which = _SELECT.where(_ROWS.owner == owner, _ROWS.retired.is_(False)).order_by(_ROWS.created)
        return await self.run(lambda it: [_record(one) for one in it.execute(which).scalars()])

    async def find(self, owner: str, name: str) -> Record | None:
        """Return the one of this name."""
        which = _SELECT.where(_ROWS.owner == owner, _ROWS.name == name, _ROWS.retired.is_(False))
        return await self.run(lambda it: _maybe(it.execute(which).scalar_one_or_none()))

    async def get(self, uid: str) -> Record | None:
        """Return one."""
        return await self.run(lambda it: _maybe(it.execute(_SELECT.where(_ROWS.uid == uid)).scalar_one_or_none()))

    async def secrets(self, uid: str) -> bytes | None:
        """Return what is secret of one, encrypted."""
        return await self.run(lambda it: it.execute(select(_ROWS.secrets).where(_ROWS.uid == uid)).scalar_one_or_none())

    async def log(self, uid: str) -> str | None:
        """Return what was said while it was made, if it was kept."""
        return await self.run(lambda it: it.execute(select(_ROWS.log).where(_ROWS.uid == uid)).scalar_one_or_none())

    async def text(self, digest: str) -> str:
        """Return the text of a template that some infrastructure was made of."""
        return str(await self.run(lambda it: it.execute(select(TEXTS.c.text).where(TEXTS.c.digest == digest)).scalar_one()))

    # -- changes -------------------------------------------------------------------------------------------------------

    async def add(self, record: Record, template: str, closed: bytes, *, instead: str = "") -> None:
        """Write down one that is wanted, before anybody is asked for it.

        Parameters
        ----------
        template
            Its text.
        closed
            What is secret of it, encrypted.
        instead
            The uid of one whose name it takes.

        Raises
        ------
        InfrastructureExists
        """

        def work(connection: Connection) -> None:
            if instead and (old := _locked(connection, instead)) is not None:
                _write(connection, old.model_copy(update={"retired": True, "wanted": "absent", "generation": old.generation + 1}))
            if connection.execute(select(TEXTS.c.digest).where(TEXTS.c.digest == record.digest)).first() is None:
                connection.execute(insert(TEXTS).values(digest=record.digest, text=template))
            connection.execute(insert(INFRASTRUCTURES).values(**_columns(record), secrets=closed))

        try:
            await self.run(work)
        except IntegrityError:
            raise InfrastructureExists(record.name, "Somebody has made it at this very moment.") from None

    async def change(self, uid: str, how: Callable[[Record], Record]) -> Record | None:
        """Change one, and raise its generation if that changes anything; None if it is not there any more."""

        def work(connection: Connection) -> Record | None:
            old = _locked(connection, uid)
            if old is None or (new := how(old)) == old:
                return old
            new = new.model_copy(update={"generation": old.generation + 1})
            _write(connection, new)
            return new

        return await self.run(work)

    async def keep(self, uid: str, *, closed: bytes | None = None, log: str | None = None) -> None:
        """Keep what is secret of one, or what was said while it was made."""
        new: dict[str, object] = {key: value for key, value in (("secrets", closed), ("log", log)) if value is not None}
        await self.run(lambda it: it.execute(update(INFRASTRUCTURES).where(_ROWS.uid == uid).values(**new)))

    async def forget(self, uid: str) -> None:
        """Remove one of which nothing is left, with the text of its template if it was the last."""

        def work(connection: Connection) -> None:
            connection.execute(delete(INFRASTRUCTURES).where(_ROWS.uid == uid))
            used = {_record(one).digest for one in connection.execute(_SELECT).scalars()}
            for digest in list(connection.execute(select(TEXTS.c.digest)).scalars()):
                if digest not in used:
                    connection.execute(delete(TEXTS).where(TEXTS.c.digest == digest))

        await self.run(work)

    # -- durations -----------------------------------------------------------------------------------------------------

    async def took(self, what: str, seconds: float) -> None:
        """Note what a step took."""

        def work(connection: Connection) -> None:
            row = {"id": secrets.token_hex(16), "what": what, "at": time.time(), "seconds": seconds}
            connection.execute(insert(DURATIONS).values(**row))
            known = select(DURATIONS.c.id).where(DURATIONS.c.what == what).order_by(DURATIONS.c.at.desc()).offset(_KEPT)
            for old in list(connection.execute(known.limit(_KEPT)).scalars()):
                connection.execute(delete(DURATIONS).where(DURATIONS.c.id == old))

        await self.run(work)

    async def usually(self, kind: str) -> Mapping[str, float]:
        """Return what the steps of a kind take, as the median of the last ones: by their names, which follow a slash."""

        def work(connection: Connection) -> Mapping[str, float]:
            found: dict[str, list[float]] = {}
            for what, seconds in connection.execute(
                select(DURATIONS.c.what, DURATIONS.c.seconds).where(DURATIONS.c.what.startswith(f"{kind}/", autoescape=True))
            ):
                found.setdefault(what.rpartition("/")[2], []).append(seconds)
            return {step: median(all_of_it) for step, all_of_it in found.items()}

        return await self.run(work)

    # -- in its thread -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._take():
            if time.monotonic() > deadline:
                raise OSError("Another service of infrastructures uses it")
            time.sleep(0.1)
        METADATA.create_all(self._engine)

    def _take(self) -> bool:
        """Hold it alone, for as long as this process lives: two would make everything twice."""
        if self._file is not None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            lock = self._file.with_name(f"{self._file.name}.lock")
            held = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "w")
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.close()
                return False
            self._held = held
            return True
        if self._engine.dialect.name == "postgresql":
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if not connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": _LOCK}).scalar_one():
                connection.close()
                return False
            self._held = connection
        return True

    def _close(self) -> None:
        if self._held is not None:
            self._held.close()
        self._engine.dispose()


_SELECT: Final = select(_ROWS.record)


def _prepare(connection: Any, _: object) -> None:
    # Transactions are begun by us, see `_begin`: the driver's own way would take the lock too late.
    connection.isolation_level = None
    for line in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {line}").close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _locked(connection: Connection, uid: str) -> Record | None:
    which = _SELECT.where(_ROWS.uid == uid).with_for_update()
    return _maybe(connection.execute(which).scalar_one_or_none())


def _write(connection: Connection, record: Record) -> None:
    connection.execute(update(INFRASTRUCTURES).where(_ROWS.uid == record.uid).values(**_columns(record)))


def _columns(record: Record) -> dict[str, object]:
    indexed = {name: getattr(record, name) for name in ("uid", "owner", "name", "retired", "generation", "created")}
    return {**indexed, "record": record.model_dump_json()}


def _record(written: str) -> Record:
    return Record.model_validate_json(written)


def _maybe(written: str | None) -> Record | None:
    return None if written is None else _record(written)
