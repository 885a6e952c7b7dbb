"""What a launch does ahead of the first session."""

import subprocess
import sys

import pytest

PROGRAM = """
from jupyter_dodas.services.spark.face import SparkCluster
from jupyter_dodas.services.spark.options import SparkOptions
from jupyter_dodas.services.spark import driver
SparkCluster.warm(SparkOptions(memory=2**29, driver_memory=2**29, connect={connect}), "127.0.0.1")
from pyspark import SparkContext
print(SparkContext._gateway is not None)
driver.release()
"""


@pytest.mark.parametrize("connect", [True, False])
def test_a_driver_is_started_ahead_where_there_will_be_one(connect: bool) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM.format(connect=connect)], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == str(not connect)
