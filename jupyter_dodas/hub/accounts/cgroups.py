"""Control groups: what everything of one user may take together, seen to by the kernel. Both of its versions are in use.

Version 1 has a tree of groups for each controller, version 2 one tree for all. Our groups stand, in version 1, below that of the
hub, so that its limits hold for its users too; in version 2, where a group with processes can have none below, beside it.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Bounds", "Fence", "Site", "sites", "sweep"]

_CONTROLLERS: Final = ("memory", "cpu", "pids")

_DIGITS: Final = 12

_PERIOD: Final = 100_000
"""Microseconds over which the time of cores is counted."""


@dataclass(frozen=True)
class Bounds:
    """The most that a group may take; None is no limit.

    Parameters
    ----------
    memory
        Bytes.
    cores
        Cores' worth of time.
    pids
        Processes and threads.
    """

    memory: int | None = None
    cores: int | None = None
    pids: int | None = None


@dataclass(frozen=True)
class Site:
    """Where groups of one controller can be made.

    Parameters
    ----------
    version
        Of the kernel's interface.
    folder
        The group below which they stand.
    """

    version: int
    folder: Path


def sites(mounts: str, membership: str, *, root: Path = Path("/")) -> Mapping[str, Site]:
    """Return where groups can be made, by controller. Those that this machine lacks are left out.

    Parameters
    ----------
    mounts, membership
        ``/proc/self/mountinfo`` and ``/proc/self/cgroup``.
    root
        Below which the folders are.
    """
    own = {name: path for _, names, path in (line.split(":", 2) for line in membership.splitlines()) for name in names.split(",")}
    found: dict[str, Site] = {}
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        mounted, at, writable = *fields.split()[3:5], "rw" in fields.split()[5].split(",")
        type_, _, options = kind.split(maxsplit=2)
        folder = root / _octal(at).lstrip("/")
        if type_ == "cgroup" and writable:
            for name in set(options.split(",")).intersection(_CONTROLLERS, own):
                found[name] = Site(1, folder / _below(own[name], mounted))
        elif type_ == "cgroup2" and writable and "" in own:
            beside = _uninhabited(folder, folder / _below(own[""], mounted))
            found = {**{name: Site(2, beside) for name in _enabled(beside)}, **found} if beside is not None else found
    return {name: site for name, site in found.items() if os.access(site.folder, os.W_OK)}


def _octal(path: str) -> str:
    """Undo what the kernel does to spaces in paths."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _below(own: str, mounted: str) -> str:
    """Return a group as a path below the mount, which in a container may show a part of the tree only."""
    inside = own.removeprefix(mounted.rstrip("/")) if f"{own}/".startswith(f"{mounted.rstrip('/')}/") else ""
    return "" if "/.." in inside else inside.lstrip("/")


def _uninhabited(mount: Path, own: Path) -> Path | None:
    """Return the nearest group above that may have groups below: one without processes, or the root of all."""
    for folder in (own, *own.parents):
        with suppress(OSError):
            if not (folder / "cgroup.procs").read_text().strip() or not (folder / "cgroup.type").exists():
                return folder
        if folder == mount:
            return None
    return None


def _enabled(folder: Path) -> set[str]:
    """Return the controllers that groups below have, after asking for those that they lack."""
    try:
        offered = set((folder / "cgroup.controllers").read_text().split()).intersection(_CONTROLLERS)
        control = folder / "cgroup.subtree_control"
        if missing := offered.difference(control.read_text().split()):
            with suppress(OSError):
                control.write_text(" ".join(f"+{name}" for name in sorted(missing)))
        return offered.intersection(control.read_text().split())
    except OSError:
        return set()


def sweep(where: Mapping[str, Site]) -> None:
    """Remove the groups of users of whom nothing runs any more: a hub that has ended could not."""
    for folder in {site.folder for site in where.values()}:
        for group in folder.glob(f"dodas-{'[0-9a-f]' * _DIGITS}"):
            with suppress(OSError):
                group.rmdir()  # which the kernel refuses as long as there is a process


class Fence:
    """The groups of one user, one for each controller or one for all.

    Parameters
    ----------
    where
        See `sites`.
    place
        The user's place, of which there is one on this machine.
    """

    def __init__(self, where: Mapping[str, Site], place: Path) -> None:
        digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:_DIGITS]
        self._groups = {name: Site(site.version, site.folder / f"dodas-{digest}") for name, site in where.items()}
        self._bounds = Bounds()

    @property
    def members(self) -> list[Path]:
        """The files that a process writes itself into to be inside."""
        return sorted({site.folder / "cgroup.procs" for site in self._groups.values()})

    def stand(self) -> None:
        """See that the groups are there. Those that went meanwhile, since nobody was inside, come back with their bounds."""
        missing = {name: site for name, site in self._groups.items() if not site.folder.exists()}
        for site in missing.values():
            site.folder.mkdir(mode=0o755, exist_ok=True)
        self._write(missing)

    def bound(self, bounds: Bounds) -> None:
        """Set what they may take.

        Raises
        ------
        OSError
            If the kernel does not take it, such as less memory than is in use.
        """
        self._bounds = bounds
        self.stand()
        self._write(self._groups)

    def _write(self, groups: Mapping[str, Site]) -> None:
        for name, site in groups.items():
            for file, value in _settings(name, site.version, self._bounds):
                target = site.folder / file
                if target.exists():  # a kernel may have no account of swap
                    target.write_text(value)

    def clear(self) -> bool:
        """Remove the groups if nobody is inside any more; whether they are gone."""
        for folder in {site.folder for site in self._groups.values()}:
            with suppress(OSError):
                folder.rmdir()
        return not any(site.folder.exists() for site in self._groups.values())


def _settings(controller: str, version: int, bounds: Bounds) -> list[tuple[str, str]]:
    """Return files and what is to stand in them, in this order."""
    memory, pids = bounds.memory, "max" if bounds.pids is None else str(bounds.pids)
    quota = None if bounds.cores is None else bounds.cores * _PERIOD
    match controller, version:
        case "memory", 1:
            size = "-1" if memory is None else str(memory)
            # With swap it may never be less than without, so that comes down last.
            return [(swap := "memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", size), (swap, size)]
        case "memory", _:
            return [("memory.max", "max" if memory is None else str(memory)), ("memory.swap.max", "max" if memory is None else "0")]
        case "cpu", 1:
            return [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", "-1" if quota is None else str(quota))]
        case "cpu", _:
            return [("cpu.max", f"{'max' if quota is None else quota} {_PERIOD}")]
    return [("pids.max", pids)]
