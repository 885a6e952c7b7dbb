"""Spark clusters on this machine: sessions of all kinds, growing and shrinking, and what is told when something is missing."""

import json
import os
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import InvalidOption, MissingSoftware
from jupyter_dodas.services.spark import credentials
from jupyter_dodas.spec import Condition, Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place
from tests.spark import UP, Kernel, executors, launch

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster(place: Place) -> Iterator[Cluster]:
    """A small cluster of two workers."""
    with launch(executors=2) as made:
        yield made


# -- sessions ---------------------------------------------------------------------------------------------------------

ALL = """
import pandas
spark = cluster.session(**{"spark.sql.shuffle.partitions": 3})
numbers = spark.sparkContext.parallelize(range(100), 4)
frame = spark.createDataFrame(pandas.DataFrame({"key": [1, 2, 2], "value": [1.0, 2.0, 3.0]}))
frame.createOrReplaceTempView("frame")
try:
    other = dodas.connect("other").session()
except DodasError as error:
    refused = [error.code, error.remedy]
tell(
    rdd=numbers.map(lambda number: number * number).sum(),
    sql=[list(row) for row in spark.sql("select key, sum(value) from frame group by key order by key").collect()],
    pandas=float(frame.toPandas().value.sum()),
    arrow=spark.conf.get("spark.sql.execution.arrow.pyspark.enabled"),
    partitions=spark.conf.get("spark.sql.shuffle.partitions"),
    python=numbers.map(lambda _: __import__("sys").executable).distinct().collect() == [sys.executable],
    same=cluster.session() is spark or cluster.session().sparkContext is spark.sparkContext,
    refused=refused,
    application=spark.sparkContext.applicationId,
    page=spark.sparkContext.uiWebUrl,
)
hear()
cluster.stop()
tell(active=spark.sparkContext._jsc is not None)
hear()
"""


def test_a_session_is_plain_spark(place: Place, cluster: Cluster) -> None:
    with launch("other", executors=0):
        kernel = Kernel(place, ALL)
        said = kernel.told()
    assert said["rdd"] == 328_350
    assert said["sql"] == [[1, 1.0], [2, 5.0]]
    assert said["pandas"] == 6.0
    assert (said["arrow"], said["partitions"]) == ("true", "3")
    assert said["python"]
    assert said["same"]
    assert _temporary_files(place), "a shuffle is compressed by a library that is laid down to be loaded"
    outside = {file for file in _temporary_files(place) if "/spark-" not in file}
    assert not outside, "they are in the scratch of an instance, which goes with it"
    assert said["refused"][0] == "not-supported"
    assert "connect=True" in said["refused"][1]
    secrets = credentials.read(cluster.connection().secrets)
    _no_secret_shows(place, secrets)
    for address in (f"{cluster.connection().addresses['dashboard']}/json/", said["page"]):
        _page_is_locked(address, secrets)
    kernel.go_on()
    assert kernel.told() == {"active": False}
    events = (place.state / "history" / said["application"]).read_text().splitlines()
    assert json.loads(events[-1])["Event"] == "SparkListenerApplicationEnd"
    assert not any(secret in line for line in events for secret in _secrets(secrets))
    kernel.go_on()


def _temporary_files(place: Place) -> set[str]:
    """Files in the folder for temporary ones that executors have in their memory."""
    maps = (Path(f"/proc/{executor.pid}/maps").read_text().split() for executor in executors(place))
    return {word for words in maps for word in words if word.startswith(tempfile.gettempdir()) and "hsperfdata" not in word}


def _secrets(properties: Mapping[str, str]) -> Sequence[str]:
    return [value for value in properties.values() if len(value) > 30 and "." not in value]


def _no_secret_shows(place: Place, properties: Mapping[str, str]) -> None:
    """No secret is in a command line, a variable, a log or a record, but for the one that Spark itself gives to executors."""
    hidden = [secret.encode() for secret in _secrets(properties)]
    assert len(hidden) == 3
    assert executors(place)
    for process in place.processes():
        folder = Path(f"/proc/{process.pid}")
        variables = (folder / "environ").read_bytes()
        if "CoarseGrainedExecutorBackend" in process.command or "pyspark.daemon" in process.command:
            variables = b"\0".join(line for line in variables.split(b"\0") if not line.startswith(b"_SPARK_AUTH_SECRET="))
        for shown in (variables, (folder / "cmdline").read_bytes()):
            assert not any(secret in shown for secret in hidden), process.command
    for file in place.state.rglob("*"):
        if file.is_file() and file.name != credentials.FILE:
            assert not any(secret in file.read_bytes() for secret in hidden), file


def _page_is_locked(address: str, properties: Mapping[str, str]) -> None:
    def status(header: str) -> int:
        request = urllib.request.Request(address, headers={"Authorization": header} if header else {})
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return int(error.code)

    other = credentials.issue(cores=1)[credentials.FILE].decode()
    foreign = dict(line.split(" ", 1) for line in other.splitlines())
    now = time.time()
    assert status("") == 403
    assert status(credentials.bearer(foreign, now + 60)) == 403
    assert status(credentials.bearer(properties, now - 60)) == 403
    assert status(credentials.bearer(properties, now + 60)) == 200


CONNECT = """
first, second = cluster.session(), cluster.session()
first.range(5).createOrReplaceTempView("mine")
from pyspark.sql.functions import col
def result(): return first.range(1000).select(col("id").alias("n")).selectExpr("sum(n) as total").first().total
tell(total=result(), apart=first.catalog.tableExists("mine") and not second.catalog.tableExists("mine"))
hear()
first = dodas.connect("higgs").session()
tell(total=result())
first.stop()
"""


