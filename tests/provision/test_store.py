"""What the store of infrastructures owes, on SQLite and, where its programs are installed, on a PostgreSQL of the test's own."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from jupyter_dodas.errors import InfrastructureExists, NotAllowed, NotSupported, StateNotWritable
from jupyter_dodas.hub.infrastructures.credentials import Credentials, group, user
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.turning import turn
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.clouds import Ec2
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import Program, free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

INSTALLED: Final = sorted(file.parent for file in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
POSTGRES: Final = INSTALLED[-1] if INSTALLED else None


def run_as(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root; it comes with an account."""
    if os.getuid() != 0:
        return []
    for one in (folder, *folder.parents):
        if str(one).startswith("/tmp/") and one != Path("/tmp"):
            one.chmod(0o755)
    shutil.chown(folder, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address."""
    assert POSTGRES is not None
    folder = tmp_path_factory.mktemp("postgresql")
    (port,) = free_ports(1)
    before = run_as(folder)
    made = [*before, str(POSTGRES / "initdb"), "-D", str(folder / "data"), "-U", "dodas", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    command = [*before, str(POSTGRES / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    with ExitStack() as stack:
        program = stack.enter_context(Program(command, folder, "postgres"))
        blocking_until(lambda: "ready to accept connections" in program.said(), within=90)
        yield f"postgresql+psycopg://dodas@127.0.0.1:{port}/postgres"


@pytest.fixture(params=["sqlite", *(["postgresql"] if POSTGRES else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store/infrastructures.sqlite"
    return str(request.getfixturevalue("postgresql"))


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    made = Store(url)
    await made.open()
    yield made
    for one in await made.all():
        await made.forget(one.uid)
    await made.close()


def record(uid: str = "0a", **more: object) -> Record:
    base: dict[str, object] = {"uid": uid, "owner": "alice", "name": "higgs", "provisioner": "im", "template": "t", "digest": "d"}
    return Record.model_validate({**base, "created": 1.0, **more})


async def test_what_was_written_is_there_again(url: str) -> None:
    store = Store(url)
    await store.open()
    await store.add(record(), "the text", b"closed")
    called = await store.name()
    await store.close()
    again = Store(url)
    await again.open()
    assert list(await again.all()) == [record()]
    assert await again.find("alice", "higgs") == record()
    assert (await again.text("d"), await again.secrets("0a"), await again.name()) == ("the text", b"closed", called)
    await again.forget("0a")
    assert await again.get("0a") is None
    await again.close()


async def test_one_name_is_given_once_until_its_owner_has_another(store: Store) -> None:
    await store.add(record(), "text", b"")
    with pytest.raises(InfrastructureExists):
        await store.add(record("0b"), "text", b"")
    await store.add(record("0c", owner="bob"), "text", b"")
    await store.add(record("0d"), "text", b"", instead="0a")
    assert [one.uid for one in await store.of("alice")] == ["0d"]
    assert [(one.uid, one.retired, one.wanted) for one in await store.all() if one.retired] == [("0a", True, "absent")]


async def test_every_change_raises_the_generation_and_none_is_lost(store: Store) -> None:
    await store.add(record(workers=0), "text", b"")

    def more(old: Record) -> Record:
        return old.model_copy(update={"workers": (old.workers or 0) + 1})

    await asyncio.gather(*(store.change("0a", more) for _ in range(20)))
    found = await store.get("0a")
    assert found is not None
    assert (found.workers, found.generation) == (20, 21)
    assert await store.change("0a", lambda it: it) == found
    assert await store.change("ff", more) is None


async def test_texts_go_with_the_last_that_was_made_of_them(store: Store) -> None:
    await store.add(record(), "text", b"")
    await store.add(record("0b", name="other"), "text", b"")
    await store.forget("0a")
    assert await store.text("d") == "text"
    await store.forget("0b")
    await store.add(record(), "another", b"")
    assert await store.text("d") == "another"


async def test_what_steps_take_is_the_median_of_the_last(store: Store) -> None:
    for seconds in (1000.0, *[10.0] * 11, *[20.0] * 9):
        await store.took("im/kubernetes/Machines", seconds)
    await store.took("im/kubernetes-2/Machines", 1.0)
    assert await store.usually("im/kubernetes") == {"Machines": 10.0}


async def test_secrets_of_clouds_are_not_in_the_database(store: Store, url: str, tmp_path: Path) -> None:
    credentials = Credentials(store, Vault.at(tmp_path / "keys"))
    mine = Ec2(name="aws", username="AKIA", password=SecretStr("hunter2-hunter2"))
    await credentials.put(user("alice"), mine)
    await credentials.put(group("cms"), mine.model_copy(update={"name": "shared"}))
    assert await credentials.get(user("alice"), "aws") == mine
    found = await credentials.list([user("alice"), group("cms")])
    assert [(owner, view.name, view.group) for owner, view in found] == [("user:alice", "aws", ""), ("group:cms", "shared", "cms")]
    assert "hunter2" not in str(found) + repr(mine)
    for file in tmp_path.rglob("infrastructures.sqlite*"):
        assert b"hunter2" not in file.read_bytes()
    with pytest.raises(NotSupported):
        await credentials.get(user("bob"), "aws")
    await store.add(record(cloud="aws", cloud_owner="user:alice"), "text", b"")
    with pytest.raises(NotAllowed, match="in use"):
        await credentials.remove(user("alice"), "aws")
    await store.forget("0a")
    keys = tmp_path / "keys"
    keys.write_text(Fernet.generate_key().decode() + "\n" + keys.read_text())
    assert [await turn(store, Vault.at(keys)) for _ in range(2)] == [2, 0]
    keys.write_text(keys.read_text().split()[0])
    assert await Credentials(store, Vault.at(keys)).get(user("alice"), "aws") == mine
    await credentials.remove(user("alice"), "aws")
    await credentials.remove(group("cms"), "shared")
    assert not await credentials.list([user("alice"), group("cms")])


async def test_two_services_do_not_share_a_store(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.hub.infrastructures.store._PATIENCE", 0.3)
    other = Store(url)
    with pytest.raises(StateNotWritable):
        await other.open()
    await other.close()


async def test_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store/infrastructures.sqlite")
    await store.open()
    await store.add(record(), "text", b"")
    for file in (tmp_path / "store").iterdir():
        assert not file.stat().st_mode & 0o077, file
    await store.close()
