"""Control groups: everything of a user is in one of hers, whose bounds the kernel holds."""

import signal
import subprocess
import sys
from pathlib import Path

from jupyter_dodas.hub.accounts.cgroups import Bounds, Fence
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser
from tests.roothub import AS_ROOT, MEMORY, RootHub, fence, stop, where

pytestmark = AS_ROOT


def inside(group: Path) -> set[int]:
    try:
        return {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    except FileNotFoundError:
        return set()


def test_everything_of_a_user_is_in_a_group_with_limits_that_goes_with_it(hub: RootHub, alice: Browser) -> None:
    assert_told_what_is_missing(hub)
    groups = fence(hub, "alice")
    assert alice.spawn("alice").is_success
    for group in groups:

        def strangers(group: Path = group) -> set[int]:
            return (set(hub.of("alice")) ^ inside(group)) - {*hub.agents("alice"), *hub.nurseries("alice")}

        blocking_until(strangers, within=20, meets=lambda found: not found)
        assert hub.server("alice") in inside(group)
    limits = [group / name for group in groups for name in ("memory.max", "memory.limit_in_bytes") if (group / name).exists()]
    assert [int(file.read_text()) for file in limits] == [MEMORY + 2 * 2**30] * ("memory" in where())
    stop(alice, "alice")
    blocking_until(lambda: [group for group in groups if group.exists()], within=60, meets=lambda left: not left)


def assert_told_what_is_missing(hub: RootHub) -> None:
    """A machine may keep control groups from us, which administrators are told."""
    missing = sorted({"memory", "cpu", "pids"}.difference(where()))
    assert f"what users take of {', '.join(missing)}" in hub.program.said() if missing else True


def test_who_takes_more_memory_than_the_group_may_is_killed(hub: RootHub, tmp_path: Path) -> None:
    if "memory" not in where():
        assert_told_what_is_missing(hub)
        return
    fence = Fence(where(), tmp_path)
    fence.bound(Bounds(memory=48 * 2**20, cores=1, pids=20))
    program = f"""
for file in {[str(file) for file in fence.members]!r}:
    open(file, "w").write("0")
print("inside", flush=True)
bytearray(96 * 2**20)
"""
    assert fence.clear()
    fence.stand()  # with the same bounds
    try:
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
        assert (ended.stdout, ended.returncode) == ("inside\n", -signal.SIGKILL)
    finally:
        blocking_until(fence.clear, within=20)
