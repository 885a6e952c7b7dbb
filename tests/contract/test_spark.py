"""Spark clusters on this machine do what every cluster does."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.spark import driver
from jupyter_dodas.testing.pairs import Ground, PairContract
from tests.place import LocalGround, Place
from tests.spark import SMALL

pytestmark = pytest.mark.timeout(300)


class TestSparkOnThisMachine(PairContract):
    kind = "spark"
    options: ClassVar[Mapping[str, Any]] = SMALL

    @pytest.fixture
    def ground(self, place: Place) -> Iterator[Ground]:
        yield LocalGround(place)
        driver.release()  # the Java that a launch starts ahead in this very process

    async def use(self, cluster: aio.Cluster) -> None:
        def work() -> int:
            session = cluster.blocking_client()
            try:
                return int(session.range(1000).selectExpr("sum(id) as total").first().total)
            finally:
                session.stop()
                driver.release()

        assert await asyncio.to_thread(work) == 499_500
