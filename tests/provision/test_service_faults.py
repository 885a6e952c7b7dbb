"""Rounds of faults: what keeps infrastructures is killed in every phase, and in the end there is what was wanted, once, or nothing.

``--rounds N`` runs more of them; a seed that failed is repeated with ``--seed S --rounds 1``.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import pytest

from jupyter_dodas.errors import DodasError, InfrastructureNotFound
from jupyter_dodas.provision.client import Infrastructures
from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.provision.views import Change, InfrastructureView, Wanted
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until, until
from tests.provision.im import InfrastructureManager
from tests.provision.service import KUBECONFIG, ServiceHub, im

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

T = TypeVar("T")

TARGETS: Final = ("service", "hub", "manager", "service", "database")
PHASES: Final = ("creating", "ready", "scaling", "deleting")
SOON: Final = 150.0
"""Seconds after which all must be well again, on a machine that has other things to do."""


@dataclass(frozen=True)
class Round:
    """What a seed means."""

    target: str
    phase: str
    moment: float
    """Seconds after the phase began."""

    @classmethod
    def draw(cls, seed: int) -> "Round":
        """Targets take turns, so that ten rounds meet all of them; the rest is chance."""
        chance = random.Random(seed)
        return cls(TARGETS[seed % len(TARGETS)], chance.choice(PHASES), chance.random() * 1.2)


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    folder = tmp_path_factory.mktemp("im")
    (folder / "kubeconfig").write_text(KUBECONFIG)
    with InfrastructureManager(folder / "im", kubeconfig=folder / "kubeconfig", seconds=0.5) as made:
        yield made


@pytest.fixture(scope="module")
def hub(manager: InfrastructureManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceHub]:
    folder = tmp_path_factory.mktemp("service")
    with ServiceHub(folder, im(manager.url, folder), look_around=2) as made:
        yield made


async def test_round(round_seed: int, hub: ServiceHub, manager: InfrastructureManager) -> None:
    drawn = Round.draw(round_seed)
    print(f"seed {round_seed}: {drawn}")  # noqa: T201 - what failed is repeated by it
    async with hub.hub_client("alice") as alice:
        await _stubbornly(lambda: alice.add_cloud(DummyCloud(name="dummy")))
        name = f"higgs-{round_seed}"
        wanted = Wanted(name=name, template="kubernetes", inputs={"workers": 1})
        made = await _stubbornly(lambda: alice.create(wanted))
        if drawn.phase != "creating":
            found = await _settled(alice, name)
            assert found.phase is Phase.READY, found.problem
        if drawn.phase == "scaling":
            await _stubbornly(lambda: alice.change(name, Change(workers=2)))
        elif drawn.phase == "deleting":
            await _stubbornly(lambda: alice.delete(name))
        at = time.monotonic() + drawn.moment
        await until(lambda: time.monotonic() >= at, within=5)
        _strike(drawn.target, hub, manager)
        if drawn.phase != "deleting":
            found = await _settled(alice, name)
            assert found.uid == made.uid
            # One that was killed while it asked a cloud may have lost what it was making; then it is said, and nothing is left.
            lost = drawn.target == "manager" and found.phase is Phase.FAILED and found.problem is not None
            assert found.phase is Phase.READY or lost, found.problem
            if found.phase is Phase.READY:
                assert found.workers == (2 if drawn.phase == "scaling" else 1), found.problem
                assert len(found.machines) == 1 + found.workers
                assert await _stubbornly(lambda: alice.kubeconfig(name)) == KUBECONFIG
                assert found.identifier in await _listed(manager)
            await _stubbornly(lambda: alice.delete(name))
        await _gone(alice, name)
    await until(lambda: _known(manager), within=SOON, meets=lambda left: not left)


def _strike(target: str, hub: ServiceHub, manager: InfrastructureManager) -> None:
    match target:
        case "service":
            hub.kill_service()
        case "manager":
            manager.kill()
            manager.start()
        case "hub":
            hub.kill()
            # Its service goes with it, and starts with the next one.
            blocking_until(hub.service_processes, within=30, meets=lambda left: not left)
            hub.start()
        case "database":
            hub.kill()
            for file in (hub.folder / "state").glob("hub.sqlite*"):
                file.unlink()
            hub.start()


def _is_passing(error: DodasError) -> bool:
    """Whether whoever asks would try again: something is being started."""
    return error.retryable or error.code in ("unauthenticated", "error")


async def _stubbornly(what: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer."""
    answers: list[T] = []

    async def ask() -> list[T]:
        try:
            answers.append(await what())
        except DodasError as error:
            if not _is_passing(error):
                raise
            await asyncio.sleep(0.3)  # between two questions
        return answers

    return (await until(ask, within=SOON))[0]


async def _settled(client: Infrastructures, name: str) -> InfrastructureView:
    return await until(lambda: _looked(client, name), within=SOON, meets=lambda it: it.phase in (Phase.READY, Phase.FAILED))


async def _looked(client: Infrastructures, name: str) -> InfrastructureView:
    found = await _stubbornly(lambda: client.get(name))
    if found.phase not in (Phase.READY, Phase.FAILED):
        await _stubbornly(lambda: client.get(name, newer_than=found.generation))
    return await _stubbornly(lambda: client.get(name))


async def _gone(client: Infrastructures, name: str) -> None:
    async def look() -> bool:
        try:
            found = await client.get(name)
            await client.get(name, newer_than=found.generation)
        except InfrastructureNotFound:
            return True
        except DodasError as error:
            if not _is_passing(error):
                raise
        return False

    await until(look, within=SOON)


async def _listed(manager: InfrastructureManager) -> set[str]:
    return manager.listed()


async def _known(manager: InfrastructureManager) -> set[str]:
    return manager.known()


async def test_a_manager_that_does_not_answer_keeps_nobody_from_anything(hub: ServiceHub, manager: InfrastructureManager) -> None:
    async with hub.hub_client("bob") as bob:
        await bob.add_cloud(DummyCloud(name="dummy"))
        manager.kill()
        try:
            await bob.create(Wanted(name="patient", template="kubernetes"))
            told = await until(lambda: bob.get("patient"), within=60, meets=lambda it: it.problem is not None)
            assert told.phase is Phase.PENDING
            assert told.problem is not None
            assert told.problem.code == "provisioner-unreachable"
            assert hub.browser().get("/hub/health").is_success
        finally:
            manager.start()
        found = await _settled(bob, "patient")
        assert (found.phase, found.problem) == (Phase.READY, None)
        await bob.delete("patient")
        await _gone(bob, "patient")
    await until(lambda: _known(manager), within=SOON, meets=lambda left: not left)
