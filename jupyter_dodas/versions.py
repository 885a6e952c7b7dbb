"""Versions of Python and of packages: what is sent between processes must be understood at the other end."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["PYTHON", "differences", "installed", "remedy"]

PYTHON = "python"


@cache
def installed(packages: Sequence[str]) -> Mapping[str, str]:
    """Return the version of Python, and of those of the packages that are installed here."""
    found = {PYTHON: platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> Sequence[str]:
    """Say what differs, in words: ``Python 3.13 (here 3.11)``, ``no pandas (here 2.3.3)``.

    Python counts by its feature releases, which understand each other. What is not installed here is used by nobody here.
    """
    said = []
    for name, mine in here.items():
        theirs = there.get(name)
        if name == PYTHON and theirs is not None:
            if _feature(theirs) != _feature(mine):
                said.append(f"Python {_feature(theirs)} (here {_feature(mine)})")
        elif theirs != mine:
            said.append(f"{name} {theirs} (here {mine})" if theirs else f"no {name} (here {mine})")
    return said


def remedy(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Say what to do about differences."""
    wanted = [f"{name}=={there[name]}" for name in here if name != PYTHON and there.get(name, here[name]) != here[name]]
    same = "Launch it with an environment that has the same as here: environment.image, or environment.python on this machine"
    return f"{same}; or install here what is there: pip install {shlex.join(wanted)}" if wanted else f"{same}."


def _feature(release: str) -> str:
    return ".".join(release.split(".")[:2])
