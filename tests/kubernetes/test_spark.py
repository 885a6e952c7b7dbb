"""Spark in pods: from outside through its Connect server, inside as on any machine, and what is told where neither goes."""

import asyncio

import pytest
from pyspark.sql import Window, functions
from pyspark.sql.connect.session import SparkSession

from jupyter_dodas import aio
from jupyter_dodas.errors import NotSupported
from jupyter_dodas.services.spark.face import SparkCluster
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace, install_controller
from tests.spark import SMALL

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(420)]


async def test_a_launch_from_outside_has_a_connect_server(namespace: Namespace) -> None:
    async with await aio.launch("spark", name="higgs", workers=2, **SMALL) as cluster:
        assert isinstance(cluster, SparkCluster)
        session, other = await cluster.session(), await cluster.session()
        assert isinstance(session, SparkSession)
        assert isinstance(other, SparkSession)
        assert session.conf.get("spark.network.crypto.enabled") == "true"
        place = functions.row_number().over(Window.partitionBy("part").orderBy(functions.desc("id")))
        numbers = session.range(1000).selectExpr("id", "id % 2 as part").withColumn("place", place)
        rows = await asyncio.to_thread(numbers.where("place = 1").toPandas)
        assert set(rows["id"]) == {998, 999}
    assert session.is_stopped
    assert other.is_stopped
    await until(namespace.left, within=60, meets=lambda left: not left)


INSIDE = """
import jupyter_dodas as dodas
small = {"memory": "512 MiB", "driver_memory": "512 MiB", "executors": 1}
classic = dodas.spark(name="classic", wait=False, **small)
shared = dodas.spark(name="shared", connect=True, **small)
with shared, shared.session() as spark:
    print("address", shared.connection().addresses["connect"])
    print("rows", spark.range(1000).selectExpr("sum(id)").first()[0])
classic.wait()
spark = classic.session()
print("driver", spark.conf.get("spark.driver.host"))
print("where", spark.sparkContext.parallelize(range(4), 2).map(lambda _: __import__("socket").gethostname()).distinct().collect())
spark.stop()
"""


async def test_a_notebook_in_the_namespace_has_sessions_of_both_kinds(namespace: Namespace) -> None:
    namespace.install("user.yaml")
    install_controller(namespace)
    namespace.become("alice", "jupyter-dodas-user")
    namespace.notebook(INSIDE, "alice")
    said = await namespace.said(within=270)
    own = namespace.kubectl("get", "pod", "notebook", "-o", "jsonpath={.status.podIP}")
    for line in ("address sc://shared-connect:18000", "rows 499500", f"driver {own}", "where ['classic-worker-1']"):
        assert line in said.splitlines(), said
    # Launched from where it needs no Connect server, it cannot be used from here, and says so.
    async with await aio.connect("classic") as cluster:
        assert isinstance(cluster, SparkCluster)
        with pytest.raises(NotSupported, match="without a Connect server") as raised:
            await cluster.session()
        assert "executors cannot reach it" in raised.value.cause
        assert "connect=True" in raised.value.remedy
