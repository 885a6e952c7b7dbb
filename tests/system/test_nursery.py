"""The nursery: what it forks has nothing of it, and whatever happens to it costs time alone."""

import asyncio
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from jupyter_dodas import settings
from jupyter_dodas.backends.local import nursery as module
from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.backends.local.nursery import Nursery
from jupyter_dodas.backends.local.surroundings import inherited
from jupyter_dodas.testing.waiting import blocking_until, until
from tests.place import Place, Process

pytestmark = pytest.mark.anyio

SECRET: Final = "known-to-the-hub-alone"


@pytest.fixture
async def nursery(place: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nursery]:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", SECRET)
    monkeypatch.setenv("DODAS_LINGER", "600")  # or an empty place could end while it is looked at
    made = Nursery(())
    yield made
    close(made)


def close(nursery: Nursery) -> None:
    """Hang up, and see that it ends by that."""
    nursery.close()
    for process in nursery._processes:
        process.wait(10)


def of(user: str) -> settings.Settings:
    """The settings of a user's place."""
    own = settings.load()
    return own.model_copy(update={"state": own.state / user, "runtime": own.runtime_folder() / user})


async def woken(nursery: Nursery, user: str = "alice") -> Process:
    """Wake the place of a user, and return its keeper."""
    await LocalBackend(of(user), nursery).wake()
    assert Layout.of(of(user)).keeper_runs()
    return (await until(lambda: keepers(user), within=10))[0]


def keepers(user: str) -> list[Process]:
    """The keeper of a user's place, if somebody takes connections there: that is who listens."""
    with socket.socket(socket.AF_UNIX) as caller:
        if caller.connect_ex(str(Layout.of(of(user)).keeper_socket)):
            return []
        pid, _, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Process.with_number(pid)


def controllers(place: Place, user: str) -> list[Process]:
    return [process for process in place.controllers() if process.command.endswith(f"/{user}")]


def forked(process: Process) -> bool:
    return "-m jupyter_dodas.backends.local.keeper" in process.command


def nurseries() -> list[int]:
    """Those of this process."""
    below = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in below if b"local.nursery" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def status(pid: int) -> Mapping[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def variables(pid: int) -> Mapping[str, str]:
    shown = Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
    return {name: value for name, found, value in (one.partition("=") for one in shown) if found}


async def test_what_it_forks_has_nothing_of_it(place: Place, nursery: Nursery) -> None:
    keeper = await woken(nursery)
    (own,) = nurseries()
    (controller,) = await until(lambda: controllers(place, "alice"), within=10)
    assert forked(keeper)
    assert variables(keeper.pid) == inherited(os.environ) | of("alice").variables()
    assert variables(controller.pid).keys() - variables(keeper.pid).keys() == {"DODAS_ALIVE"}
    connection = Path(f"/proc/{own}/fd/0").readlink()
    assert connection.name.startswith("socket:")
    for one in (keeper, controller):
        assert connection not in {descriptor.readlink() for descriptor in Path(f"/proc/{one.pid}/fd").iterdir()}
        facts = status(one.pid)
        assert int(facts["SigBlk"], 16) == 0
        assert facts["PPid"] != str(own)
        assert os.getsid(one.pid) == one.pid
    assert status(own)["Threads"] == status(keeper.pid)["Threads"] == "1", "a fork would lose the others"
    for pid in (own, keeper.pid, controller.pid):
        assert SECRET not in variables(pid).values()


async def test_the_lock_of_a_keeper_is_its_own(place: Place, nursery: Nursery) -> None:
    keeper = await woken(nursery)
    await until(lambda: controllers(place, "alice"), within=10)
    keeper.kill()
    await until(lambda: not Layout.of(of("alice")).keeper_runs(), within=10)
    successor = await woken(nursery)
    assert forked(keeper)
    assert forked(successor)
    assert successor.pid != keeper.pid


async def test_a_controller_that_is_killed_is_forked_again(place: Place, nursery: Nursery) -> None:
    await woken(nursery)
    (before,) = await until(lambda: controllers(place, "alice"), within=10)
    close(nursery)
    before.kill()
    (after,) = await until(lambda: [one for one in controllers(place, "alice") if one != before], within=10)
    assert status(after.pid)["VmRSS"], "it runs"
    assert int(status(after.pid)["PPid"]) == (await woken(nursery)).pid


async def test_killed_in_the_midst_of_starts_it_fails_nobody_and_has_a_successor(place: Place, nursery: Nursery) -> None:
    starts = [asyncio.create_task(woken(nursery, f"user{number}")) for number in range(6)]
    await asyncio.wait(starts, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    (first,) = nurseries()
    os.kill(first, signal.SIGKILL)
    woken_up = await asyncio.gather(*starts)
    assert len({one.pid for one in woken_up}) == 6
    assert all(one.alive() for one in woken_up)
    assert forked(await woken(nursery, "last"))
    assert first not in nurseries()


async def test_one_that_hangs_is_given_up_and_ends_as_soon_as_it_can(
    place: Place, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await woken(nursery)
    (hung,) = nursery._processes
    hung.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    assert not forked(await woken(nursery, "bob"))
    assert not forked(await woken(nursery, "carol"))
    assert nursery._processes == [hung], "not everybody waits for another one"
    hung.send_signal(signal.SIGCONT)
    assert await until(lambda: hung.poll() is not None, within=10)


async def test_whoever_is_cancelled_leaves_no_answer_for_the_next(place: Place, nursery: Nursery) -> None:
    cancelled = asyncio.create_task(woken(nursery))
    await until(nurseries, within=10)
    cancelled.cancel()
    assert forked(await woken(nursery, "bob"))
    assert forked((await until(lambda: keepers("alice"), within=10))[0]), "which was on its way"


async def test_where_none_can_be_started_keepers_are_executed(place: Place) -> None:
    broken = Nursery(("no_such_module",))
    assert not forked(await woken(broken))
    close(broken)


def test_it_ends_with_whoever_started_it_and_its_keepers_do_not(place: Place) -> None:
    program = place.run(
        """
import asyncio
from jupyter_dodas import settings
from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.backends.local.nursery import Nursery

async def main():
    nursery = Nursery(())
    await LocalBackend(settings.load(), nursery).wake()
    print(nursery._processes[0].pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    )
    assert program.stdout is not None
    own = int(program.stdout.readline())
    keeper, controller = place.keeper(), place.controller()
    assert forked(keeper)
    program.kill()
    program.wait()
    blocking_until(lambda: not Path(f"/proc/{own}/cwd").exists(), within=10)
    assert keeper.alive()
    assert controller.alive()
    assert place.ask(do="observe")["instances"] == {}
