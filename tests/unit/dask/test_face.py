"""What a user does with a Dask cluster, in both faces."""

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from dask_processes import Processes
from distributed import Client
from distributed.core import Status

from jupyter_dodas import blocking
from jupyter_dodas.backends.base import Backend, Connection, Line, Load, Store
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import ClusterFailed, InvalidOption, NotFound, TimedOut
from jupyter_dodas.limits import Allowance
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Service
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.spec import Condition, InstanceStatus, Intent, Phase, Problem, Record
from jupyter_dodas.testing.memory import MemoryStore

pytestmark = pytest.mark.anyio


class OnePlace(Backend):
    """Where one cluster runs that somebody else started; asked to stop, it is gone a moment later."""

    name = "one"

    def __init__(self, processes: Processes) -> None:
        self._processes, self._store = processes, MemoryStore()
        self._controller = self._store.elsewhere()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def store(self) -> Store:
        return self._store

    @property
    def here(self) -> str:
        return "127.0.0.1"

    def check(self, service: Service, asked: Options) -> Options:
        return asked  # whoever started it has seen to that

    async def wake(self, cluster: str | None = None, *, expect: Sequence[str] = ()) -> None:
        if cluster and (await self._store.get(cluster)).spec.intent is Intent.STOP:
            self._ending.add(asyncio.create_task(self._end(cluster)))

    async def _end(self, cluster: str) -> None:
        await asyncio.sleep(0.1)
        await self._controller.remove(cluster, "")

    async def allowance(self) -> Allowance:
        return Allowance()

    async def connection(self, record: Record) -> Connection:
        return Connection(record.status.addresses, self._processes.site.secrets)

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> dict[str, str]:
        return {}

    async def tail(self, cluster: str, wanted: Callable[[str], bool], *, lines: int) -> AsyncGenerator[Sequence[Line], None]:
        yield ()

    async def loads(self, *, every: float) -> AsyncGenerator[Mapping[str, Mapping[str, Load]], None]:
        yield {}

    async def begin(self) -> Record:
        await self._store.create(self._processes.spec)
        return await self.tell(phase=Phase.READY, addresses=dict(self._processes.addresses))

    async def tell(self, **status: Any) -> Record:
        record = await self._controller.get("higgs")
        await self._controller.report("higgs", record.status.model_copy(update=status))
        return await self._controller.get("higgs")


@pytest.fixture
def place(shared: Processes) -> OnePlace:
    return OnePlace(shared)


@pytest.fixture
def held(place: OnePlace) -> DaskCluster:
    return DaskCluster(place, blocking.run(place.begin))


@pytest.fixture
def cluster(held: DaskCluster) -> Cluster:
    return Cluster(held)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a notebook; modules in it can be imported here, and workers know nothing of it."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(folder):
            del sys.modules[name]


def write(file: Path, content: str) -> Any:
    """Write a module, as an editor does, and import it anew, as a restarted kernel does."""
    file.write_text(content)
    sys.modules.pop(file.stem, None)
    importlib.invalidate_caches()
    return importlib.import_module(file.stem)


async def test_a_client_on_this_loop(held: DaskCluster) -> None:
    async with await held.client() as client:
        assert await client.submit(sum, range(1000)) == 499500
        assert client.cluster is held
    assert await held.phase() is Phase.READY, "closing a client closes no cluster"
    async with Client(held, asynchronous=True) as own, await held.get_client() as other:  # type: ignore[no-untyped-call]
        assert await own.submit(abs, -1) == await other.submit(abs, -1) == 1


@pytest.mark.parametrize("connect", [Client, Cluster.client, lambda cluster: cluster.get_client()])
def test_a_blocking_client(cluster: Cluster, connect: Callable[[Cluster], Client]) -> None:
    with connect(cluster) as client:
        assert client.submit(sum, range(1000)).result() == 499500
        assert client.dashboard_link == cluster.dashboard_link
        assert client.security.require_encryption
    assert cluster.phase() is Phase.READY


def test_a_client_that_shuts_down_stops_the_cluster(cluster: Cluster, held: DaskCluster) -> None:
    with cluster.client() as client:
        client.shutdown()
    assert cluster.phase() is Phase.STOPPED
    assert held.status is Status.closed
    with pytest.raises(NotFound):
        Client(cluster)  # type: ignore[no-untyped-call]


def test_close_is_stop(cluster: Cluster) -> None:
    cluster.close()
    assert cluster.phase() is Phase.STOPPED


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_word_of_dasks(held: DaskCluster, place: OnePlace, phase: Phase) -> None:
    blocking.run(lambda: place.tell(phase=phase))
    ended = {Phase.STOPPING: Status.closing, Phase.STOPPED: Status.closed, Phase.FAILED: Status.failed}
    assert held.status is ended.get(phase, held.status)
    assert (held.status is Status.running) == (phase in (Phase.READY, Phase.DEGRADED))


