"""Accounts, agents and control groups, as far as nobody needs to be root for them."""

import asyncio
import json
import pwd
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_dodas import errors
from jupyter_dodas.errors import DodasError, NotYours, TimedOut
from jupyter_dodas.hub.accounts.cgroups import Bounds, Fence, Site, sites, sweep
from jupyter_dodas.hub.accounts.machine import account_name, find, why_not
from jupyter_dodas.hub.accounts.messages import LONGEST, Reply, Request
from jupyter_dodas.hub.accounts.remote import _Connection
from jupyter_dodas.hub.notebooks import safe_name
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Record

GIB = 2**30

# -- accounts ---------------------------------------------------------------------------------------------------------


def test_a_short_name_is_what_the_template_says() -> None:
    assert account_name("jupyter-{username}", safe_name("alice")) == "jupyter-alice"
    assert account_name("{username}", safe_name("alice")) == "alice"


def test_no_two_users_have_one_account() -> None:
    names = ["a.b", "a-b", "a_b", "a" * 40, "a" * 41, "a" * 63, "alice@cern.ch", "alice-cern-ch", "x" * 21, "x" * 22]
    accounts = {account_name("jupyter-{username}", safe_name(name)) for name in names}
    assert len(accounts) == len(names)
    assert all(len(account) <= 32 for account in accounts)


def test_nobody_can_choose_the_account_of_another() -> None:
    template = "physics-department-{username}"
    hers = account_name(template, safe_name("maria-rossi"))
    assert len(hers) <= 32
    assert account_name(template, safe_name(hers.removeprefix("physics-department-"))) != hers


@pytest.mark.parametrize("name", ["root", "daemon", "nobody"])
def test_accounts_of_the_system_are_nobodys(name: str) -> None:
    if name not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"there is no {name} here")
    with pytest.raises(NotYours, match="one of the system's"):
        find(name)


def test_where_others_cannot_pass_nobody_has_an_account(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert why_not(closed / "users"), "which is why the hub goes on with its own account"


# -- agents -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def liar() -> AsyncIterator[tuple[_Connection, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an agent, which the test has in its hands."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs, limit=4 * LONGEST)
    connection = _Connection(0, *await asyncio.open_connection(sock=ours, limit=LONGEST))
    try:
        yield connection, reader, writer
    finally:
        connection.close()
        writer.close()


def line(**said: object) -> bytes:
    return json.dumps({"number": 7, "over": True, **said}).encode() + b"\n"


RECORD = Record(spec=ClusterSpec(name="n", uid="u", kind="notebook", owner="alice", created=0), status=ClusterStatus(uid="u"))
STATE = line(over=False, record=RECORD.model_dump(mode="json"))

LIES = {
    "no JSON": b"\xff\xfe\n",
    "another model": b'{"number": 7, "over": true, "uid": 0}\n',
    "an answer that nobody asked for": line(number=8),
    "an address of another host": line(address="http://169.254.169.254:80"),
    "an address with a name in it": line(address="http://127.0.0.1:80@example.org:80"),
    "an address that is not of the web": line(address="unix:///run/docker.sock"),
    "a record that is none": line(record={"spec": {}}),
    "variables that are no words": line(variables={"JUPYTERHUB_API_TOKEN": {"a": 1}}),
    "a line without an end": b"x" * (2 * LONGEST),
    "states without an end": STATE * 1001,
    "nothing": b"",
}


@pytest.mark.anyio
@pytest.mark.parametrize("said", LIES.values(), ids=list(LIES))
async def test_an_agent_that_lies_is_not_believed(said: bytes) -> None:
    seen: list[Record] = []
    async with asyncio.timeout(20), liar() as (connection, reader, writer):
        asked = asyncio.create_task(connection.ask(Request(number=7, do="record"), seen.append))
        await reader.readline()
        writer.write(said)
        writer.write_eof()
        with pytest.raises(ConnectionResetError):
            await asked
        assert not connection.open
        assert len(seen) <= 1000


@pytest.mark.anyio
async def test_an_agent_is_asked_and_answers_with_states_on_the_way() -> None:
    seen: list[Record] = []
    async with asyncio.timeout(20), liar() as (connection, reader, writer):
        asked = asyncio.create_task(connection.ask(Request(number=7, do="start", secrets={"a": b"\xff"}), seen.append))
        request = Request.model_validate_json(await reader.readline())
        assert (request.do, request.secrets) == ("start", {"a": b"\xff"})
        writer.write(STATE + line(address="http://127.0.0.1:8080"))
        assert (await asked).address == "http://127.0.0.1:8080"
        assert seen == [RECORD]
        assert connection.open


@pytest.mark.anyio
async def test_what_is_cancelled_is_cancelled_at_the_other_end_too() -> None:
    async with asyncio.timeout(20), liar() as (connection, reader, writer):
        asked = asyncio.create_task(connection.ask(Request(number=7, do="start"), None))
        await reader.readline()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        cancelled = asyncio.create_task(connection.cancel(7))
        assert Request.model_validate_json(await reader.readline()) == Request(number=7, do="cancel")
        writer.write(line())
        await cancelled
        assert connection.open


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "did_you_mean"])
def test_an_error_is_the_same_at_the_other_end(name: str) -> None:
    kind = getattr(errors, name)
    error = kind.__new__(kind)
    DodasError.__init__(error, "What happened", cause="Why.", remedy="What to do.")
    told = Reply.model_validate_json(Reply.refusal(1, error).line()).error()
    assert type(told) is kind
    assert str(told) == str(error)


