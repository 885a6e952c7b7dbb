"""What an instance of a pool finds on its disk: its folders, its configuration, and the tokens that are for it alone."""

import os
from pathlib import Path
from typing import Final

from jupyter_dodas.services.htcondor.tokens import DAEMON, KEY, USER_TOKEN, WORKER_TOKEN, mint

__all__ = ["CONFIGURATION", "lay_manager", "lay_user", "lay_worker", "write"]

CONFIGURATION: Final = "condor_config"

_FOLDERS: Final = ("log", "spool", "execute", "lock", "run", "tokens", "keys")
_DAEMON_TOKEN: Final = "daemon.token"  # noqa: S105 - the name of a file


def lay_manager(folder: Path, configuration: str, secrets: Path, domain: str) -> Path:
    """Lay down the files of a manager, with a token that may do everything; return the path of its configuration."""
    _lay(folder)
    key = (secrets / KEY).read_bytes()
    write(folder / "keys" / KEY, key)
    write(folder / "tokens" / _DAEMON_TOKEN, mint(key, domain, f"{DAEMON}@{domain}").encode())
    return write(folder / CONFIGURATION, configuration.encode())


def lay_worker(folder: Path, configuration: str, secrets: Path) -> Path:
    """Lay down the files of a worker, with a token that lets it join; return the path of its configuration."""
    _lay(folder)
    write(folder / "tokens" / WORKER_TOKEN, (secrets / WORKER_TOKEN).read_bytes())
    return write(folder / CONFIGURATION, configuration.encode())


def lay_user(folder: Path, configuration: str, secrets: Path) -> Path:
    """Lay down the files of whoever asks for the pool's user, with her token; return the path of the configuration.

    Her jobs are hers alone to change: the token that may do everything else does not let the manager do that.
    """
    (folder / "tokens").mkdir(mode=0o700, parents=True, exist_ok=True)
    write(folder / "tokens" / USER_TOKEN, (secrets / USER_TOKEN).read_bytes())
    return write(folder / CONFIGURATION, configuration.encode())


def write(file: Path, content: bytes) -> Path:
    """Write a file that is its owner's alone, whoever reads it meanwhile."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)
    return fresh.replace(file)


def _lay(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700, exist_ok=True)
