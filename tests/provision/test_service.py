"""The service of infrastructures under a real hub, with the real Infrastructure Manager."""

from collections.abc import AsyncIterator, Iterator

import pytest

from jupyter_dodas.errors import InfrastructureNotFound
from jupyter_dodas.provision.client import Infrastructures
from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.provision.views import Change, Wanted
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import until
from tests.provision.im import InfrastructureManager
from tests.provision.service import KUBECONFIG, ServiceHub, im

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    folder = tmp_path_factory.mktemp("im")
    (folder / "kubeconfig").write_text(KUBECONFIG)
    with InfrastructureManager(folder / "im", kubeconfig=folder / "kubeconfig") as made:
        yield made


@pytest.fixture(scope="module")
def hub(manager: InfrastructureManager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceHub]:
    folder = tmp_path_factory.mktemp("service")
    with ServiceHub(folder, im(manager.url, folder), look_around=2) as made:
        yield made


@pytest.fixture(scope="module")
def alices_token(hub: ServiceHub) -> str:
    return hub.token("alice")


@pytest.fixture
async def alice(hub: ServiceHub, alices_token: str) -> AsyncIterator[Infrastructures]:
    """What alice may do, with credentials for the Dummy cloud."""
    async with Infrastructures(hub.service_url, hub._keep(alices_token)) as client:
        await client.add_cloud(DummyCloud(name="dummy"))
        yield client


async def gone(client: Infrastructures, name: str) -> None:
    """Delete one, and wait until nothing is left of it."""
    await client.delete(name)
    with pytest.raises(InfrastructureNotFound):
        async for _ in client.follow(name):
            pass


async def test_one_is_made_scaled_and_deleted(hub: ServiceHub, manager: InfrastructureManager, alice: Infrastructures) -> None:
    wanted = Wanted(name="higgs", template="kubernetes", inputs={"workers": 1})
    made = await alice.create(wanted)
    assert (made.owner, made.phase, made.workers) == ("alice", Phase.PENDING, 1)
    assert (await alice.create(wanted)).uid == made.uid
    steps: list[str] = []
    found = await alice.ready("higgs", lambda it: steps.extend(one.name for one in it.steps if one.name not in steps))
    assert found.phase is Phase.READY, found.problem
    assert steps == ["Queued", "Machines", "Kubernetes"]
    assert len(found.machines) == 2
    assert await alice.kubeconfig("higgs") == KUBECONFIG
    assert manager.listed() == {found.identifier}
    await alice.change("higgs", Change(workers=2))
    grown = await alice.ready("higgs")
    assert (grown.phase, len(grown.machines)) == (Phase.READY, 3)
    await gone(alice, "higgs")
    await until(manager.known, within=60, meets=lambda left: not left)
