"""HTCondor owes what every service owes, and works on this machine."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.base import Service
from jupyter_dodas.services.htcondor.service import HtcondorService
from jupyter_dodas.testing.pairs import Ground, PairContract
from jupyter_dodas.testing.services import ServiceContract
from tests.batch import Batch
from tests.place import LocalGround, Place


class TestHtcondorService(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({"flock_to": ["other"]}, {"job_deadline": 3600})

    @pytest.fixture
    def service(self) -> Service:
        return HtcondorService()


class TestHtcondorOnThisMachine(PairContract):
    kind = "htcondor"

    @pytest.fixture
    def ground(self, place: Place) -> Ground:
        return LocalGround(place)

    async def use(self, cluster: aio.Cluster) -> None:
        async with Batch.of(cluster) as batch:
            assert await batch.run("echo $((6 * 7))") == "42"
