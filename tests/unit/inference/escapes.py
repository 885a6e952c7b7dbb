"""What a hostile model might try, run in a process that has confined itself: ``python escapes.py PLACE LAYER...``.

Only the named layers are put on, so that each can be seen to hold by itself. PLACE is a JSON object: see `test_sandbox`. Prints the
layers, and of each escape whether it went well.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_dodas.inference.confinement import sandbox

__all__ = ["ESCAPES", "PLACE", "place", "successes"]

PLACE: dict[str, Any] = {}
ARM = platform.machine() == "aarch64"

libc = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *arguments: Any) -> None:
    """Make a system call that only has to be refused by the kernel's rules: what it says of nonsense does not count."""
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(arm if ARM else x86, *arguments) < 0 and ctypes.get_errno() in {errno.EPERM, errno.EACCES}:
        raise PermissionError(ctypes.get_errno(), "refused")


def connect(kind: int, address: Any) -> None:
    with socket.socket(kind, socket.SOCK_STREAM) as one:
        one.connect(address)


def bind() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def execute() -> None:
    os.posix_spawn("/bin/true", ["true"], {})


def hoard() -> None:
    held = bytearray(2 * PLACE["memory"])
    held[::4096] = b"x" * len(held[::4096])


def share() -> None:
    mmap.mmap(-1, 1 << 20).close()


def fill_disk() -> None:
    (Path(PLACE["mine"]) / "large").write_bytes(bytes(2 * PLACE["size"]))


def open_many() -> None:
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(PLACE["files"] + 10)]
    for descriptor in held:
        os.close(descriptor)


def take_signals() -> None:
    ours, _ = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETOWN, PLACE["victim"])


def dump_core() -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise PermissionError


def be_mighty() -> None:
    fields = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if int(fields["CapEff"], 16) == 0 == int(fields["CapPrm"], 16):
        raise PermissionError


def gain_by_executing() -> None:
    if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        raise PermissionError


ESCAPES: dict[str, tuple[Callable[[], object], set[str]]] = {
    # What is tried, and each layer that stops it by itself.
    "read a file": (lambda: Path(PLACE["secret"]).read_text(), {"landlock"}),
    "read passwords": (lambda: Path("/etc/passwd").read_text(), {"landlock"}),
    "list a folder": (lambda: list(Path(PLACE["secret"]).parent.iterdir()), {"landlock"}),
    "write a file": (lambda: Path(PLACE["secret"]).with_name("new").write_text("x"), {"landlock"}),
    "append to a file": (lambda: Path(PLACE["log"]).open("a").close(), {"landlock"}),
    "cut a file": (lambda: os.truncate(PLACE["log"], 0), {"landlock", "seccomp"}),
    "remove a file": (lambda: Path(PLACE["doomed"]).unlink(), {"landlock"}),
    "write what it may read": (lambda: (Path(PLACE["given"]) / "new").write_text("x"), {"landlock"}),
    "link to a file": (lambda: (Path(PLACE["mine"]) / f"link{os.getpid()}").symlink_to(PLACE["secret"]), {"landlock", "seccomp"}),
    "open a file to others": (lambda: Path(PLACE["secret"]).chmod(0o777), {"seccomp"}),
    "read the environment of others": (lambda: Path(f"/proc/{PLACE['victim']}/environ").read_bytes(), {"landlock"}),
    "read the memory of others": (lambda: Path(f"/proc/{PLACE['victim']}/mem").open("rb").close(), {"landlock"}),
    "copy the memory of others": (lambda: call(310, 270, PLACE["victim"], None, 0, None, 0, 0), {"seccomp"}),
    "trace others": (lambda: call(101, 117, 0x4206, PLACE["victim"], None, None), {"landlock", "seccomp"}),
    "send signals": (lambda: os.kill(PLACE["victim"], 0), {"landlock", "seccomp"}),
    "have signals sent": (take_signals, {"seccomp"}),
    "bound others": (lambda: resource.prlimit(PLACE["victim"], resource.RLIMIT_NOFILE), {"seccomp"}),
    "connect by TCP": (lambda: connect(socket.AF_INET, ("127.0.0.1", PLACE["port"])), {"landlock", "seccomp"}),
    "listen on TCP": (bind, {"landlock", "seccomp"}),
    "send by UDP": (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(), {"seccomp"}),
    "connect to a unix socket": (lambda: connect(socket.AF_UNIX, PLACE["socket"]), {"seccomp"}),
    "connect to an abstract socket": (lambda: connect(socket.AF_UNIX, "\0" + PLACE["abstract"]), {"landlock", "seccomp"}),
    "talk to the kernel": (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(), {"seccomp"}),
    "fork": (fork, {"seccomp"}),
    "execute": (execute, {"seccomp"}),
    "make namespaces": (lambda: call(272, 97, 0), {"seccomp"}),
    "mount": (lambda: call(165, 40, b"none", b"/nowhere", b"tmpfs", 0, None), {"seccomp"}),
    "find keys": (lambda: call(250, 219, 0, -3, 0), {"seccomp"}),
    "load programs": (lambda: call(321, 280, 0, None, 0), {"seccomp"}),
    "make rings": (lambda: call(425, 425, 1, None), {"seccomp"}),
    "stop faults": (lambda: call(323, 282, 0), {"seccomp"}),
    "make files in memory": (lambda: call(319, 279, b"x", 0), {"seccomp"}),
    "hoard memory": (hoard, {"rlimits"}),
    "share memory": (share, {"seccomp"}),
    "fill the disk": (fill_disk, {"rlimits"}),
    "open many files": (open_many, {"rlimits"}),
    "dump core": (dump_core, {"rlimits"}),
    "be mighty": (be_mighty, {"no-capabilities"}),
    "gain by executing": (gain_by_executing, {"no-new-privs"}),
}


