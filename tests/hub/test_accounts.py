"""An account of the machine for each user: what they cannot reach of each other and of the hub, and what a killed hub finds again.

A program runs as alice in her server, which the tests have do what an attacker does. All of it is in a mount namespace of its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from jupyter_dodas.errors import NotYours
from jupyter_dodas.hub.accounts.cgroups import Bounds, Fence, Site, sites
from jupyter_dodas.hub.accounts.machine import Account
from jupyter_dodas.hub.grounds.accounts import _give
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import USERS, Browser, Hub
from tests.machine import Machine

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can give each user an account"),
]

# Agents are given up, and groups removed, sooner than anybody needs it elsewhere; starts can be held at a point.
LINES: Final = """
import asyncio, functools, pathlib
from jupyter_dodas.hub.accounts import remote
from jupyter_dodas.hub.grounds import accounts

accounts.Agents = functools.partial(remote.Agents, patience=3.0, idle=4.0, every=0.1)

def gated(verb):
    real = getattr(remote.RemoteNotebook, verb)
    @functools.wraps(real)
    async def call(self, *arguments, **named):
        gate = pathlib.Path.cwd() / f"gate-{verb}-{self._owner}"
        while gate.exists():
            gate.with_name(f"reached-{self._owner}").touch()
            await asyncio.sleep(0.02)
        return await real(self, *arguments, **named)
    setattr(remote.RemoteNotebook, verb, call)

for verb in ("start", "address"):
    gated(verb)

c.DodasSpawner.account = "jupyter-{username}"
c.DodasSpawner.limits = {"*": {"memory": "4 GiB", "cores": 3}}
c.DodasSpawner.poll_interval = 1
"""

MEMORY: Final = 4 * 2**30 + 2 * 2**30
"""What everything of a user may take: the limit, and what is granted beside workers. To it comes a notebook's own."""


class RootHub(Hub):
    """A hub on a machine of its own, where it gives each user an account."""

    # Without process namespaces users see each other's processes, and only their accounts keep them apart.
    variables: ClassVar[Mapping[str, str]] = {"DODAS_NAMESPACES": "false"}

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        super().__init__(LINES)

    def command(self, hub: Sequence[str]) -> Sequence[str]:
        self.folder.chmod(0o711)
        return self.machine.inside(hub, self.folder)

    def running(self, mark: str = "") -> list[int]:
        here = f"DODAS_STATE={self.folder}".encode()
        return processes(lambda environ, command: any(one.startswith(here) for one in environ.split(b"\0")) and mark in command)

    def __exit__(self, *why: object) -> None:
        super().__exit__(*why)
        # Its notebooks have ended with it, so that its groups would go with the next hub.
        for user in USERS:
            blocking_until(Fence(where(), self.place(user)).clear, within=20)

    def place(self, user: str) -> Path:
        return self.folder / "state" / "users" / user

    def server(self, user: str) -> int:
        """The process that is a user's server."""
        (found,) = [one for one in self.of(user) if "single_user.py" in cmdline(one) and "notebook.process" not in cmdline(one)]
        return found

    def of(self, user: str) -> list[int]:
        """All that runs at a user's place, and is the user's."""
        return [one for one in self.running() if is_of(self, user, one)]

    def uid(self, user: str) -> int:
        found = self.machine.uid(f"jupyter-{user}")
        assert found is not None
        return found

    def agents(self, user: str) -> list[int]:
        return [
            one
            for one in processes(lambda _, command: "hub.accounts.prepared" in command)
            if is_of(self, user, one) and parent(one) in children_of(self.program.process.pid)
        ]

    def nurseries(self, user: str) -> list[int]:
        """Those of the user's agents."""
        return [one for one in processes(lambda _, command: "local.nursery" in command) if is_of(self, user, one)]


