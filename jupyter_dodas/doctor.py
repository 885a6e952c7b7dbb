"""The doctor: what is missing on this machine, and how to get it."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from jupyter_dodas import registry, settings
from jupyter_dodas.backends import places
from jupyter_dodas.backends.base import Backend
from jupyter_dodas.backends.local import guard
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.checks import Check, Verdict
from jupyter_dodas.display.words import count, size
from jupyter_dodas.errors import DodasError
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Record

__all__ = ["examine"]

_SHARED: Final = frozenset({"nfs", "nfs4", "afs", "openafs", "cifs", "smb3", "fuse.sshfs", "lustre", "gpfs", "cephfs", "ceph"})
"""File systems on which locks or sockets may fail."""

_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})

_LEAST_DISK: Final = 512 * 2**20
_LEAST_MEMORY: Final = 2 * 2**30
_LONGEST_SOCKET: Final = 107
"""Bytes that the path of a Unix socket may have."""


async def examine() -> Sequence[Check]:
    """Look at everything that a launch needs, the worst that can happen being a check that says so."""
    found = [_python()]
    try:
        configured = settings.load()
    except DodasError as error:
        return [*found, _bad("Settings", error)]
    found += [_settings(configured), *_kinds(), *_machine(configured)]
    if configured.backend == "local":
        found += list(_local(configured))
    try:
        place = places.backend(configured)
    except DodasError as error:
        return [*found, _bad("Backend", error)]
    return [*found, *await _records(place, configured)]


def _python() -> Check:
    # An older one cannot even import this package.
    return Check(about="Python", verdict=Verdict.OK, message=f"{platform.python_version()}, {sys.executable}")


def _settings(configured: Settings) -> Check:
    limits = configured.limits.model_dump(exclude_none=True)
    said = ", ".join(f"{name} {size(most) if name == 'memory' else most}" for name, most in limits.items())
    return Check(about="Limits", verdict=Verdict.OK, message=f"At most: {said}" if said else "None; `dodas quota` shows them")


def _kinds() -> Iterator[Check]:
    """Judge each kind by whether what it needs is here."""
    if not registry.kinds():
        yield Check(
            about="Kinds",
            verdict=Verdict.BAD,
            message="No kind of cluster is installed",
            remedy='Run: pip install "jupyter-dodas[dask]"',
        )
    for kind in registry.kinds():
        try:
            service = registry.service(kind)
            found = service.require(service.Options())
        except DodasError as error:
            yield _bad(kind, error)
        except ImportError as error:
            yield Check(
                about=kind,
                verdict=Verdict.BAD,
                message=f"It cannot be imported: {error}",
                remedy=f'Run: pip install "jupyter-dodas[{kind}]"',
            )
        else:
            yield Check(about=service.title, verdict=Verdict.OK, message=found)


def _machine(configured: Settings) -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check(about="Cores", verdict=Verdict.OK, message=f"{cores} for you, load {os.getloadavg()[0]:.1f}")
    memory = psutil.virtual_memory()
    yield _amount("Memory", memory.available, memory.total, _LEAST_MEMORY, "Close other programs, or ask for smaller workers.")
    disk = shutil.disk_usage(_existing(configured.state))
    yield _amount("Disk", disk.free, disk.total, _LEAST_DISK, f"Free some space for {configured.state}, or set DODAS_STATE.")


def _amount(about: str, free: int, total: int, least: int, remedy: str) -> Check:
    short = free < least
    return Check(
        about=about,
        verdict=Verdict.WARN if short else Verdict.OK,
        message=f"{size(free)} free of {size(total)}",
        remedy=remedy if short else "",
    )


def _local(configured: Settings) -> Iterator[Check]:
    """Judge what the local backend needs of this machine."""
    layout = Layout.of(configured)
    yield _folder("State folder", layout, configured.state, _judge_state)
    yield _folder("Runtime folder", layout, layout.runtime, _judge_runtime)
    yield _namespaces(configured)
    yield _keeper(layout)


def _folder(about: str, layout: Layout, folder: Path, judge: Callable[[Path, str], tuple[str, str]]) -> Check:
    try:
        layout.make()
    except DodasError as error:
        return _bad(about, error)
    system = _file_system(folder)
    complaint, remedy = judge(folder, system)
    where = f"{folder} on {system}" if system else str(folder)
    message = f"{where}; {complaint}" if complaint else where
    return Check(about=about, verdict=Verdict.WARN if complaint else Verdict.OK, message=message, remedy=remedy)


def _judge_state(_: Path, system: str) -> tuple[str, str]:
    if system in _IN_MEMORY:
        return "records and accounts are gone after a restart of the machine", "Set DODAS_STATE to a folder on a disk."
    return "", ""


def _judge_runtime(folder: Path, system: str) -> tuple[str, str]:
    if system in _SHARED:
        return "locks and sockets may fail there", "Set DODAS_RUNTIME to a folder on a local disk."
    if len(os.fsencode(folder / "controller.sock")) > _LONGEST_SOCKET:
        return "its path is too long for a socket", "Set DODAS_RUNTIME to a folder with a shorter path."
    return "", ""


def _namespaces(configured: Settings) -> Check:
    about = "Process guard"
    if not configured.namespaces:
        said = "Instances have a guard of their own; process namespaces are switched off in the settings"
        return Check(about=about, verdict=Verdict.OK, message=said)
    if guard.try_namespace():
        said = "Every instance has a process namespace of its own: whatever it starts ends with it"
        return Check(about=about, verdict=Verdict.OK, message=said)
    return Check(
        about=about,
        verdict=Verdict.WARN,
        message="The kernel gives no process namespaces; each instance has a guard instead, which ends what it started",
        remedy="Nothing needs to be done. An administrator can allow them: sysctl kernel.unprivileged_userns_clone=1",
    )


def _keeper(layout: Layout) -> Check:
    if not layout.keeper_runs():
        return Check(about="Controller", verdict=Verdict.OK, message="Does not run; the next launch starts it")
    if not layout.controller_socket.exists():
        return Check(
            about="Controller",
            verdict=Verdict.WARN,
            message="Its keeper runs, but it does not answer",
            remedy=f"It is restarted by itself; if this stays, see {layout.state / 'keeper.log'}.",
        )
    return Check(about="Controller", verdict=Verdict.OK, message="Runs, and looks after your clusters")


async def _records(place: Backend, configured: Settings) -> Sequence[Check]:
    records = await place.store.list()
    here = Layout.of(configured).place.partition("/")[0]
    elsewhere: Mapping[str, list[Record]] = {}
    for record in records:
        host = record.spec.place.partition("/")[0]
        if host and host != here:
            elsewhere = {**elsewhere, host: [*elsewhere.get(host, []), record]}
    found = [Check(about="Clusters", verdict=Verdict.OK, message=f"{count(len(records), 'cluster')} recorded")]
    for host, others in elsewhere.items():
        names = ", ".join(record.name for record in others)
        message = f"{names} {'belongs' if len(others) == 1 else 'belong'} to {host}, which shares your state folder"
        found.append(
            Check(about="Other hosts", verdict=Verdict.WARN, message=message, remedy=f"Log in to {host} to change or stop them.")
        )
    return found


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on; nothing if that cannot be told."""
    resolved = folder.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if resolved.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""


def _bad(about: str, error: DodasError) -> Check:
    return Check(about=about, verdict=Verdict.BAD, message=error.message, remedy=error.remedy or error.cause)
