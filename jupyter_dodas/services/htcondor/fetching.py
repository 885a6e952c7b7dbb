"""Fetching HTCondor's daemons where nobody has installed them: ``python -m jupyter_dodas.services.htcondor.fetching [--shared]``.

They come from Debian's packages, from the mirror that this machine already uses, checked with its keys. Nothing is installed:
the packages are unpacked into a folder of the user's, with the very C library that they were made for, so that they run on whatever
release this machine has, without root.
"""

import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import DodasError, MissingSoftware
from jupyter_dodas.services.htcondor import daemons
from jupyter_dodas.services.htcondor.daemons import Daemons

__all__ = ["fetch", "main"]

logger = getLogger(__name__)

_SUITE: Final = "trixie"
_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATIENCE: Final = 600.0  # seconds for a command; a mirror may be far away

_WANTED: Final = re.compile(r"(condor|libc6|lib|zlib1g|patchelf)")
_NOT_WANTED: Final = re.compile(r"(libpython|libperl|libjs|libdebconf|libpam|libgdbm|lib.*-perl_)")
_LOADED: Final = (
    *("libSciTokens.so.0", "libmunge.so.2", "libvomsapi.so.1", "libgssapi_krb5.so.2", "libkrb5.so.3", "libcurl.so.4"),
    *("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1"),
)
"""Libraries that HTCondor, or its C library, opens by itself while it runs."""


def fetch(*, shared: bool = False) -> Daemons:
    """Return daemons that were fetched, now or before. Whoever comes while it is done waits for the same ones.

    Parameters
    ----------
    shared
        Into the folder of the interpreter, for all who use it, and not into the user's cache.

    Raises
    ------
    MissingSoftware
    """
    target = daemons.shared() if shared else daemons.own()
    with _locked(target):
        if (found := daemons.at(target)) is not None:
            return found
        with tempfile.TemporaryDirectory(prefix="dodas-htcondor-") as folder:
            try:
                _make(Path(folder), target)
            except (OSError, LookupError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None)
                raise MissingSoftware(
                    "HTCondor's daemons could not be fetched",
                    cause=(said.strip().splitlines()[-1] if said and said.strip() else str(error)),
                    remedy="Try again once the mirror of Debian's packages can be reached, or install HTCondor 23.9 or newer.",
                ) from error
        if (found := daemons.at(target)) is None:
            shutil.rmtree(target, ignore_errors=True)
            raise MissingSoftware(
                "HTCondor's daemons were fetched, and do not run",
                cause=f"{target}/bin/condor_version did not tell its version.",
                remedy="Install HTCondor 23.9 or newer: https://htcondor.org has packages for every system.",
            )
        logger.info("HTCondor %s is in %s", ".".join(map(str, found.version)), target)
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch them, and return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = ArgumentParser(description="Fetch HTCondor's daemons.")
    parser.add_argument("--shared", action="store_true", help="For all who use this interpreter, as in an image.")
    try:
        fetch(shared=parser.parse_args(argv).shared)
    except DodasError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is a command
        return 1
    return 0


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            logger.info("Somebody fetches HTCondor's daemons already; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(work: Path, target: Path) -> None:
    """Make a release folder that can only be used where it is to be: programs name their loader by its whole path."""
    logger.info("Fetching HTCondor's daemons from %s; this is done once", daemons.mirror())
    root = work / "root"
    for package in _download(work):
        if _WANTED.match(package.name) and not _NOT_WANTED.match(package.name):
            _run("dpkg-deb", "-x", package, root)
    logger.info("Unpacked; making them independent of this machine's libraries")
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _Release(root, fresh, target).make()
    if target.is_symlink():
        target.unlink()
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def _download(work: Path) -> Sequence[Path]:
    """Download the packages and whatever they depend on, into a world of apt's that knows nothing of this machine."""
    archives = work / "cache" / "archives"
    for folder in (archives / "partial", work / "lists" / "partial", work / "root"):
        folder.mkdir(parents=True)
    (work / "status").touch()
    architecture = _run("dpkg", "--print-architecture").strip()
    (work / "sources.list").write_text(f"deb [signed-by={_KEYS}] {daemons.mirror()} {_SUITE} main\n")
    options = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::State::extended_states": work / "extended_states",
        "Dir::Cache": work / "cache",
        "Dir::Cache::archives": archives,
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
    }
    apt = ("apt-get", "-q", "-y", *(f"-o{name}={value}" for name, value in options.items()))
    _run(*apt, "update")
    _run(*apt, "--download-only", "install", "condor", "patchelf")
    return sorted(archives.glob("*.deb"))


