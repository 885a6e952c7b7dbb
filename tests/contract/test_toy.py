"""The toy keeps the contracts honest: a kind from another package, and the same kind on this machine."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from dodas_toy.face import ToyCluster
from dodas_toy.service import ToyService

from jupyter_dodas import aio
from jupyter_dodas.services.base import Service
from jupyter_dodas.testing.pairs import Ground, PairContract
from jupyter_dodas.testing.services import ServiceContract
from tests.place import LocalGround, Place


class TestToyService(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({"fail": "hub"}, {"child": True, "ignore_term": True})

    @pytest.fixture
    def service(self) -> Service:
        return ToyService()


@pytest.mark.parametrize("namespaces", ["true", "false"])
class TestToyOnThisMachine(PairContract):
    kind = "toy"

    @pytest.fixture
    def ground(self, place: Place, namespaces: str, monkeypatch: pytest.MonkeyPatch) -> Ground:
        monkeypatch.setenv("DODAS_NAMESPACES", namespaces)
        return LocalGround(place)

    async def use(self, cluster: aio.Cluster) -> None:
        assert isinstance(cluster, ToyCluster)

        def work(client: Any) -> Sequence[float]:
            with client:
                client.submit(0.02, times=6)
                return [client.result() for _ in range(6)]

        assert await asyncio.to_thread(work, await cluster.client()) == [0.02] * 6
