"""The local store on real files, and the local runner with a real keeper, with and without process namespaces."""

import signal
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from jupyter_dodas import settings
from jupyter_dodas.backends.base import InstanceState, Runner, Store
from jupyter_dodas.backends.local.bus import BusClient, BusServer
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.backends.local.runner import LocalRunner
from jupyter_dodas.backends.local.store import LocalStore
from jupyter_dodas.services.base import Instance
from jupyter_dodas.testing.runners import Does, ProgramContract, RunnerContract
from jupyter_dodas.testing.stores import StoreContract, a_spec
from jupyter_dodas.testing.waiting import until
from tests.place import Place, Process

PROGRAMS: Mapping[Does, str] = {
    Does.STAY: "import time; print('here', flush=True); time.sleep(600)",
    Does.RESIST: ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"),
    Does.LEAVE: "print('first'); print('last')",
    Does.FAIL: "raise SystemExit(3)",
    Does.WORK: (
        "import os, time\nif not (pid := os.fork()):\n    while time.process_time() < 0.3: pass\nelse: os.waitpid(pid, 0)\n"
    ),
}


class TestLocalStore(StoreContract):
    """Here the controller serves the bus, and everybody else is its client."""

    @pytest.fixture
    async def store(self, place: Place) -> AsyncIterator[Store]:
        layout = Layout.of(settings.load())
        layout.make()
        bus = BusServer(layout.controller_socket)
        async with bus.serve():
            yield LocalStore(layout, bus)

    @pytest.fixture
    def elsewhere(self, store: Store) -> Store:
        layout = Layout.of(settings.load())
        return LocalStore(layout, BusClient(layout.controller_socket))


class TestLocalStoreWithoutController(StoreContract):
    """Nobody answers on the bus: the records are the same, and hints come from the clock."""

    @pytest.fixture
    def store(self, place: Place) -> Store:
        layout = Layout.of(settings.load())
        return LocalStore(layout, BusClient(layout.controller_socket))

    @pytest.fixture
    def elsewhere(self, store: Store) -> Store:
        layout = Layout.of(settings.load())
        return LocalStore(layout, BusClient(layout.controller_socket))


class LocalRunnerFixtures:
    """A keeper, whose controller is told to wait, and two records."""

    @pytest.fixture
    async def clusters(self, place: Place) -> tuple[str, str]:
        layout = Layout.of(settings.load())
        store = LocalStore(layout, BusClient(layout.controller_socket))
        for name in ("higgs", "w"):
            await store.create(a_spec(name))
        return "higgs", "w"

    @pytest.fixture
    async def runner(
        self, place: Place, clusters: tuple[str, str], namespaces: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Runner]:
        monkeypatch.setenv("DODAS_NAMESPACES", namespaces)
        place.keep()
        runner = LocalRunner(Layout.of(settings.load()))
        async with runner.connected():
            assert runner.namespaces is (namespaces == "true")
            yield runner
            await runner.quit()


@pytest.mark.parametrize("namespaces", ["true", "false"])
class TestLocalRunner(LocalRunnerFixtures, RunnerContract):
    def instance(self, cluster: str, name: str, does: Does) -> Instance:
        return Instance(name, cluster, "hub", ("python", "-c", PROGRAMS[does]), grace=0.5)

    async def test_no_two_are_given_one_port(self, runner: Runner, clusters: tuple[str, str]) -> None:
        """Also not by two controllers, as when many notebooks of a hub start at once."""
        other = LocalRunner(Layout.of(settings.load()))
        async with other.connected():
            ports = [
                (await placing.place(clusters[0], f"worker-{number}", ["comm"])).ports["comm"]
                for number in range(300)
                for placing in (runner, other)
            ]
        assert len(set(ports)) == len(ports)


@pytest.mark.parametrize("namespaces", ["true", "false"])
class TestLocalPrograms(LocalRunnerFixtures, ProgramContract):
    pass


@pytest.mark.parametrize("namespaces", ["true", "false"])
@pytest.mark.anyio
class TestLocalEndings(LocalRunnerFixtures):
    """What ends with an instance, and with the keeper: everything."""

    FAMILY = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for _ in range(2):\n"
        "    if not os.fork():\n"
        "        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n"
        "        os.chdir('/'); print('here', flush=True); time.sleep(600)\n"
        "time.sleep(600)"
    )

    def family(self, cluster: str, name: str) -> Instance:
        """An instance with detached, orphaned descendants, all deaf to SIGTERM."""
        return Instance(name, cluster, "hub", ("python", "-c", self.FAMILY), grace=0.3)

    async def started(self, place: Place, runner: Runner, cluster: str) -> Sequence[Process]:
        await runner.apply(self.family(cluster, "hub"))
        await until(lambda: runner.logs(cluster), within=10, meets=lambda logs: logs.get("hub", "").count("here") == 2)
        return await until(
            lambda: place.processes(lambda command: "os.setsid()" in command), within=10, meets=lambda found: len(found) >= 3
        )

    @pytest.mark.parametrize("end", ["delete", "kill"])
    async def test_an_instance_takes_its_descendants_along(
        self, place: Place, runner: Runner, clusters: tuple[str, str], end: str
    ) -> None:
        family = await self.started(place, runner, clusters[0])
        await getattr(runner, end)(clusters[0], "hub")
        await until(lambda: runner.observe(clusters[0]), within=5, meets=lambda seen: seen["hub"].state is InstanceState.ENDED)
        assert not any(process.alive() for process in family)

    async def test_so_does_one_whose_guard_is_killed(self, place: Place, runner: Runner, clusters: tuple[str, str]) -> None:
        family = await self.started(place, runner, clusters[0])
        place.instances(clusters[0])["hub"].kill()
        await until(lambda: runner.observe(clusters[0]), within=5, meets=lambda seen: seen["hub"].state is InstanceState.ENDED)
        await until(lambda: [process for process in family if process.alive()], within=5, meets=lambda left: not left)

    async def test_a_killed_keeper_takes_everything_along(self, place: Place, runner: Runner, clusters: tuple[str, str]) -> None:
        await self.started(place, runner, clusters[0])
        place.keeper().kill()
        await until(place.processes, within=5, meets=lambda left: not left)
        place.assert_deserted()

    async def test_a_keeper_that_is_told_to_end_does_so(self, place: Place, runner: Runner, clusters: tuple[str, str]) -> None:
        await self.started(place, runner, clusters[0])
        place.keeper().kill(signal.SIGTERM)
        await until(place.processes, within=5, meets=lambda left: not left)
        assert not list(place.runtime.glob("*.sock"))
