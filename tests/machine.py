"""A machine in small: a mount namespace with accounts of its own, in which all of them can reach interpreter and checkout.

Tests need to be root for it. What they do there changes nothing outside: ``/etc`` is a copy, and ``/run`` one of its own.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

__all__ = ["Machine"]

_ROOT: Final = Path(__file__).resolve().parents[1]

_CLONE_NEWNS: Final = 0x20000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 1 << 18


class Machine(AbstractContextManager["Machine"]):
    """See the module. It is there for as long as one process in it, which ends with this object."""

    def __init__(self) -> None:
        node = shutil.which("node") or sys.executable
        wanted = [_ROOT, Path(sys.prefix), Path(sys.base_prefix).resolve(), Path(node).resolve().parents[1]]
        # Numbers that no other test uses at the same time: who has the same one could end its processes.
        first = 20_000 + os.getpid() * 16 % 30_000
        command = [sys.executable, __file__, str(first), json.dumps([str(path) for path in wanted])]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n", "no mount namespace could be made"

    def inside(self, command: Sequence[str], folder: Path) -> list[str]:
        """Return a command as it is started from outside."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={folder}", "--", *command]

    def uid(self, account: str) -> int | None:
        """Return the uid of an account; None if there is no such one."""
        for line in Path(f"/proc/{self._holder.pid}/root/etc/passwd").read_text("utf-8").splitlines():
            name, _, uid, *_ = line.split(":")
            if name == account:
                return int(uid)
        return None

    def __exit__(self, *_: object) -> None:
        self._holder.communicate()


def _make(first: int, wanted: Sequence[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
        words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
        if libc.mount(*words, ctypes.c_ulong(flags), None if options is None else options.encode()):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)

    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0755")
    shutil.copytree("/etc", "/mnt/etc", symlinks=True)
    mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
    login = Path("/mnt/etc/login.defs")
    text = re.sub(r"^([UG]ID_M(?:IN|AX))\s.*$", "", login.read_text("utf-8"), flags=re.MULTILINE)
    login.write_text(f"{text}\n" + "".join(f"{n}_MIN {first}\n{n}_MAX {first + 15}\n" for n in ("UID", "GID")), "utf-8")
    mount("/mnt/etc", "/etc", None, _MS_BIND)
    # What is below a folder that others may not enter is shown again in one that they may.
    held = {path: os.open(path, os.O_PATH) for path in wanted}
    closed = [next((one for one in reversed(Path(path).parents) if not one.stat().st_mode & 1), None) for path in wanted]
    for above in sorted({str(folder) for folder in closed if folder is not None}):
        mount("tmpfs", above, "tmpfs", 0, "mode=0755")
    for path, folder in zip(wanted, closed, strict=True):
        if folder is not None:
            Path(path).mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{held[path]}", path, None, _MS_BIND | _MS_REC)


if __name__ == "__main__":
    _make(int(sys.argv[1]), json.loads(sys.argv[2]))
    print("ready", flush=True)  # noqa: T201 - which is what is waited for
    sys.stdin.read()
