"""An account of the machine for each user: what they cannot reach of each other and of the hub.

A program runs as alice in her server, which the tests have do what an attacker does. All of it is in a mount namespace of its own.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from jupyter_dodas.errors import NotYours
from jupyter_dodas.hub.accounts.machine import Account
from jupyter_dodas.hub.grounds.accounts import _give
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Browser
from tests.roothub import AS_ROOT, RootHub, children_of, cmdline, fence, is_of, press_start, run, status

pytestmark = AS_ROOT


# -- whose everything is ----------------------------------------------------------------------------------------------------


def test_what_a_user_runs_has_an_account_and_nothing_of_the_hub(hub: RootHub, alice: Browser, bob: Browser) -> None:
    assert alice.spawn("alice").is_success
    assert bob.spawn("bob").is_success
    uid = hub.uid("alice")
    assert 1000 <= uid != hub.uid("bob")
    own = hub.of("alice")
    for program in ("local.keeper", "jupyter_dodas.controller", "single_user.py"):
        assert any(program in cmdline(one) for one in own), program
    agents = blocking_until(lambda: [facts for facts in map(status, hub.agents("alice")) if "CapEff" in facts], within=20)
    for facts in [*map(status, own), *agents]:
        assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {str(uid)}
        assert facts["Groups"] == ""
        assert {int(facts[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert {*own, *hub.of("bob")} == set(hub.running())
    place = hub.place("alice")
    assert all(file.lstat().st_uid == uid for file in [place, *place.rglob("*")])
    assert (place.stat().st_mode & 0o777, place.parent.stat().st_mode & 0o777) == (0o700, 0o711)
    variables = alice.variables("alice")
    assert (variables["HOME"], variables["USER"]) == (str(place / "home"), "jupyter-alice")
    ours = {name for name in os.environ if name not in variables or os.environ[name] == variables[name]}
    assert not {name for name in variables if name.startswith(("DODAS_HUB", "XDG_", "CONFIGPROXY", "JUPYTERHUB_CRYPT"))}
    assert set(variables) & ours <= {"PATH", "LANG", "LC_CTYPE", "SHELL", "SHLVL", "PWD", "_"}


THEIRS: Final = Account("theirs", 54321, 54321, Path("/"), "/bin/sh")


def test_a_folder_is_made_in_one_of_roots_and_given_away(tmp_path: Path) -> None:
    place = tmp_path / "users" / "alice"
    for _ in range(2):
        _give(place, THEIRS)
        found, above = place.stat(), place.parent.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (54321, 54321, 0o700)
        assert (above.st_uid, above.st_mode & 0o777) == (0, 0o711)


@pytest.mark.parametrize("what", ["a link", "a file", "somebody's", "not empty", "where others write", "in somebody's"])
def test_what_is_not_roots_to_give_is_not_given(tmp_path: Path, what: str) -> None:
    place, elsewhere = tmp_path / "users" / "alice", tmp_path / "elsewhere"
    for folder in (place, elsewhere):
        folder.mkdir(mode=0o700, parents=True)
    match what:
        case "a link":
            place.rmdir()
            place.symlink_to(elsewhere)
        case "a file":
            place.rmdir()
            place.touch()
        case "somebody's":
            os.chown(place, 54322, 54322)
        case "not empty":
            (place / "file").touch()
        case "where others write":
            place.parent.chmod(0o775)
        case "in somebody's":
            os.chown(place.parent, 54322, 54322)

    def owners() -> list[tuple[int, int, int]]:
        return [(found.st_uid, found.st_gid, found.st_mode) for found in (place.lstat(), elsewhere.stat())]

    before = owners()
    with pytest.raises(NotYours):
        _give(place, THEIRS)
    assert owners() == before


# -- attacks --------------------------------------------------------------------------------------------------------------------

# Each is a call that works for somebody with the rights; what it comes to is said by its name.
ATTACKS: Final = """
import ctypes, os, signal, socket

def opened(path, mode="rb"):
    with open(path, mode) as file:
        return file.read(1) if "r" in mode else file.write("")

def connected(path):
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)