class _Release:
    """A release folder in the making.

    Parameters
    ----------
    root
        Where the packages are unpacked.
    fresh, target
        Where it is made, and where it will be.
    """

    def __init__(self, root: Path, fresh: Path, target: Path) -> None:
        self._root, self._fresh, self._target = root, fresh, target
        libraries = next(folder.parent for folder in sorted(root.glob("usr/lib/*/libc.so.6")))
        self._folders = (libraries, libraries / "condor", root / "usr" / "lib" / "condor", root / "usr" / "lib")
        self._loader = next(path for path in sorted(libraries.glob("ld-linux*.so.*")))
        self._patchelf = (self._loader, "--library-path", libraries, root / "usr" / "bin" / "patchelf")

    def make(self) -> None:
        """Lay it out and have every program find its loader and its libraries there."""
        self._copy()
        programs = [file for name in ("bin", "sbin", "libexec") for file in _programs(self._fresh / name)]
        libraries = self._libraries(programs)
        loader = self._target / "lib" / self._loader.name
        for program in programs:
            inside = os.path.relpath(self._fresh / "lib", program.parent)
            dynamic = self._patch("--print-interpreter", program, check=False)
            how = ("--set-interpreter", loader) if dynamic else ()
            self._patch(*how, "--set-rpath", f"$ORIGIN/{inside}", program, check=False)
        for name in libraries:
            if not name.startswith(("ld-linux", "libc.so")):
                self._patch("--set-rpath", "$ORIGIN", self._fresh / "lib" / name)

    def _copy(self) -> None:
        usr = self._root / "usr"
        for name in ("bin", "sbin", "lib"):
            (self._fresh / name).mkdir(parents=True)
        for source, into in ((usr / "bin", "bin"), (usr / "sbin", "sbin")):
            for file in source.iterdir():
                if file.name.startswith(("condor_", "classad", "htcondor", "procd_ctl", "gidd_alloc")):
                    shutil.copy2(file, self._fresh / into / file.name, follow_symlinks=False)
        shutil.copytree(usr / "libexec" / "condor", self._fresh / "libexec", symlinks=True)

    def _libraries(self, programs: Iterable[Path]) -> Sequence[str]:
        """Copy what the programs need, and what that needs."""
        missing, copied = {*_LOADED, self._loader.name}, list[str]()
        for program in programs:
            missing.update(self._patch("--print-needed", program, check=False).split())
        known = set(missing)
        while missing:
            name = missing.pop()
            found = next((folder / name for folder in self._folders if (folder / name).exists()), None)
            if found is None:
                continue  # of a helper that nobody here uses
            copy = self._fresh / "lib" / name
            shutil.copyfile(found, copy)
            copy.chmod(0o755)
            copied.append(name)
            more = set(self._patch("--print-needed", copy, check=False).split()) - known
            missing |= more
            known |= more
        return copied

    def _patch(self, *arguments: object, check: bool = True) -> str:
        return _run(*self._patchelf, *arguments, check=check)


def _programs(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as opened:
                if opened.read(4) == b"\x7fELF":
                    yield file


def _run(*command: object, check: bool = True) -> str:
    words, environment = [str(word) for word in command], {**os.environ, "LC_ALL": "C"}
    return subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=check, env=environment).stdout


if __name__ == "__main__":
    sys.exit(main())
