"""Spark in pods, used from outside through its Connect server."""

import asyncio

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.spark.face import SparkCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace


@pytest.mark.anyio
async def test_spark_computes_in_pods(namespace: Namespace) -> None:
    async with await aio.launch("spark", name="higgs", workers=2, memory="1 GiB", connect=True, timeout=240) as cluster:
        assert isinstance(cluster, SparkCluster)
        session = await cluster.session()
        rows = await asyncio.to_thread(session.range(1000).selectExpr("sum(id)").collect)
        assert rows[0][0] == 499500
        await asyncio.to_thread(session.stop)
    await until(namespace.left, within=60, meets=lambda left: not left)