def traced(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(17, pid, None, None)

verbs = {
    "read": opened, "list": os.listdir, "connect": connected, "trace": traced, "follow": os.readlink,
    "write": lambda path: opened(path, "r+"), "append": lambda path: opened(path, "a"),
    "make": lambda path: os.mkdir(os.path.join(path, "mine")), "kill": lambda pid: os.kill(pid, 0),
    "rename": lambda path: os.rename(path, path + ".mine"), "become": os.setuid, "join": os.setgid,
}
said = {}
for verb, what in attacks:
    try:
        verbs[verb](what)
        said[f"{verb} {what}"] = "done"
    except Exception as error:
        said[f"{verb} {what}"] = type(error).__name__
"""


def of_bob(hub: RootHub, bob: Browser) -> list[tuple[str, Any]]:
    """What is bob's, and he can do all of."""
    place, runtime = hub.place("bob"), Path(bob.variables("bob")["DODAS_RUNTIME"])
    files = [file for file in place.rglob("*") if file.is_file() and not file.name.endswith(".log")]
    assert {"spec.json", "status.json", "variables.json", "surroundings.json", "mandate"} <= {file.name for file in files}
    there = run(bob, "bob", "import os; said = os.listdir(where)", where=str(runtime))
    sockets = [file for file in there if file.endswith(".sock")]
    assert len(sockets) == 2
    own = hub.of("bob")
    return [
        *(("read", str(file)) for file in [*files, *place.rglob("*.log")]),
        *(("write", str(file)) for file in files),
        *(("list", str(folder)) for folder in (place, place / "home", place / "clusters" / "notebook-bob" / "secrets", runtime)),
        *(("connect", str(runtime / socket)) for socket in sockets),
        *((verb, f"/proc/{one}/{what}") for one in own for verb, what in (("read", "environ"), ("list", "fd"), ("follow", "cwd"))),
        *(("kill", one) for one in own),
    ]


def of_the_hub(hub: RootHub, agents: set[int]) -> list[tuple[str, Any]]:
    """What nobody can do but the hub."""
    state, groups = hub.folder / "state", fence(hub, "alice")
    ours = [hub.program.process.pid, *children_of(hub.program.process.pid), *agents]
    secrets = [file for file in state.iterdir() if file.is_file() and file.name != "proxy.pid"]
    kept = {"hub.sqlite", "cookie.secret", "sessions.key", "client.secret", "proxy.token", "audit.jsonl"}
    assert kept <= {file.name for file in secrets}
    limits = [state / "users" / f"{user}.limits.json" for user in ("alice", "bob")]
    assert all(file.exists() for file in limits)
    return [
        *(("read", str(file)) for file in secrets),
        *(("append", str(file)) for file in [*limits, *secrets]),
        *(("list", str(folder)) for folder in (state, state / "users", "/run/jupyter-dodas")),
        *(("make", str(folder)) for folder in (state, state / "users", "/run/jupyter-dodas", *groups)),
        *(("rename", str(path)) for path in (hub.place("alice"), hub.place("bob"), *limits)),
        *((verb, f"/proc/{one}/{what}") for one in ours for verb, what in (("read", "environ"), ("read", "mem"), ("list", "fd"))),
        *(("trace", one) for one in ours),
        *(("kill", one) for one in ours if not is_of(hub, "alice", one)),
        *(("append", str(file)) for group in groups for file in (group / "cgroup.procs", group.parent / "cgroup.procs")),
        ("become", 0), ("become", hub.uid("bob")), ("join", 0), ("join", hub.uid("bob")),
    ]  # fmt: skip


def test_a_user_reaches_nothing_of_another_and_nothing_of_the_hub(hub: RootHub, alice: Browser, bob: Browser) -> None:
    assert alice.spawn("alice").is_success
    assert bob.spawn("bob").is_success
    mine = of_bob(hub, bob)
    done = run(bob, "bob", ATTACKS, attacks=mine)
    assert set(done.values()) == {"done"}, {what: how for what, how in done.items() if how != "done"}
    agents = {*hub.agents("alice"), *hub.agents("bob")}
    asked = [*mine, *of_the_hub(hub, agents)]
    came = run(alice, "alice", ATTACKS, attacks=asked)
    assert len(came) == len(set(asked))
    ended = [str(agent) for agent in agents if not Path(f"/proc/{agent}").exists()]  # nobody had asked them anything for a while
    came = {what: how for what, how in came.items() if not any(one in what.replace("/", " ").split() for one in ended)}
    assert set(came.values()) == {"PermissionError"}, {what: how for what, how in came.items() if how != "PermissionError"}


def test_the_hub_follows_no_link_that_a_user_has_planted(hub: RootHub, alice: Browser, tmp_path: Path) -> None:
    assert alice.spawn("alice").is_success
    victim = Path(f"{hub.folder}/victim")
    victim.mkdir(mode=0o700)
    (victim / "kept").write_text("as it was")
    (victim / "kept").chmod(0o600)
    before = {file: (file.lstat(), file.read_text() if file.is_file() else "") for file in (victim, victim / "kept")}
    place, runtime = hub.place("alice"), alice.variables("alice")["DODAS_RUNTIME"]
    plant = """
import os, shutil, pathlib
place = pathlib.Path(place)
for name in ("clusters", "home", "secrets", "keeper.log", "controller.log", "accounting.jsonl"):
    path = place / name
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(victim if "." not in name else victim + "/kept")
for name in ("records.lock", "keeper.lock", "keeper.sock", "controller.sock"):
    path = pathlib.Path(runtime) / name
    path.unlink(missing_ok=True)
    path.symlink_to(victim + "/kept")
said = True
"""
    restore = """
import os, pathlib
for folder in (place, runtime):
    for path in pathlib.Path(folder).iterdir():
        path.unlink() if path.is_symlink() else None
"""
    assert run(alice, "alice", plant, place=str(place), runtime=runtime, victim=str(victim)) is True
    try:
        for verb in ("DELETE", "POST"):
            alice.api(verb, "/users/alice/server")
            blocking_until(lambda: alice.api("GET", "/users/alice").json()["servers"].get("", {}).get("pending"), within=30,
                           meets=lambda pending: not pending)  # fmt: skip
        after = {file: (file.lstat(), file.read_text() if file.is_file() else "") for file in (victim, victim / "kept")}
        for file, (facts, text) in before.items():
            found, said = after[file]
            assert (found.st_uid, found.st_mode, found.st_mtime_ns, said) == (facts.st_uid, facts.st_mode, facts.st_mtime_ns, text)
        assert [file.name for file in victim.iterdir()] == ["kept"]
    finally:
        program = f"place, runtime = {str(place)!r}, {runtime!r}\n{restore}"
        subprocess.run(hub.machine.inside([sys.executable, "-c", program], Path("/")), check=True)
        for one in hub.of("alice"):
            os.kill(one, signal.SIGKILL)
    blocking_until(lambda: press_start(alice, "alice"), within=60)