@contextmanager
def place(folder: Path) -> Iterator[dict[str, Any]]:
    """Give what there is to get at: a secret, others' files, sockets and a process."""
    for name in ("mine", "given", "others"):
        (folder / name).mkdir()
    (folder / "given" / "in").write_text("x")
    for name in ("secret", "log", "doomed"):
        (folder / "others" / name).write_text("secret")
    victim = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    path = os.path.relpath(folder / "socket")  # paths of sockets are short
    abstract = f"dodas-{victim.pid}-{folder.name}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as hidden,
    ):
        unix.bind(path)
        hidden.bind("\0" + abstract)
        unix.listen(100)
        hidden.listen(100)
        yield {
            "mine": str(folder / "mine"),
            "given": str(folder / "given"),
            "secret": str(folder / "others" / "secret"),
            "log": str(folder / "others" / "log"),
            "doomed": str(folder / "others" / "doomed"),
            "victim": victim.pid,
            "port": tcp.getsockname()[1],
            "socket": path,
            "abstract": abstract,
            "memory": 256 << 20,
            "size": 1 << 20,
            "files": 40,
        }
    assert victim.poll() is None, "it was killed"
    victim.communicate()


def succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, MemoryError):
        return False
    return True


def successes() -> list[str]:
    """Try every escape, and return those that go well."""
    return [name for name, (attempt, _) in ESCAPES.items() if succeeds(attempt)]


def work() -> bool:
    """Do what a model needs: own files, threads, memory, numbers."""
    (Path(PLACE["mine"]) / "out").write_text((Path(PLACE["given"]) / "in").read_text())
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(len(bytearray(1 << 20))))
    thread.start()
    thread.join()
    import numpy as np

    return bool(done and (np.ones((50, 50)) @ np.ones((50, 50))).sum() == 125_000)


def main() -> None:
    PLACE.update(json.loads(sys.argv[1]))
    wanted = set(sys.argv[2:])
    if "no-capabilities" not in wanted:
        sandbox._drop_capabilities = lambda: False
    if "landlock" not in wanted:
        sandbox._restrict_files = lambda read, write: False
    if "rlimits" not in wanted:
        sandbox._limit = lambda *_: None
    if "seccomp" not in wanted:
        sandbox._filter_calls = lambda: False
    if "no-new-privs" not in wanted:
        sandbox._gain_nothing = lambda: False
    mine, given = Path(PLACE["mine"]), Path(PLACE["given"])
    layers = sandbox.confine(
        [*sandbox.libraries(), given], [mine], memory=PLACE["memory"], cpu=60, files=PLACE["files"], size=PLACE["size"]
    )
    works = work()
    done = successes()
    sys.stdout.write(json.dumps({"layers": layers, "works": works, "escapes": done}))


if __name__ == "__main__":
    main()
