"""The verbs of `script/kubernetes`, once its programs are there."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from cluster import parts
from cluster.api import names_resolve, node_ready, wait_for
from cluster.archives import OWN, bring_in, ctr, pack
from cluster.keys import make_keys
from cluster.layout import CGROUP, KUBECONFIG, LINK, LOCK, NUMBER, RUN, STATE

__all__ = ["main"]

# Seconds for anything to happen, also on a machine that is busy.
PATIENCE: Final = 180.0


def main() -> int:
    """Do what the first argument says."""
    verb, *rest = sys.argv[1:]
    STATE.mkdir(parents=True, exist_ok=True)
    try:
        return VERBS[verb](*rest)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, RuntimeError, ValueError, subprocess.CalledProcessError) as error:
        _say(f"error: {error}")
        return 1


def up() -> int:
    """Start the cluster, unless it runs; it goes on when this process has ended."""
    began = time.monotonic()
    lock = _lock()
    if lock is None:
        _say("The cluster runs already.")
        wait_for("The cluster", (RUN / "ready").exists, within=PATIENCE)
        load()
    else:
        _clear()
        shutil.rmtree(RUN, ignore_errors=True)
        for folder in ("log", "fail", "network"):
            (RUN / folder).mkdir(parents=True)
        make_keys()
        for name in OWN:
            pack(Path(shutil.which(name) or name))
        try:
            node = _start(lock)
            _wait_until_ready(node)
            _say(f"The cluster is up after {time.monotonic() - began:.1f} s.")
            # Some GB the first time, which may take minutes.
            load()
        except BaseException:
            down()
            raise
    _tell_how_to_use_it()
    return 0


def down() -> int:
    """End the cluster and everything in it; what stays are its images, its logs and the programs."""
    for process in _processes():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_for("The end of the cluster", lambda: not _runs(), within=PATIENCE)
    _clear()
    KUBECONFIG.unlink(missing_ok=True)
    return 0


def status() -> int:
    """Tell how the cluster fares; the exit status is 0 if it takes pods."""
    if not _runs():
        print("The cluster is down.")
        return 1
    ready = node_ready()
    names = "names resolve" if names_resolve() else "names do not resolve"
    print(f"The cluster is up; its node is {'ready' if ready else 'not ready'}, and {names}.")
    _tell_how_to_use_it()
    for image in sorted(ctr("images", "list", "--quiet").split()):
        if not image.startswith("sha256:"):
            print(f"image {image}")
    return 0 if ready else 1


def load() -> int:
    """Bring the images that changed into a running cluster; one that is down takes them when it starts."""
    if _runs():
        for name in bring_in():
            _say(f"The cluster has {name}.")
    return 0


def fail(part: str, seconds: str = "1") -> int:
    """Kill a part of the cluster, which comes back after some seconds."""
    if not _runs():
        raise RuntimeError("the cluster is down")
    if part not in parts.NAMES:
        raise RuntimeError(f"{part} is no part of a cluster; those are {', '.join(parts.NAMES)}")
    order = RUN / "fail" / part
    half = RUN / "order"
    half.write_text(str(float(seconds)))
    half.rename(order)
    wait_for(f"The end of {part}", lambda: not order.exists(), within=10)
    return 0


def _tell_how_to_use_it() -> None:
    # For a shell to evaluate; kubectl is among the programs.
    print(f"export KUBECONFIG={KUBECONFIG} PATH={Path(shutil.which('kubectl') or '').parent}:$PATH")


def _runs() -> bool:
    lock = _lock()
    if lock is not None:
        os.close(lock)
    return lock is None


def _lock() -> int | None:
    """Take the lock, which the node holds as long as it lives; None while it does."""
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _processes() -> list[int]:
    """Return the first process of the node and its parent, so far as they live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"cluster.node" in (folder / "cmdline").read_bytes() and (folder / "cwd").readlink() == RUN:
                found.append(int(folder.name))
    return found


def _start(lock: int) -> subprocess.Popen[bytes]:
    """Run the node in namespaces of its own. They end with the program that makes them, `unshare`, and with their process 1."""
    machine = os.open("/proc/self/ns/net", os.O_RDONLY)
    spaces = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child"]
    with (RUN / "log" / "node.log").open("ab") as log:
        node = subprocess.Popen(
            [*spaces, sys.executable, "-m", "cluster.node", str(machine)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=RUN,
            pass_fds=[lock, machine],
            start_new_session=True,
        )
    os.close(lock)
    os.close(machine)
    return node


def _wait_until_ready(node: subprocess.Popen[bytes]) -> None:
    def ready() -> bool:
        if node.poll() is not None:
            last = (RUN / "log" / "node.log").read_text().strip().splitlines()[-1:]
            raise RuntimeError(f"the node ended: {' '.join(last)}; see {RUN}/log")
        return (RUN / "ready").exists()

    wait_for("The cluster", ready, within=PATIENCE)


def _clear() -> None:
    """Remove what the kernel keeps of a cluster that has ended: its cable, for a while, and empty control groups."""
    subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)
    wait_for("The end of its control groups", _clear_control_groups, within=PATIENCE)


def _clear_control_groups() -> bool:
    left = list(Path("/sys/fs/cgroup").glob(f"*/{CGROUP}")) + list(Path("/sys/fs/cgroup").glob(CGROUP))
    for top in left:
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                # A process in it is still ending.
                return False
    return True


def _say(text: str) -> None:
    print(text if NUMBER == 0 else f"[{NUMBER}] {text}", file=sys.stderr)


VERBS: Final[Mapping[str, Callable[..., int]]] = {"up": up, "down": down, "status": status, "load": load, "fail": fail}

if __name__ == "__main__":
    sys.exit(main())
