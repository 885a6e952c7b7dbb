"""The system calls that a process with a model needs, as a program for seccomp.

The lists say what is allowed; all else is not there for the process: sockets, other processes, executing, mounting, keys, tracing,
rings, changing owners and modes of files. Some calls are allowed with certain arguments only.
"""

import errno
import struct
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["MACHINES", "program"]

MACHINES: Final[Mapping[str, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Names of machines, and of what kind their system calls are (AUDIT_ARCH)."""

_TABLE: Final = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70, lseek 8 62,
close 3 57, close_range 436 436, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, flock 73 32, sendfile 40 71,
open 2 -, openat 257 56, access 21 -, faccessat 269 48, faccessat2 439 439, stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79,
statx 332 291, statfs 137 43, fstatfs 138 44, readlink 89 -, readlinkat 267 78, getcwd 79 17, getdents 78 -, getdents64 217 61,
mkdir 83 -, mkdirat 258 34, rename 82 -, renameat 264 38, renameat2 316 276, unlink 87 -, unlinkat 263 35, rmdir 84 -,
ftruncate 77 46, fsync 74 82, fdatasync 75 83, fallocate 285 47, fadvise64 221 223, umask 95 166, copy_file_range 326 285,
munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214, msync 26 227, mincore 27 232, membarrier 324 283,
futex 202 98, set_robust_list 273 99, rseq 334 293, sched_yield 24 124, sched_getaffinity 204 123, set_tid_address 218 96,
gettid 186 178, getpid 39 172, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
getgroups 115 158, exit 60 93, exit_group 231 94, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113,
clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153, getcpu 309 168, rt_sigaction 13 134, rt_sigprocmask 14 135,
rt_sigreturn 15 139, sigaltstack 131 132, restart_syscall 219 128, rt_sigtimedwait 128 137, pause 34 -, poll 7 -, ppoll 271 73,
select 23 -, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441,
eventfd2 290 19, timerfd_create 283 85, timerfd_settime 286 86, recvfrom 45 207, sendto 44 206, recvmsg 47 212, sendmsg 46 211,
shutdown 48 210, getsockopt 55 209, getsockname 51 204, getpeername 52 205, uname 63 160, sysinfo 99 179, getrandom 318 278,
getrlimit 97 163, getrusage 98 165, arch_prctl 158 -
"""
"""By name: the number on x86_64 and on aarch64."""

_CLONE, _CLONE3, _MMAP, _KILL, _TGKILL = (56, 220), (435, 435), (9, 222), (62, 129), (234, 131)
_IOCTL, _FCNTL, _PRCTL, _PRLIMIT = (16, 29), (72, 25), (157, 167), (302, 261)

_CLONE_THREAD: Final = 0x10000
_SHARED_MEMORY: Final = 0x21  # MAP_SHARED | MAP_ANONYMOUS: RLIMIT_DATA does not count it
_HARMLESS_IOCTLS: Final = (0x5401, 0x5421, 0x541B, 0x5450, 0x5451)  # TCGETS, FIONBIO, FIONREAD, FIONCLEX, FIOCLEX
_SIGNALLING_FCNTLS: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: the kernel would send signals to others
_HARMLESS_PRCTLS: Final = (15, 16, 0x53564D41)  # names of threads and of memory

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _MACHINE = 0, 4
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_X32: Final = 0x40000000


def program(machine: str, pid: int) -> Iterator[bytes]:
    """Give the instructions of the filter for one machine.

    Parameters
    ----------
    pid
        The process itself, which may send itself signals (to abort, for one).
    """
    column = list(MACHINES).index(machine)
    yield from (_load(_MACHINE), _step(_EQUAL, MACHINES[machine], 1, 0), _return(_KILL_PROCESS), _load(_NUMBER))
    if machine == "x86_64":
        yield from (_step(_AT_LEAST, _X32, 0, 1), _return(_KILL_PROCESS))
    for entry in _TABLE.replace("\n", " ").split(","):
        if (number := entry.split()[1 + column]) != "-":
            yield from (_step(_EQUAL, int(number), 0, 1), _return(_ALLOW))
    # Other processes are out of the question, threads are not; who asks in the newer way is told to ask in the older.
    yield from _checked(_CLONE[column], 0, [_step(_ANY_BIT, _CLONE_THREAD, 0, 1), _return(_ALLOW)])
    yield from (_step(_EQUAL, _CLONE3[column], 0, 1), _return(_ERRNO | errno.ENOSYS))
    private = [_step(_AND, _SHARED_MEMORY), _step(_EQUAL, _SHARED_MEMORY, 1, 0), _return(_ALLOW)]
    yield from _checked(_MMAP[column], 3, private)
    for call, argument, values in (
        (_KILL, 0, (pid,)),
        (_TGKILL, 0, (pid,)),
        (_IOCTL, 1, _HARMLESS_IOCTLS),
        (_PRCTL, 0, _HARMLESS_PRCTLS),
        (_PRLIMIT, 0, (0, pid)),
    ):
        yield from _checked(
            call[column], argument, [one for value in values for one in (_step(_EQUAL, value, 0, 1), _return(_ALLOW))]
        )
    refused = [one for value in _SIGNALLING_FCNTLS for one in (_step(_EQUAL, value, 0, 1), _return(_ERRNO | errno.EPERM))]
    yield from _checked(_FCNTL[column], 1, [*refused, _return(_ALLOW)])
    yield _return(_ERRNO | errno.EPERM)


def _checked(number: int, argument: int, steps: list[bytes]) -> Iterator[bytes]:
    """Look at the lower half of an argument of one call; what is not allowed by then is refused."""
    yield _step(_EQUAL, number, 0, len(steps) + 2)
    yield _load(16 + 8 * argument)
    yield from steps
    yield _return(_ERRNO | errno.EPERM)


def _load(offset: int) -> bytes:
    return _step(_LOAD, offset)


def _return(what: int) -> bytes:
    return _step(_RETURN, what)


def _step(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)
