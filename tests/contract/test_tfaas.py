"""TFaaS owes what every service owes, and works on this machine."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.base import Service
from jupyter_dodas.services.tfaas.service import TfaasService
from jupyter_dodas.testing.pairs import Ground, PairContract
from jupyter_dodas.testing.services import ServiceContract
from tests.endpoints import caller, predict, stocked
from tests.place import LocalGround, Place


class TestTfaasService(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"replicas": 0},
        {"store": "/srv/models", "anonymous": "predict"},
        {"issuer": "https://iam.example/", "audience": ["tagger"], "callers": ["cms"], "publishers": ["cms/tagging"]},
        {"rate": 50, "deadline": 2.5, "resident": 3, "model_memory": "1 GiB", "target": 4},
    )

    @pytest.fixture
    def service(self) -> Service:
        return TfaasService()


class TestTfaasOnThisMachine(PairContract):
    kind = "tfaas"

    @pytest.fixture
    def ground(self, place: Place) -> Ground:
        self.store = stocked(place.root / "models", 2.5)
        return LocalGround(place)

    async def launch(self, **options: Any) -> aio.Cluster:
        return await super().launch(store=self.store, **options)

    async def use(self, cluster: aio.Cluster) -> None:
        async with caller(cluster) as client:
            assert await predict(client) == 2.5