def test_a_process_can_have_several_connect_sessions(place: Place) -> None:
    with launch(executors=1, connect=True) as cluster:
        kernel = Kernel(place, CONNECT)
        assert kernel.told() == {"total": 499_500, "apart": True}
        _no_secret_shows(place, credentials.read(cluster.connection().secrets))
        place.instances("higgs")["connect"].kill()
        blocking_until(cluster.phase, within=30, meets=lambda phase: phase is not Phase.READY)
        cluster.wait(timeout=UP)
        kernel.go_on()
        assert kernel.told() == {"total": 499_500}


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_the_drained_worker_is_the_one_that_goes(place: Place, cluster: Cluster) -> None:
    kernel = Kernel.napping(place, 40)
    blocking_until(lambda: executors(place), within=60, meets=lambda found: len(found) == 2)
    before = cluster.record().status.instances
    cluster.scale(1)
    seen = blocking_until(
        lambda: cluster.record().status.instances, within=30, meets=lambda found: len(found) < 3 or _drains(found)
    )
    cluster.wait(timeout=UP)
    after = cluster.record().status.instances
    assert len(after) == 2
    assert after["worker-1"].started == before["worker-1"].started
    assert "worker-1" not in _drains(seen)
    assert len(executors(place)) == 1
    assert kernel.told() == {"total": sum(range(40))}
    kernel.go_on()
    assert kernel.told() == {"total": sum(range(10))}


def _drains(instances: Mapping[str, Any]) -> Sequence[str]:
    return [name for name, instance in instances.items() if instance.condition is Condition.DRAINING]


def test_a_worker_that_is_given_time_finishes_its_tasks(place: Place) -> None:
    """As a node that is emptied gives it: its place asks it to end, and tells how long it may take."""
    with launch(executors=2, environment={"variables": {"DODAS_GRACE": "30"}}) as cluster:
        kernel = Kernel.napping(place, 24)
        marks = place.state / "marks"
        blocking_until(lambda: marks.exists() and marks.stat().st_size >= 4, within=UP)
        before = cluster.record().status.instances["worker-1"].started
        os.kill(place.children(place.instances("higgs")["worker-1"])[0].pid, signal.SIGTERM)
        assert kernel.told() == {"total": sum(range(24))}
        assert marks.stat().st_size == 24, "a task was computed again"
        blocking_until(lambda: cluster.record().status.instances["worker-1"].started, within=UP, meets=lambda now: now != before)
        assert cluster.record().status.instances["worker-1"].last_exit == "exit code 0"
        kernel.go_on()
        assert kernel.told() == {"total": sum(range(10))}


def test_workers_follow_the_work(place: Place) -> None:
    with launch(adapt=[0, 2]) as cluster:
        assert set(cluster.record().status.instances) == {"master"}
        kernel = Kernel.napping(place, 60)
        blocking_until(lambda: cluster.record().status.instances, within=60, meets=lambda found: len(found) == 3)
        assert kernel.told() == {"total": sum(range(60))}
        blocking_until(lambda: cluster.record().status.instances, within=90, meets=lambda found: set(found) == {"master"})
        kernel.go_on()
        assert kernel.told() == {"total": sum(range(10))}


# -- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("java", [None, "11.0.2"])
def test_a_launch_says_which_java_is_missing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, java: str | None
) -> None:
    """An old Java cannot be had here: a program in its place that only says how old it is stands for it."""
    if java is not None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "java").write_text("#!/bin/sh\n")
        (tmp_path / "bin" / "java").chmod(0o755)
        (tmp_path / "release").write_text(f'JAVA_VERSION="{java}"\n')
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    else:
        monkeypatch.delenv("JAVA_HOME", raising=False)
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "java").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    monkeypatch.setattr("jupyter_dodas.services.spark.java._USUAL", ())
    with pytest.raises(MissingSoftware, match=java or "no Java") as raised:
        launch(executors=1)
    assert "17" in raised.value.remedy
    assert list(dodas.list()) == []


PACKAGE = """
try:
    spark = cluster.session()
except DodasError as error:
    tell(error=str(error))
else:
    path = os.path.join(os.environ["DODAS_STATE"], "events.avro")
    spark.range(100).write.format("avro").save(path)
    tell(rows=spark.read.format("avro").load(path).count())
"""


# Maven Central does not have the connector of every release; this one works with later ones too.
AVRO: Final = "org.apache.spark:spark-avro_2.13:4.1.1"


def test_packages_come_from_maven(place: Place) -> None:
    with launch(executors=1, packages=[AVRO]):
        assert Kernel(place, PACKAGE).told() == {"rows": 100}


def test_a_package_that_does_not_exist_is_named(place: Place) -> None:
    nothing = "org.apache.spark:no-such-package_2.13:1.0.0"
    with launch(executors=1, packages=[nothing]):
        error = Kernel(place, PACKAGE).told()["error"]
    assert "not found" in error
    assert nothing in error


def test_a_kill_of_the_keeper_leaves_nothing(place: Place, cluster: Cluster) -> None:
    kernel = Kernel.napping(place, 600)
    blocking_until(lambda: executors(place), within=60, meets=lambda found: len(found) == 2)
    place.keeper().kill(signal.SIGKILL)
    blocking_until(lambda: place.processes(_is_sparks), within=10, meets=lambda left: not left)
    kernel.kill()


def _is_sparks(command: str) -> bool:
    """Whether it is a process of the cluster, and not the driver, which is the kernel's own."""
    return "org.apache.spark" in command and "org.apache.spark.deploy.SparkSubmit" not in command


def test_a_name_that_would_lead_its_pages_astray_is_refused(place: Place) -> None:
    with pytest.raises(InvalidOption, match="cannot name") as raised:
        launch("proxy")
    assert "my-proxy" in raised.value.remedy
    assert list(dodas.list()) == []