def processes(wanted: Callable[[bytes, str], bool]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = cmdline(int(folder.name)) if folder.name.isdigit() else ""
            if command and wanted((folder / "environ").read_bytes(), command):
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def is_of(hub: RootHub, user: str, pid: int) -> bool:
    return status(pid)["Uid"].split()[0] == str(hub.uid(user))


def cmdline(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


def status(pid: int) -> Mapping[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return {"Uid": "-1", "PPid": "0"}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def parent(pid: int) -> int:
    return int(status(pid)["PPid"])


def children_of(pid: int) -> set[int]:
    return {one for one in processes(lambda _, command: True) if parent(one) == pid}


@pytest.fixture(scope="module")
def hub() -> Iterator[RootHub]:
    with Machine() as machine, RootHub(machine) as made:
        yield made


@pytest.fixture
def alice(hub: RootHub) -> Iterator[Browser]:
    yield from signed_in(hub, "alice")


@pytest.fixture
def bob(hub: RootHub) -> Iterator[Browser]:
    yield from signed_in(hub, "bob")


def signed_in(hub: RootHub, user: str) -> Iterator[Browser]:
    browser = hub.browser()
    browser.sign_in(user)
    yield browser
    stop(browser, user)


def ready(browser: Browser, user: str) -> bool:
    return bool(browser.api("GET", f"/users/{user}").json()["servers"].get("", {}).get("ready"))


def stop(browser: Browser, user: str) -> None:
    def gone() -> bool:
        if "" not in browser.api("GET", f"/users/{user}").json()["servers"]:
            return True
        browser.api("DELETE", f"/users/{user}/server")
        return False

    blocking_until(gone, within=60)


def run(browser: Browser, user: str, program: str, **given: Any) -> Any:
    """Run a program as a user's kernel would, and return what it says."""
    lines = [f"{name} = {value!r}" for name, value in given.items()]
    reply = browser.client.post(f"{browser.hub.url}/user/{user}/run", content="\n".join([*lines, program]))
    assert reply.is_success, reply.text
    return reply.json()


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


# -- agents that do not do what they should ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_agent_that_is_killed_or_frozen_is_started_again_and_so_is_who_made_it(
    hub: RootHub, alice: Browser, number: signal.Signals
) -> None:
    assert alice.spawn("alice").is_success

    def hit() -> int:
        for agent in hub.agents("alice"):
            with suppress(ProcessLookupError):  # nobody had asked it anything for a while
                maker = parent(agent)
                os.kill(agent, number)
                if number == signal.SIGKILL:
                    os.kill(maker, number)
                return agent
        return 0

    agent = blocking_until(hit, within=20)
    assert ready(alice, "alice")
    stop(alice, "alice")
    assert alice.spawn("alice").is_success
    blocking_until(lambda: Path(f"/proc/{agent}").exists(), within=20, meets=lambda there: not there)


# -- a hub that is killed ------------------------------------------------------------------------------------------


PHASES: Final = {"alice": "running", "bob": "wait", "carol": "address", "dave": "start"}
"""Where each user's notebook is when the hub is killed."""


def test_a_killed_hub_finds_the_notebooks_of_all_accounts_again(hub: RootHub) -> None:
    hub.iam.change("dave", groups=["cms"])
    browsers = {user: hub.browser() for user in PHASES}
    for user, browser in browsers.items():
        browser.sign_in(user)
    try:
        for user, phase in PHASES.items():
            if phase in {"running", "wait"}:
                assert browsers[user].spawn(user).is_success
            if phase == "wait":
                stop(browsers[user], user)
            if phase != "running":
                gate(hub, user).touch()
                assert browsers[user].api("POST", f"/users/{user}/server").is_success
                blocking_until(lambda: is_held(hub, user), within=60)  # noqa: B023 - it is over before the next round
        before = hub.server("alice")
        hub.kill()
        blocking_until(lambda: [one for user in PHASES for one in hub.agents(user)], within=20, meets=lambda left: not left)
        for user, phase in PHASES.items():
            if phase != "running":
                gate(hub, user).unlink()
        hub.start()
        for user, browser in browsers.items():
            blocking_until(lambda: press_start(browser, user), within=90)  # noqa: B023
            assert browser.variables(user)["JUPYTERHUB_USER"] == user
            tokens = [one["note"] for one in browser.api("GET", f"/users/{user}/tokens").json()["api_tokens"]]
            assert len([note for note in tokens if note.startswith("Server at")]) == 1
            assert hub.server(user)
        assert hub.server("alice") == before
    finally:
        for user, browser in browsers.items():
            gate(hub, user).unlink(missing_ok=True)
            stop(browser, user)


def gate(hub: RootHub, user: str) -> Path:
    return hub.place(user) / "home" / "wait" if PHASES[user] == "wait" else hub.folder / f"gate-{PHASES[user]}-{user}"


def is_held(hub: RootHub, user: str) -> bool:
    if PHASES[user] != "wait":
        return gate(hub, user).with_name(f"reached-{user}").exists()
    return any(is_of(hub, user, one) for one in hub.running("single_user.py"))


def press_start(browser: Browser, user: str) -> bool:
    if ready(browser, user):
        return True
    browser.api("POST", f"/users/{user}/server")  # which is refused while the hub still looks what there is
    return False


# -- control groups ------------------------------------------------------------------------------------------


def fence(hub: RootHub, user: str) -> list[Path]:
    return [file.parent for file in Fence(where(), hub.place(user)).members]


def where() -> Mapping[str, Site]:
    return sites(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())


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
