"""Finding HTCondor's daemons: installed ones, those of an image, or those that this user has fetched before."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

import platformdirs

from jupyter_dodas.errors import MissingSoftware

__all__ = ["LEAST", "Daemons", "at", "find", "may_come", "mirror", "own", "shared"]

LEAST: Final = (23, 9)
"""The oldest release whose daemons do; HTCondor counts its features by them."""

_APP: Final = "jupyter-dodas"
_FOLDER: Final = "htcondor-trixie"
_MIRROR: Final = re.compile(r"^(?:deb|URIs:)\s(?:.*?\s)??(https?://\S+/debian/?)(?=\s|$)", re.MULTILINE)
_VERSION: Final = re.compile(r"\$CondorVersion: (\d+)\.(\d+)\.(\d+) ")


@dataclass(frozen=True)
class Daemons:
    """A release of HTCondor on this machine.

    Parameters
    ----------
    root
        The folder that it is below.
    bin, sbin, libexec, lib
        Where its commands, daemons, helpers and libraries are.
    version
        Such as ``(23, 9, 6)``.
    """

    root: Path
    bin: Path
    sbin: Path
    libexec: Path
    lib: Path
    version: tuple[int, ...]


def find() -> Daemons:
    """Return the daemons to be used.

    Raises
    ------
    MissingSoftware
    """
    for found in (_installed(), *(at(folder) for folder in (shared(), own()))):
        if found is not None and found.version >= LEAST:
            return found
    raise MissingSoftware(
        "HTCondor pools need HTCondor's daemons, which are not there",
        cause=f"There is no condor_master of {LEAST[0]}.{LEAST[1]} or newer on the path, and none was fetched before.",
        remedy=(
            "Run: python -m jupyter_dodas.services.htcondor.fetching"
            if may_come()
            else f"Install HTCondor {LEAST[0]}.{LEAST[1]} or newer: https://htcondor.org has packages for every system."
        ),
    )


def may_come() -> bool:
    """Whether this is a machine that daemons can be fetched for: one with Debian's tools, and a mirror of its packages."""
    return sys.platform == "linux" and all(which(tool) for tool in ("apt-get", "dpkg", "dpkg-deb")) and mirror() is not None


def mirror(sources: Path = Path("/etc/apt")) -> str | None:
    """Return the mirror of Debian's packages that this machine uses."""
    for file in sorted((*sources.glob("sources.list"), *sources.glob("sources.list.d/*"))):
        if file.suffix in (".list", ".sources") and (found := _MIRROR.search(file.read_text(errors="replace"))):
            return found.group(1).rstrip("/")
    return None


def own() -> Path:
    """Return the folder for daemons that this user fetches."""
    return platformdirs.user_cache_path(_APP) / _FOLDER


def shared() -> Path:
    """Return the folder for daemons that come with the interpreter, as in an image."""
    return Path(sys.prefix) / "share" / _APP / _FOLDER


def at(root: Path) -> Daemons | None:
    """Return the daemons of a release folder, if it has some."""
    folders = (root / "bin", root / "sbin", root / "libexec", root / "lib")
    version = _version(folders[0] / "condor_version")
    return None if version is None else Daemons(root, *folders, version)


def _installed() -> Daemons | None:
    """Find those that somebody has installed for the whole machine; packages put them below /usr."""
    found = which("condor_master", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))
    if found is None:
        return None
    sbin = Path(found).parent
    root = sbin.parent
    version = _version(root / "bin" / "condor_version")
    if version is None:
        return None
    libexec, lib = (
        next((folder for folder in (root / name / "condor", root / name) if folder.is_dir()), root) for name in ("libexec", "lib")
    )
    return Daemons(root, root / "bin", sbin, libexec, lib, version)


def _version(program: Path) -> tuple[int, ...] | None:
    try:
        told = subprocess.run(
            [program], env={"CONDOR_CONFIG": "/dev/null"}, capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(told)
    return None if found is None else tuple(int(number) for number in found.groups())
