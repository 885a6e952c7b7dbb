"""Accounts of this machine: found, or made; and whether people could work in them at all."""

import asyncio
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import NotYours, StateNotWritable
from jupyter_dodas.hub.names import FIRST_OF_PEOPLE
from jupyter_dodas.hub.notebooks import SAFE_LENGTH, digest

__all__ = ["Account", "account_name", "ensure", "find", "why_not"]

_LONGEST: Final = 32
"""Letters that the name of an account may have (utmp)."""

_NOBODY: Final = 65534

_NOT_PEOPLE: Final = frozenset({_NOBODY, 65535, 2**32 - 1})

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PATIENCE: Final = 30.0
"""Seconds that `useradd` may take: it waits for others that change the file."""

_TRIAL: Final = "import os, sys; os.chdir(sys.argv[1]); import jupyter_dodas.services.notebook.process"


@dataclass(frozen=True)
class Account:
    """An account of a person."""

    name: str
    uid: int
    gid: int
    home: Path
    shell: str


def account_name(template: str, own: str) -> str:
    """Return the name of a user's account: no two users have the same.

    Parameters
    ----------
    template
        Such as ``jupyter-{username}``.
    own
        What `safe_name` makes of the user's name, which tells all users apart.
    """
    name = template.format(username=own)
    # By the template and not by the name: people choose theirs, and one could be what another's was cut to.
    if len(template.format(username="")) + SAFE_LENGTH <= _LONGEST:
        return name
    told_apart = digest(name)
    return f"{name[: _LONGEST - len(told_apart) - 1].rstrip('-')}-{told_apart}"


def find(name: str) -> Account | None:
    """Return the account of this name; None if there is none.

    Raises
    ------
    NotYours
        If it is one of the system's.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    if entry.pw_uid < FIRST_OF_PEOPLE or entry.pw_uid in _NOT_PEOPLE or entry.pw_gid == 0:
        raise NotYours(
            f"The account {name!r} is one of the system's",
            cause=f"It has uid {entry.pw_uid} and gid {entry.pw_gid}; nobody's notebooks run with these.",
            remedy="An administrator of the hub can choose other names for accounts: c.DodasSpawner.account.",
        )
    return Account(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir), entry.pw_shell or "/bin/sh")


async def ensure(name: str, home: Path, user: str) -> Account:
    """Return the account of this name, made if it is not there: without a password, so that nobody can log in with it.

    Parameters
    ----------
    home
        Its home, if it is made. The folder is left to the account itself to make.
    user
        Whose it is, for who reads the list of accounts.

    Raises
    ------
    NotYours, StateNotWritable
    """
    if (found := find(name)) is not None:
        return found
    about = "".join(letter if letter.isalnum() or letter in "._@-" else "?" for letter in user)
    command = ["useradd", "--no-create-home", "--no-log-init", "--home-dir", str(home), "--shell", "/bin/bash"]
    process = await asyncio.create_subprocess_exec(
        *command, "--comment", f"JupyterHub user {about}", name,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": _PATH, "LANG": "C"}, cwd="/",
    )  # fmt: skip
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        said, _ = await process.communicate()
    if (made := find(name)) is not None:
        return made  # by us, or by a hub that was killed before it saw that
    raise StateNotWritable(
        f"The account {name!r} could not be made",
        cause=said.decode("utf-8", "replace").strip()[:500] or f"useradd ended with {process.returncode}.",
        remedy="An administrator can make it, or see why `useradd` fails on the machine of the hub.",
    )


def why_not(state: Path) -> str:
    """Say why people cannot have accounts here; empty if they can. It tries, in a process of nobody's.

    Parameters
    ----------
    state
        The folder with the places of all users.
    """
    if os.geteuid() != 0:
        return "the hub does not run as root"
    command = [sys.executable, "-I", "-c", _TRIAL, str(state)]
    try:
        state.mkdir(mode=0o711, parents=True, exist_ok=True)
        tried = subprocess.run(
            command, user=_NOBODY, group=_NOBODY, extra_groups=[], env={"PATH": _PATH}, cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except PermissionError as error:
        where = sys.executable if error.filename in (sys.executable, None) else error.filename
        return f"other accounts cannot reach {where}, or this root cannot become them ({error.strerror})"
    except (OSError, subprocess.SubprocessError) as error:
        return f"other accounts cannot run {sys.executable} ({error})"
    if tried.returncode:
        last = (tried.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"])[-1]
        return f"other accounts cannot run {sys.executable} with this package, or cannot reach {state} ({last[:300]})"
    return ""
