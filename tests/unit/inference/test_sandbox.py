"""The sandbox: every escape that is tried fails, by each layer that is there to stop it, and without it goes well."""

import json
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.inference.confinement import syscalls
from tests.unit.inference import escapes
from tests.unit.inference.escapes import ESCAPES

SCRIPT = Path(__file__).with_name("escapes.py")
LAYERS = ("no-new-privs", "no-capabilities", "landlock", "seccomp", "rlimits")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such layers")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with escapes.place(tmp_path_factory.mktemp("place")) as there:
        yield there


def tried(place: dict[str, Any], *layers: str) -> dict[str, Any]:
    Path(place["doomed"]).write_text("")
    done = subprocess.run([sys.executable, SCRIPT, json.dumps(place), *layers], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["works"]
    if not set(layers) <= set(found["layers"]):
        pytest.skip(f"this kernel has only {found['layers']}")
    return found


def test_no_escape_succeeds(place: dict[str, Any]) -> None:
    found = tried(place, *LAYERS)
    assert found["escapes"] == []
    assert sorted(found["layers"]) == sorted(LAYERS)
    assert not Path(place["secret"]).with_name("new").exists()
    assert Path(place["log"]).read_text() == "secret"


def test_nothing_is_stopped_where_there_is_no_sandbox(place: dict[str, Any]) -> None:
    """So the others fail for the reason that is tested."""
    usual = {
        "stop faults",
        "make rings",
        "load programs",
        "dump core",
        "be mighty",
        "find keys",
        "mount",
        "open many files",
    }  # may be shut anyway
    assert set(ESCAPES) - set(tried(place)["escapes"]) <= usual


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_holds_by_itself(place: dict[str, Any], layer: str) -> None:
    found = tried(place, "no-new-privs", layer)
    stopped = {name for name, (_, by) in ESCAPES.items() if layer in by}
    assert stopped
    assert stopped & set(found["escapes"]) == set()


def test_every_escape_is_stopped_by_some_layer() -> None:
    assert all(by and by <= set(LAYERS) for _, by in ESCAPES.values())


SPIN = """
import sys
from jupyter_dodas.inference.confinement.sandbox import confine, libraries
confine(libraries(), [], memory=1 << 28, cpu=1)
while True: pass
"""


def test_who_computes_for_too_long_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", SPIN], check=False)
    assert done.returncode in {-signal.SIGXCPU, -signal.SIGKILL}
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] != 1


THREADS = """
import os, threading
from jupyter_dodas.inference.confinement.sandbox import confine, libraries
begin, there, found = threading.Event(), threading.Event(), []
def late():
    there.set()
    begin.wait()
    try:
        os.fork()
    except OSError as error:
        found.append(error.errno)
thread = threading.Thread(target=late)
thread.start()
there.wait()
layers = confine(libraries(), [], memory=1 << 28)
begin.set()
thread.join()
print(layers, found)
"""


def test_threads_that_run_already_are_confined_too_and_what_does_not_reach_them_is_not_claimed() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], check=True, capture_output=True, text=True)
    assert done.stdout == "('no-new-privs', 'no-capabilities', 'seccomp', 'rlimits') [1]\n"


ALLOW, REFUSE, NEWER, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
CALLS = {
    # name: numbers on x86_64 and aarch64, arguments, what becomes of it
    "read": ((0, 63), (), ALLOW),
    "exit_group": ((231, 94), (), ALLOW),
    "socket": ((41, 198), (1,), REFUSE),
    "connect": ((42, 203), (), REFUSE),
    "execve": ((59, 221), (), REFUSE),
    "execveat": ((322, 281), (), REFUSE),
    "thread": ((56, 220), (0x3D0F00,), ALLOW),
    "fork": ((56, 220), (0x1200011,), REFUSE),
    "clone3": ((435, 435), (), NEWER),
    "memory": ((9, 222), (0, 4096, 3, 0x22), ALLOW),
    "shared memory": ((9, 222), (0, 4096, 3, 0x21), REFUSE),
    "shared file": ((9, 222), (0, 4096, 1, 0x01), ALLOW),
    "own signal": ((234, 131), (4242, 4243, 6), ALLOW),
    "other's signal": ((234, 131), (1, 1, 9), REFUSE),
    "kill": ((62, 129), (1, 9), REFUSE),
    "kill a group": ((62, 129), (0, 9), REFUSE),
    "kill all": ((62, 129), (0xFFFFFFFF, 9), REFUSE),
    "terminal": ((16, 29), (0, 0x5401), ALLOW),
    "type into the terminal": ((16, 29), (0, 0x5412), REFUSE),
    "flags": ((72, 25), (3, 4), ALLOW),
    "owner of signals": ((72, 25), (3, 8), REFUSE),
    "own limits": ((302, 261), (0, 7), ALLOW),
    "other's limits": ((302, 261), (1, 7), REFUSE),
    "name": ((157, 167), (15,), ALLOW),
    "live on": ((157, 167), (1,), REFUSE),
    "unknown": ((1000, 1000), (), REFUSE),
}


def outcome(machine: str, kind: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would do: the few instructions of BPF that the filter uses."""
    data = struct.pack("=IIQ6Q", number, kind, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = [struct.unpack("=HBBI", one) for one in syscalls.program(machine, 4242)]
    held = place = 0
    while True:
        code, true, false, value = steps[place]
        place += 1
        if code == 0x20:
            held = struct.unpack_from("=I", data, value)[0]
        elif code == 0x54:
            held &= value
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            place += true if holds else false


@pytest.mark.parametrize("machine", syscalls.MACHINES)
@pytest.mark.parametrize("name", CALLS)
def test_the_filter_decides_as_it_should_on_every_machine(machine: str, name: str) -> None:
    numbers, arguments, wanted = CALLS[name]
    number = numbers[list(syscalls.MACHINES).index(machine)]
    assert outcome(machine, syscalls.MACHINES[machine], number, arguments) == wanted


def test_calls_of_other_machines_kill() -> None:
    assert outcome("x86_64", 0x40000003, 11, ()) == KILL  # of 32 bits
    assert outcome("x86_64", syscalls.MACHINES["x86_64"], 0x40000000 + 1, ()) == KILL  # x32
    assert outcome("aarch64", 0x40000028, 11, ()) == KILL
