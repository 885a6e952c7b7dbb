"""Store, runner and service without files, processes and sockets owe what all others owe."""

import pytest

from jupyter_dodas.backends.base import InstanceState, Runner, Running, Store
from jupyter_dodas.services.base import Instance, Service
from jupyter_dodas.testing.memory import Act, MemoryRunner, MemoryStore
from jupyter_dodas.testing.runners import Does, RunnerContract
from jupyter_dodas.testing.services import ServiceContract
from jupyter_dodas.testing.stores import StoreContract
from tests.unit.plant import PlantService

ACTS = {
    Does.STAY: Act("here\n"),
    Does.RESIST: Act("here\n"),
    Does.LEAVE: Act("first\nlast\n", Running(InstanceState.ENDED, "exit code 0", ok=True)),
    Does.FAIL: Act("", Running(InstanceState.ENDED, "exit code 3")),
    Does.WORK: Act("", Running(InstanceState.ENDED, "exit code 0", ok=True, cpu_seconds=0.5, peak_memory=2**24)),
}


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    @pytest.fixture
    def elsewhere(self, store: Store) -> Store:
        assert isinstance(store, MemoryStore)
        return store.elsewhere()


@pytest.mark.parametrize("lag", [0.0, 0.05])
class TestMemoryRunner(RunnerContract):
    @pytest.fixture
    def clusters(self) -> tuple[str, str]:
        return "higgs", "w"

    @pytest.fixture
    def runner(self, lag: float) -> Runner:
        return MemoryRunner(lambda instance: ACTS[Does[instance.command[0]]], lag=lag)

    def instance(self, cluster: str, name: str, does: Does) -> Instance:
        return Instance(name, cluster, "hub", (does.name,))


class TestPlantService(ServiceContract):
    """The service of the controller's property tests, which talks to nobody over any port."""

    test_a_link_bears_somebody_else_on_its_ports = None  # type: ignore[assignment]

    @pytest.fixture
    def service(self) -> Service:
        return PlantService()
