"""Records as files: a folder for each cluster, with what was asked, what is, its secrets and its logs.

A file is replaced as a whole, under a lock, after a look at the generation that stands there. The spec and the status are separate
files, so that the controller's writes and a user's never meet.
"""

import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from jupyter_dodas.backends.base import lost
from jupyter_dodas.backends.local import surroundings
from jupyter_dodas.backends.local.bus import Bus
from jupyter_dodas.backends.local.layout import Layout, explain, write_atomically
from jupyter_dodas.backends.records import ModelT, parse_receipts, read, unreadable
from jupyter_dodas.errors import AlreadyExists, DamagedRecord, DodasError, NotFound, NotYours, StaleGeneration
from jupyter_dodas.spec import LIVE, ClusterSpec, ClusterStatus, Phase, Receipt, Record

__all__ = ["LocalStore", "OwnStore"]

_SETTLED: Final = 2.0
"""Seconds after which a file that changes again has another stamp for certain."""

_LEFT: Final = 60.0
"""Seconds after which nobody is still at work on a record that is half made, or half removed."""


class LocalStore:
    """The `Store` of a local place."""

    def __init__(self, layout: Layout, bus: Bus) -> None:
        self._layout, self._bus = layout, bus
        # A string, since a list looks at hundreds of files, and to make a Path takes longer than to look at it.
        self._clusters = str(layout.clusters)
        # What was read last, by name, with the stamps of its two files.
        self._read: dict[str, tuple[tuple[int, ...], Record]] = {}

    async def create(self, spec: ClusterSpec) -> Record:
        """See `Store.create`."""
        self._layout.make()
        spec = spec.model_copy(update={"place": self._layout.place})
        status = ClusterStatus(uid=spec.uid)
        folder = self._layout.cluster(spec.name)
        # Filled beside its place and renamed there, so that nobody ever sees half a record.
        made = folder.with_name(f".{spec.name}.{spec.uid}")
        with self._layout.locked():
            if folder.exists():
                raise AlreadyExists(spec.name)
            try:
                made.mkdir(mode=0o700)
                (made / "logs").mkdir(mode=0o700)
                surroundings.write(made)
                write_atomically(made / "status.json", status.model_dump_json().encode())
                write_atomically(made / "spec.json", spec.model_dump_json().encode())
                made.rename(folder)
            except BaseException as error:
                shutil.rmtree(made, ignore_errors=True)
                if isinstance(error, OSError):
                    raise explain(folder, error) from error
                raise
        # Nothing is awaited after the rename: whoever is cancelled here knows that there is a record.
        return Record(spec=spec, status=status)

    async def get(self, name: str) -> Record:
        """See `Store.get`."""
        return self._look(name)

    async def list(self) -> Sequence[Record]:
        """See `Store.list`. A record that cannot be read is listed as failed, with the reason."""
        names = self._names()
        self._read = {name: self._read[name] for name in names if name in self._read}
        alive = self._layout.keeper_runs()
        return [record for name in names if (record := self._look_or_explain(name, keeper_runs=alive)) is not None]

    def _names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(name for name in os.listdir(self._clusters) if not name.startswith(".")))
        except FileNotFoundError:
            return ()

    def _look_or_explain(self, name: str, *, keeper_runs: bool) -> Record | None:
        try:
            return self._look(name, keeper_runs=keeper_runs)
        except NotFound:
            return None  # it ended meanwhile
        except DodasError as error:
            return unreadable(name, error, self._layout.cluster(name).stat().st_ctime)

    def _look(self, name: str, *, keeper_runs: bool | None = None) -> Record:
        folder = f"{self._clusters}/{name}"
        spec, status = f"{folder}/spec.json", f"{folder}/status.json"
        try:
            stamp = (*_stamp(spec), *_stamp(status))
            known = self._read.get(name)
            if known is None or known[0] != stamp:
                paths = (Path(spec), Path(status))
                record = Record(spec=_read(paths[0], name, ClusterSpec), status=_read(paths[1], name, ClusterStatus))
                known = (stamp, record)
                # Clocks of file systems tick slowly and inodes are used again, so only an old stamp tells files apart.
                if max(path.stat().st_mtime for path in paths) < time.time() - _SETTLED:
                    self._read[name] = known
        except FileNotFoundError:
            missing = next((file for file in (spec, status) if not os.path.exists(file)), None)
            if missing is not None and os.path.isdir(folder):
                raise DamagedRecord(name, folder, f"{os.path.basename(missing)} is missing") from None
            raise NotFound(name, self._names()) from None
        return self._truth(known[1], keeper_runs)

    def _truth(self, record: Record, keeper_runs: bool | None) -> Record:
        """Correct a status whose writer is dead: instances never outlive the keeper."""
        spec, status = record.spec, record.status
        if status.phase not in LIVE or _host(spec.place) != _host(self._layout.place):
            return record
        if spec.place == self._layout.place and (self._layout.keeper_runs() if keeper_runs is None else keeper_runs):
            return record
        failed = {"phase": Phase.FAILED, "problem": lost(spec.name), "instances": {}}
        return Record(spec=spec, status=status.model_copy(update=failed))

    async def change(self, spec: ClusterSpec) -> Record:
        """See `Store.change`."""
        with self._layout.locked():
            found = self._look(spec.name)
            self._check(found, spec.uid)
            if found.spec.generation != spec.generation:
                raise StaleGeneration(spec.name, spec.generation, found.spec.generation)
            # Whoever changes it does so here and now: after a restart of the machine, what runs is of this boot.
            spec = spec.model_copy(update={"generation": spec.generation + 1, "place": self._layout.place})
            write_atomically(self._layout.cluster(spec.name) / "spec.json", spec.model_dump_json().encode())
        await self._bus.publish(spec.name)
        return Record(spec=spec, status=found.status)

    def _check(self, found: Record, uid: str) -> None:
        if found.spec.uid != uid:
            raise NotFound(found.spec.name)
        host = _host(found.spec.place)
        if host != _host(self._layout.place):
            raise NotYours(
                f"{found.spec.name!r} runs on {host}",
                cause="The records are shared by your machines, the processes are not.",
                remedy=f"Log in to {host} to change it.",
            )

    async def report(self, name: str, status: ClusterStatus) -> None:
        """See `Store.report`."""
        with self._layout.locked():
            folder = self._layout.cluster(name)
            try:
                if _read(folder / "spec.json", name, ClusterSpec).uid != status.uid:
                    raise NotFound(name)
                write_atomically(folder / "status.json", status.model_dump_json().encode())
            except FileNotFoundError:
                raise NotFound(name) from None
        await self._bus.publish(name)

    async def remove(self, name: str, uid: str) -> None:
        """See `Store.remove`."""
        folder = self._layout.cluster(name)
        gone = folder.with_name(f".{name}.{uid or 'damaged'}.gone")
        with self._layout.locked():
            try:
                if uid and _read(folder / "spec.json", name, ClusterSpec).uid != uid:
                    return
                folder.rename(gone)
            except FileNotFoundError:
                return
        shutil.rmtree(gone, ignore_errors=True)
        await self._bus.publish(name)

    async def keep_secrets(self, name: str, secrets: Mapping[str, bytes]) -> None:
        """See `Store.keep_secrets`."""
        folder = self.secrets_folder(name)
        made = folder.with_name(".secrets")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        for file, data in secrets.items():
            write_atomically(made / file, data)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)  # all of them or none

    async def secrets(self, name: str) -> Mapping[str, bytes]:
        """See `Store.secrets`."""
        try:
            return {path.name: path.read_bytes() for path in self.secrets_folder(name).iterdir()}
        except FileNotFoundError:
            return {}

    def secrets_folder(self, name: str) -> Path:
        """Where the secrets of a cluster lie."""
        return self._layout.cluster(name) / "secrets"

    async def entrust(self, name: str, secret: bytes) -> None:
        """See `Store.entrust`."""
        self._layout.make()
        self._layout.secrets.mkdir(mode=0o700, exist_ok=True)
        if secret:
            write_atomically(self._layout.secrets / name, secret)
        else:
            (self._layout.secrets / name).unlink(missing_ok=True)

    async def entrusted(self, name: str) -> bytes:
        """See `Store.entrusted`."""
        try:
            return (self._layout.secrets / name).read_bytes()
        except FileNotFoundError:
            return b""

    async def account(self, receipt: Receipt) -> None:
        """See `Store.account`."""
        line = f"{receipt.model_dump_json()}\n".encode()
        with self._layout.locked(), open(self._layout.accounts, "ab", buffering=0, opener=_private) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                while line:
                    line = line[file.write(line) :]
            except OSError as error:
                file.truncate(before)  # half a line would spoil the next one
                raise explain(self._layout.accounts, error) from error

    async def receipts(self) -> Sequence[Receipt]:
        """See `Store.receipts`. Lines that cannot be read are passed over."""
        try:
            lines = self._layout.accounts.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        return parse_receipts(lines)

    def sweep(self) -> None:
        """Remove what a killed `create` or `remove` left. Only the controller does this, when it starts."""
        with self._layout.locked():
            for folder in self._layout.clusters.glob(".*.*"):
                # What is younger may be in the hands of another machine, which has locks of its own.
                if folder.stat().st_mtime < time.time() - _LEFT:
                    shutil.rmtree(folder, ignore_errors=True)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """See `Store.watch`."""
        return self._bus.subscribe()


class OwnStore(LocalStore):
    """The records of this machine alone, as its controller sees them.

    A home on NFS or AFS shares its records among machines. Each has a controller of its own, and none touches what runs elsewhere.
    """

    async def get(self, name: str) -> Record:
        """See `Store.get`."""
        record = await super().get(name)
        if not self._is_own(record):
            raise NotFound(name)
        return record

    async def list(self) -> Sequence[Record]:
        """See `Store.list`."""
        return [record for record in await super().list() if self._is_own(record)]

    def _is_own(self, record: Record) -> bool:
        """Whether it is of this machine, or cannot be read, so that nobody knows."""
        return record.spec.place == "" or _host(record.spec.place) == _host(self._layout.place)


def _host(place: str) -> str:
    return place.partition("/")[0]


def _stamp(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns


def _read(path: Path, name: str, model: type[ModelT]) -> ModelT:
    return read(path.read_bytes(), name, str(path), model)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
