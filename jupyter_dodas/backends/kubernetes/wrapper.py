"""The first process of a pod: runs the instance, passes signals on, and leaves an account of it for whoever looks at the pod.

It is run as ``python -m jupyter_dodas.backends.kubernetes.wrapper PROGRAM ARGUMENT...``, and imports a few modules of the standard
library, since every instance waits for it.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "ACCOUNT",
    "BEARER",
    "CREDENTIALS",
    "FILES",
    "FOLDER",
    "GRACE",
    "KEPT",
    "SECRETS",
    "VARIABLES",
    "WORK",
    "main",
    "measured",
]

WORK: Final = "/tmp"  # noqa: S108 - a volume of this pod alone
"""The folder that instances work in, unless they ask for another; a volume that ends with the pod."""
KEPT: Final = f"{WORK}/kept"
"""What an instance is to find again: a volume of its own where there is one, else a part of that folder."""
SECRETS: Final = "/run/dodas/secrets"
FILES: Final = "/run/dodas/files"
CREDENTIALS: Final = "/run/dodas/credentials"
BEARER: Final = "/run/dodas/bearer"
"""Where the access token of the namespace is mounted, if there is one; it changes there from time to time."""
ACCOUNT: Final = "DODAS_ACCOUNT"
"""The variable that names the file for the account: the one that Kubernetes reads the last words of a container from."""

FOLDER: Final = "DODAS_FOLDER"
"""The variable that names the folder to work in."""
GRACE: Final = "DODAS_GRACE"
"""The variable that tells an instance how many seconds it has from SIGTERM on, if it is not we who end it: then it has fewer."""
VARIABLES: Final = "DODAS_VARIABLES"
"""The variable with the instance's own variables, as JSON: Kubernetes does not take every name."""

_FRESH: Final = 10.0
"""Seconds between two looks at the token."""
_NOT_FOUND: Final = 127
_NO_FOLDER: Final = 72


def main(argv: list[str]) -> int:
    """Run a program to its end, and return its exit code."""
    account = os.environ.pop(ACCOUNT, None)
    if (failed := _prepare()) is not None:
        return _leave(failed, account)
    command = [sys.executable if argv[0] == "python" else argv[0], *argv[1:]]
    told: list[int] = []

    def pass_on(number: int, _: object) -> None:
        told.append(number)
        if child:
            _kill(child, number)

    child = 0
    for passed in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPWR):
        signal.signal(passed, pass_on)
    try:
        child = os.posix_spawnp(
            command[0], command, os.environ, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT], setsigmask=[]
        )
    except OSError as error:
        _say(f"{command[0]} cannot be run: {error.strerror}")
        return _leave(_NOT_FOUND, account)
    for number in told:  # before it was there
        _kill(child, number)
    return _leave(_wait(child), account)


def _prepare() -> int | None:
    """Lay out files and variables; return an exit code if that cannot be done."""
    os.environ.update(json.loads(os.environ.pop(VARIABLES, "{}")))
    archive = os.path.join(FILES, "files.tar.gz")
    if os.path.exists(archive):
        import tarfile

        target = os.path.join(WORK, "files")
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):  # Debian's 3.11 has none; the archive is the user's own
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(target)  # noqa: S202
        os.environ["DODAS_FILES"] = target
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [target, os.environ.get("PYTHONPATH")]))
    if os.path.isdir(CREDENTIALS):
        _copy_credentials(os.path.join(WORK, ".credentials"))
    _keep_token()
    folder = os.environ.pop(FOLDER, WORK)
    try:
        os.chdir(folder)
    except OSError as error:
        _say(f"{folder} cannot be entered: {error.strerror}")
        return _NO_FOLDER
    return None


def _copy_credentials(folder: str) -> None:
    """Give them a mode that programs demand of credentials: files of a mounted Secret belong to root."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.environ["DODAS_CREDENTIALS"] = folder
    for file, variable in (("token", "BEARER_TOKEN_FILE"), ("x509up", "X509_USER_PROXY")):
        source = os.path.join(CREDENTIALS, file)
        if os.path.exists(source):
            target = os.path.join(folder, file)
            with open(source, "rb") as there, open(target, "wb", opener=_private) as here:
                here.write(there.read())
            os.environ[variable] = target


def _keep_token() -> None:
    """Keep a copy of the token of the namespace for as long as the instance runs; an empty one is none."""
    source = os.path.join(BEARER, "token")
    if "BEARER_TOKEN_FILE" in os.environ or not os.path.exists(source):
        return
    folder = os.path.join(WORK, ".bearer")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    target = os.environ["BEARER_TOKEN_FILE"] = os.path.join(folder, "token")

    def look(*_: object) -> None:
        try:
            _copy_token(source, target)
        except OSError as error:
            _say(f"The access token cannot be copied: {error}")

    look()
    # A timer of this process alone: the instance does not inherit it.
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _FRESH, _FRESH)


def _copy_token(source: str, target: str) -> None:
    """Replace the copy as a whole, if it is another token."""
    token = _read(source)
    if token == _read(target):
        return
    if not token:
        os.unlink(target)
        return
    beside = f"{target}.new"
    with open(beside, "wb", opener=_private) as file:
        file.write(token)
    os.replace(beside, target)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _wait(child: int) -> int:
    """Reap everything that ends, until the program itself has; return its code, negative for a signal."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _leave(code: int, account: str | None) -> int:
    """Write the account, and return the code that a shell would."""
    signal.setitimer(signal.ITIMER_REAL, 0)  # at the end of an interpreter nobody catches it any more
    if account:
        try:
            with open(account, "w") as file:
                json.dump({"code": code, **measured()}, file)
        except OSError as error:
            _say(f"No account is left: {error}")
    sys.stdout.flush()
    return code if code >= 0 else 128 - code


def measured(root: str = "/sys/fs/cgroup") -> Mapping[str, Any]:
    """Return what this container took: seconds of CPU, bytes of memory at most, processes that the kernel ended for want of it.

    Parameters
    ----------
    root
        Where cgroups are mounted: of version 2, or of version 1 with a folder for each controller.
    """
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = own.ru_utime + own.ru_stime, own.ru_maxrss * 1024
    if (usage := _field(f"{root}/cpu.stat", "usage_usec")) is not None:
        cpu = usage / 1e6
    elif (usage := _number(f"{root}/cpuacct/cpuacct.usage")) is not None:
        cpu = usage / 1e9
    for file in ("memory.peak", "memory/memory.max_usage_in_bytes"):
        peak = _number(f"{root}/{file}") or peak
    killed = _field(f"{root}/memory.events", "oom_kill")
    if killed is None:
        killed = _field(f"{root}/memory/memory.oom_control", "oom_kill")
    return {"cpu": cpu, "peak": peak, "oom": killed or 0}


def _number(path: str) -> int | None:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _field(path: str, name: str) -> int | None:
    try:
        with open(path) as file:
            found = dict(line.split()[:2] for line in file if " " in line)
            return int(found[name])
    except (OSError, ValueError, KeyError):
        return None


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is the instance's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