def test_an_error_that_is_not_ours_is_told_and_a_long_one_is_cut() -> None:
    told = Reply.refusal(1, DodasError("gone\n[W] root\x1b[0m did it")).error()
    assert str(told) == "gone [W] root [0m did it", "nobody writes lines into the log of the hub"
    told = Reply.refusal(1, KeyError("x" * 9999)).error()
    assert isinstance(told, DodasError)
    assert not isinstance(told, TimedOut)
    assert len(told.message) == 2000


# -- control groups ---------------------------------------------------------------------------------------------------

OLD = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 31 0:30 /docker/1 /sys/fs/cgroup/cpu\\040set rw,relatime - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 /docker/1 /sys/fs/cgroup/pids ro,relatime - cgroup cgroup ro,pids
"""
OLD_MEMBER = "4:memory:/docker/1/hub\n2:cpu,cpuacct:/docker/1\n1:pids:/docker/1\n0::/\n"
NEW = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"


def test_in_version_1_groups_stand_below_the_hubs(tmp_path: Path) -> None:
    for folder in ("memory/hub", "cpu set", "pids"):
        (tmp_path / "sys/fs/cgroup" / folder).mkdir(parents=True)
    found = sites(OLD, OLD_MEMBER, root=tmp_path)
    at = {name: str(site.folder.relative_to(tmp_path / "sys/fs/cgroup")) for name, site in found.items()}
    assert at == {"memory": "memory/hub", "cpu": "cpu set"}, "what is read-only is left out"
    assert {site.version for site in found.values()} == {1}


def new(tmp_path: Path, *, crowded: bool) -> Path:
    """A tree of version 2, as files: the service of a hub, beside others, in a slice."""
    root = tmp_path / "sys/fs/cgroup"
    (root / "system.slice/hub.service").mkdir(parents=True)
    for folder, inhabited in ((root, True), (root / "system.slice", crowded), (root / "system.slice/hub.service", True)):
        (folder / "cgroup.procs").write_text("1\n" if inhabited else "")
        (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("cpu memory pids\n")
        if folder != root:
            (folder / "cgroup.type").write_text("domain\n")
    return root


@pytest.mark.parametrize(("crowded", "at"), [(False, "system.slice"), (True, ".")])
def test_in_version_2_groups_stand_where_no_process_does(tmp_path: Path, crowded: bool, at: str) -> None:
    root = new(tmp_path, crowded=crowded)
    found = sites(NEW, "0::/system.slice/hub.service\n", root=tmp_path)
    assert found == dict.fromkeys(("memory", "cpu", "pids"), Site(2, root / at))


def test_in_a_container_whose_only_group_is_its_own_there_are_none(tmp_path: Path) -> None:
    root = new(tmp_path, crowded=False)
    (root / "cgroup.type").write_text("domain\n")  # its root is not the root of all
    assert sites(NEW, "0::/\n", root=tmp_path) == {}


def test_groups_that_a_hub_left_empty_are_removed_and_no_others(tmp_path: Path) -> None:
    fence = Fence({"memory": Site(1, tmp_path)}, Path("/srv/users/alice"))
    for other in ("dodas-cluster-0", "dodas-0123456789abc", "somebody"):
        (tmp_path / other).mkdir()
    inhabited = tmp_path / "dodas-0123456789ab"
    (inhabited / "cgroup.procs").mkdir(parents=True)  # as the kernel does, the file system refuses what is not empty
    fence.stand()
    sweep({"memory": Site(1, tmp_path)})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "dodas-0123456789ab",
        "dodas-0123456789abc",
        "dodas-cluster-0",
        "somebody",
    ]


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (1, {"memory.limit_in_bytes": str(4 * GIB), "memory.memsw.limit_in_bytes": str(4 * GIB), "cpu.cfs_quota_us": "300000"}),
        (2, {"memory.max": str(4 * GIB), "memory.swap.max": "0", "cpu.max": "300000 100000"}),
    ],
)
def test_what_a_group_may_take_is_written_in_the_words_of_the_kernel(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    fence = Fence(dict.fromkeys(("memory", "cpu", "pids"), Site(version, tmp_path)), Path("/srv/users/alice"))
    fence.stand()
    (group,) = {file.parent for file in fence.members}
    for file in (*files, "pids.max"):
        (group / file).touch()
    fence.bound(Bounds(4 * GIB, 3, 100))
    assert {file: (group / file).read_text() for file in files} == files
    assert (group / "pids.max").read_text() == "100"
    for one in group.iterdir():
        one.unlink()  # as the kernel does
    assert fence.clear()
    fence.stand()
    assert group.is_dir()
    for file in (*files, "pids.max"):
        (group / file).touch()
    fence.bound(Bounds())
    assert {(group / file).read_text().split()[0] for file in (*files, "pids.max")} <= {"max", "-1"}
