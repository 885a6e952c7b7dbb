"""Dask owes what every service owes, and works on this machine."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.base import Service
from jupyter_dodas.services.dask.face import DaskCluster
from jupyter_dodas.services.dask.service import DaskService
from jupyter_dodas.testing.pairs import Ground, PairContract
from jupyter_dodas.testing.services import ServiceContract
from tests.place import LocalGround, Place


class TestDaskService(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({"threads": 2}, {"spill": False, "target": 1.5}, {"ship": False})

    @pytest.fixture
    def service(self) -> Service:
        return DaskService()


class TestDaskOnThisMachine(PairContract):
    kind = "dask"

    @pytest.fixture
    def ground(self, place: Place) -> Ground:
        return LocalGround(place)

    async def use(self, cluster: aio.Cluster) -> None:
        assert isinstance(cluster, DaskCluster)
        async with await cluster.client() as client:
            assert await client.gather(client.map(pow, range(20), [2] * 20)) == [number**2 for number in range(20)]
