"""The store on a real API server, and the runner with real pods."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jupyter_dodas import aio, settings
from jupyter_dodas.backends.base import Runner, Store
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.runner import KubernetesRunner
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.services.base import Instance
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.testing.pairs import Ground, PairContract
from jupyter_dodas.testing.runners import Does, ProgramContract, RunnerContract
from jupyter_dodas.testing.stores import StoreContract, a_spec
from jupyter_dodas.testing.waiting import until
from tests.endpoints import caller, deploy, predict
from tests.namespace import KubernetesGround, Namespace
from tests.place import Place
from tests.spark import SMALL

PROGRAMS: Mapping[Does, str] = {
    Does.STAY: "import time; print('here', flush=True); time.sleep(600)",
    Does.RESIST: "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)",
    Does.LEAVE: "print('first'); print('last')",
    Does.FAIL: "raise SystemExit(3)",
    Does.WORK: (
        "import os, time\nif not (pid := os.fork()):\n    while time.process_time() < 0.3: pass\nelse: os.waitpid(pid, 0)\n"
    ),
}


@pytest.fixture
def namespace(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    made = Namespace(place, monkeypatch)
    yield made
    made.close()


class Heard:
    """A store, whose writes another one has heard of before anything else is done."""

    def __init__(self, store: Store, heard_by: Store) -> None:
        self._store, self._heard_by = store, heard_by

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in ("create", "change", "report", "remove"):
            return method

        async def write(*arguments: Any) -> Any:
            try:
                return await method(*arguments)
            finally:
                wanted = await self._store.list()
                await until(self._heard_by.list, within=30, meets=lambda records: records == wanted)

        return write


class TestKubernetesStore(StoreContract):
    """The controller watches all the time and believes what it has heard; everybody else reads what is."""

    patience = 30.0

    @pytest.fixture
    async def store(self, namespace: Namespace) -> AsyncIterator[Store]:
        store = KubernetesStore(Api(settings.load()), tick=None)
        async with store.watch():
            yield store

    @pytest.fixture
    def elsewhere(self, store: Store) -> Store:
        return Heard(KubernetesStore(Api(settings.load()), tick=None), store)


class TestKubernetesStoreWithoutWatch(StoreContract):
    """Nobody watches: everything is read as it is."""

    patience = 30.0

    @pytest.fixture
    def store(self, namespace: Namespace) -> Store:
        return KubernetesStore(Api(settings.load()), tick=None)

    @pytest.fixture
    def elsewhere(self, store: Store) -> Store:
        return KubernetesStore(Api(settings.load()), tick=None)


@asynccontextmanager
async def connected() -> AsyncGenerator[KubernetesRunner, None]:
    """A runner, as a controller holds it."""
    configured = settings.load()
    api = Api(configured)
    store = KubernetesStore(api, tick=None)
    runner = KubernetesRunner(api, store, configured)
    async with store.watch(), runner.connected():
        yield runner


class KubernetesRunnerFixtures:
    """A namespace with two records, and no controller."""

    @pytest.fixture
    async def runner(self, namespace: Namespace) -> AsyncIterator[Runner]:
        async with connected() as runner:
            yield runner

    @pytest.fixture
    async def clusters(self, namespace: Namespace) -> tuple[str, str]:
        store = KubernetesStore(Api(settings.load()))
        for name in ("higgs", "w"):
            await store.create(a_spec(name))
        return "higgs", "w"


class TestKubernetesRunner(KubernetesRunnerFixtures, RunnerContract):
    def instance(self, cluster: str, name: str, does: Does) -> Instance:
        command = ("python", "-c", PROGRAMS[does])
        return Instance(name, cluster, name.partition("-")[0], command, grace=0.5 if does is Does.RESIST else 5.0)


class TestProgramsInPods(KubernetesRunnerFixtures, ProgramContract):
    """What a program finds around it in a pod. A claim that the settings name is a folder that both sides see."""

    @pytest.fixture
    def folder(self, namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        tmp_path.chmod(0o755)
        namespace.share(tmp_path, "shared")
        monkeypatch.setenv("DODAS_KUBERNETES_POD", json.dumps({"volumes": [{"mount": "/shared", "claim": "shared"}]}))
        return tmp_path

    async def test_the_working_folder(self, runner: Runner, clusters: tuple[str, str], folder: Path) -> None:
        (folder / "data.txt").write_text("collisions")
        code = "import json; print(json.dumps(open('data.txt').read()))"
        instance = Instance("hub", clusters[0], "hub", ("python", "-c", code), folder="/shared")
        assert await self.reports(runner, instance) == "collisions"

    @pytest.fixture
    async def runner(self, folder: Path, namespace: Namespace) -> AsyncIterator[Runner]:
        async with connected() as runner:
            yield runner


class TestDaskInPods(PairContract):
    """The controller is a process of the user here, who reaches pods through forwarded ports."""

    kind = "dask"

    @pytest.fixture
    def ground(self, namespace: Namespace) -> Ground:
        return KubernetesGround(namespace)

    async def use(self, cluster: aio.Cluster) -> None:
        assert isinstance(cluster, DaskCluster)
        async with await cluster.client() as client:
            assert await client.gather(client.map(pow, range(20), [2] * 20)) == [number**2 for number in range(20)]


@pytest.mark.timeout(300)
class TestSparkInPods(PairContract):
    """Executors cannot reach the user here, whose sessions are those of a Connect server."""

    kind = "spark"
    options: ClassVar[Mapping[str, Any]] = SMALL

    @pytest.fixture
    def ground(self, namespace: Namespace) -> Ground:
        return KubernetesGround(namespace)

    async def use(self, cluster: aio.Cluster) -> None:
        def work() -> int:
            with cluster.blocking_client() as session:
                return int(session.range(1000).selectExpr("sum(id) as total").first().total)

        assert await asyncio.to_thread(work) == 499_500


@pytest.mark.timeout(300)
class TestTfaasInPods(PairContract):
    """Its pods have an image of their own."""

    kind = "tfaas"

    @pytest.fixture
    def ground(self, namespace: Namespace) -> Ground:
        return KubernetesGround(namespace)

    async def use(self, cluster: aio.Cluster) -> None:
        async with caller(cluster) as client:
            await deploy(client, "scale", 2.5)
            assert await predict(client) == 2.5
