"""Take away from this process, for ever, what running somebody else's model does not need.

`confine` puts on every layer that the kernel has and says which: no gain of rights by executing something, no capabilities, files
only below given folders (Landlock), a list of system calls (seccomp) and bounds on resources. What was opened before stays open:
a worker goes on talking over the socket that it was started with, and cannot make another one.

A system call that is not on the list fails with EPERM rather than killing the process: libraries try one thing and fall back to
another. What programs made for another machine could do is no use to any library, so that does kill it.
"""

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from jupyter_dodas.inference.confinement import syscalls

__all__ = ["confine", "libraries"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITIES: Final = 0x20080522
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_FILTER_FLAG_TSYNC: Final = 1

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every machine
_LANDLOCK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
# Rights over files, in the order of their bits, and what each version of Landlock knows of them.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_KNOWN: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_READING: Final = _READ_FILE | _READ_DIR
_WRITING: Final = _READING | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_TCP: Final = 0b11  # bind, connect
_SCOPES: Final = 0b11  # abstract unix sockets, signals


def confine(
    read: Iterable[Path],
    write: Iterable[Path],
    *,
    memory: int,
    cpu: int | None = None,
    files: int = 256,
    size: int | None = None,
) -> tuple[str, ...]:
    """Confine this process; call it while there is one thread, since threads that run already would keep the right to files.

    Parameters
    ----------
    read, write
        Folders or files, with all below them. What is not there is left out.
    memory
        Bytes of memory of its own that the process may have in all.
    cpu
        Seconds of computing after which it is killed.
    files
        Files that it may have open.
    size
        Bytes up to which it may write a file.

    Returns
    -------
    tuple of str
        The layers that hold now, of ``no-new-privs``, ``no-capabilities``, ``landlock``, ``seccomp``, ``rlimits``.
    """
    layers = []
    if sys.platform == "linux":
        if _gain_nothing():
            layers.append("no-new-privs")
        if _drop_capabilities():
            layers.append("no-capabilities")
        if _restrict_files(read, write):
            layers.append("landlock")
    _limit(memory, cpu, files, size)
    if sys.platform == "linux" and _filter_calls():
        layers.append("seccomp")
    return (*layers, "rlimits")


def libraries() -> Sequence[Path]:
    """Return what Python and the libraries of engines read while they run: code, and what the machine is like."""
    own = {Path(entry) for entry in (sys.prefix, sys.base_prefix, *sys.path) if entry and Path(entry) != Path("/")}
    package = Path(__file__).resolve().parents[1]
    system = (
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/usr/share/zoneinfo",
        "/etc/localtime",
    )
    facts = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system", "/sys/kernel/mm")
    devices = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
    return [*own, package, *map(Path, (*system, *facts, *devices))]


def _gain_nothing() -> bool:
    return bool(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _drop_capabilities() -> bool:
    """Give up the powers of root, where there are any."""
    number = _CAPSET.get(platform.machine())
    if number is None:
        return False
    header, none = struct.pack("=II", _CAPABILITIES, 0), bytes(24)
    return bool(_libc.syscall(number, header, none) == 0)


def _restrict_files(read: Iterable[Path], write: Iterable[Path]) -> bool:
    version = _libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION)
    if version < 1 or len(list(Path("/proc/self/task").iterdir())) > 1:
        return False
    known = _KNOWN[max(each for each in _KNOWN if each <= version)]
    asked = struct.pack("=QQQ", known, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    rules = _libc.syscall(_LANDLOCK_CREATE, asked, len(asked), 0)
    if rules < 0:
        return False
    try:
        for rights, paths in ((_READING, read), (_WRITING, write)):
            for path in paths:
                _allow(rules, path, rights & known)
        return bool(_libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights if path.is_dir() else rights & _OF_FILES, descriptor)
            if _libc.syscall(_LANDLOCK_ADD, rules, _PATH_BENEATH, rule, 0):
                raise OSError(ctypes.get_errno(), f"Landlock does not take {path}")
        finally:
            os.close(descriptor)


def _limit(memory: int, cpu: int | None, files: int, size: int | None) -> None:
    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_DATA: memory, resource.RLIMIT_NOFILE: files}
    if cpu is not None:
        wanted[resource.RLIMIT_CPU] = cpu
    if size is not None:
        wanted[resource.RLIMIT_FSIZE] = size
    for which, most in wanted.items():
        hard = resource.getrlimit(which)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (bound, bound))


def _filter_calls() -> bool:
    machine = platform.machine()
    if machine not in _SECCOMP:
        return False
    program = b"".join(syscalls.program(machine, os.getpid()))
    room = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(room))
    return bool(_libc.syscall(_SECCOMP[machine], _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, filter_) == 0)