async def test_waiting_for_workers(held: DaskCluster, place: OnePlace) -> None:
    worker = InstanceStatus(role="worker", group="worker", since=0)
    ready = worker.model_copy(update={"condition": Condition.READY})
    await place.tell(instances={"scheduler": ready.model_copy(update={"group": None}), "worker-1": ready, "worker-2": worker})
    await held.wait_for_workers(1)
    with pytest.raises(TimedOut, match="1 of 2 workers"):
        await held.wait_for_workers(2, timeout=0.05)
    waiting = asyncio.create_task(held.wait_for_workers(2, timeout=5))
    await asyncio.sleep(0)
    await place.tell(instances={"worker-1": ready, "worker-2": ready})
    await waiting
    waiting = asyncio.create_task(held.wait_for_workers(3, timeout=5))
    await asyncio.sleep(0)
    await place.tell(phase=Phase.FAILED, addresses={}, ready_at=1.0, problem=Problem(code="x", message="The machine is on fire"))
    with pytest.raises(ClusterFailed, match="fire"):
        await waiting


def test_the_dashboard_opens_once_with_the_address_that_is_given(cluster: Cluster) -> None:
    address = cluster.dashboard()
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        page = browser.get(address)
        assert (page.status_code, str(page.url)) == (200, cluster.dashboard_link)
    with httpx.Client() as another:
        assert another.get(address).status_code == 401
    assert "code" not in cluster.dashboard_link


def test_modules_beside_the_notebook_are_on_workers_and_stay_fresh(cluster: Cluster, desk: Path, caplog: Any) -> None:
    helper = write(desk / "helper.py", "def answer():\n    return 1\n")
    with cluster.client() as client:
        assert client.submit(helper.answer).result() == 1
    helper = write(desk / "helper.py", "def answer():\n    return 'two'\n")
    with cluster.client() as client:
        assert client.submit(helper.answer, pure=False).result() == "two"
    began = time.monotonic()
    with cluster.client() as client:
        assert client.submit(helper.answer, pure=False).result() == "two"
    assert time.monotonic() - began < 2
    (desk / "large.py").write_text("#" * 10_000_000)
    with caplog.at_level("INFO", "jupyter_dodas"), cluster.client():
        assert "large" in caplog.text
        assert "too large" in caplog.text


def test_a_worker_that_comes_later_has_the_modules_too(fresh: Callable[..., Processes], desk: Path) -> None:
    processes = fresh("scheduler", "worker-1")
    asyncio.run(processes.complete())
    place = OnePlace(processes)
    cluster = Cluster(DaskCluster(place, blocking.run(place.begin)))
    (desk / "pkg").mkdir()
    (desk / "pkg" / "data.txt").write_text("beside it")
    code = "from pathlib import Path\ndef read():\n    return (Path(__file__).parent / 'data.txt').read_text()\n"
    (desk / "pkg" / "__init__.py").write_text(code)
    read = importlib.import_module("pkg").read
    with cluster.client() as client:
        assert client.submit(read, workers="worker-1").result() == "beside it"
        # As on another machine: what the worker needs is not in that folder.
        (desk / "pkg" / "data.txt").write_text("changed since")
        processes.start("worker-2")
        asyncio.run(processes.complete())
        assert client.submit(read, workers="worker-2", pure=False).result() == "beside it"


def test_modules_from_elsewhere_are_sent_by_name(cluster: Cluster, desk: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("def answer():\n    return 42\n")
    cluster.ship(tmp_path / "elsewhere.py")
    with cluster.client() as client:
        assert client.submit(eval, "__import__('elsewhere').answer()", pure=False).result() == 42
    with pytest.raises(InvalidOption):
        cluster.ship(tmp_path / "nowhere.py")


def test_nothing_is_sent_unless_wanted(cluster: Cluster, place: OnePlace, desk: Path) -> None:
    (desk / "unwanted.py").write_text("")

    async def refuse() -> None:
        spec = (await place.store.get("higgs")).spec
        await place.store.change(spec.model_copy(update={"options": {**spec.options, "ship": False}}))

    blocking.run(refuse)
    with cluster.client() as client, pytest.raises(ModuleNotFoundError):
        client.submit(__import__, "unwanted").result()


def test_holding_a_cluster_imports_no_distributed() -> None:
    import subprocess

    code = "import sys, jupyter_dodas.services.dask.face as f; print('distributed' in sys.modules); "
    code += "f.DaskCluster.warm(f.Options(), None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
