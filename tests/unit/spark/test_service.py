"""Spark's descriptions keep the contract of services, and bad options are refused with a sentence."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jupyter_dodas.errors import InvalidOption, MissingSoftware
from jupyter_dodas.options import validate
from jupyter_dodas.services.base import Endpoint, Instance, Site
from jupyter_dodas.services.spark.options import SparkOptions
from jupyter_dodas.services.spark.service import SparkService
from jupyter_dodas.testing.services import ServiceContract
from jupyter_dodas.testing.stores import a_spec

HEAVY = ("pyspark", "py4j", "pandas", "numpy", "pyarrow", "grpc", "anyio", "psutil", "urllib.request")


class TestContract(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"connect": True, "packages": ["org.apache.spark:spark-avro_2.13:4.3.0"]},
        {"configuration": {"spark.sql.shuffle.partitions": "4"}, "driver_memory": "2 GiB"},
        {"executors": 3},
    )

    @pytest.fixture
    def service(self) -> SparkService:
        return SparkService()


def describe(name: str, **options: Any) -> Instance:
    service = SparkService()
    asked = validate(SparkOptions, "spark", options)
    role = {role.name: role for role in service.roles(asked)}[name.partition("-")[0]]
    ports = {"rpc": 1, "web": 2, "control": 3, "grpc": 4}
    site = Site("higgs", {one: Endpoint("127.0.0.1", ports) for one in ("master", "worker-1", "connect")}, Path("/secrets"))
    return service.instance(name, role, asked, a_spec(kind="spark", options=asked.model_dump(mode="json")), site)


def test_executors_are_workers() -> None:
    assert validate(SparkOptions, "spark", {"executors": 5}) == validate(SparkOptions, "spark", {"workers": 5})
    assert "workers" in SparkOptions.model_json_schema()["properties"]
    assert "executors" not in SparkOptions.model_json_schema()["properties"]


def test_a_worker_offers_all_that_was_asked_for() -> None:
    assert {"--cores=3", f"--memory={2**30}"} <= set(describe("worker-1", cores=3, memory="1 GiB").command)


def test_a_connect_server_is_a_role_of_its_own() -> None:
    assert [role.name for role in SparkService().roles(SparkOptions())] == ["master", "worker"]
    command = describe("connect", connect=True, packages=["a:b:1"], configuration={"spark.x": "y"}).command
    assert {"--package=a:b:1", "--setting=spark.x=y"} <= set(command)


def test_where_names_lead_to_instances_they_listen_on_an_address_of_their_own() -> None:
    site = Site("higgs", {"worker-1": Endpoint("higgs-worker-1", {"rpc": 1, "web": 2, "control": 3})}, Path("/secrets"), "0.0.0.0")
    site = replace(site, endpoints={**site.endpoints, "master": Endpoint("higgs-master", {"rpc": 4, "web": 5})})
    role = next(role for role in SparkService().roles(SparkOptions()) if role.name == "worker")
    spec = a_spec(kind="spark", options=SparkOptions().model_dump(mode="json"))
    worker = SparkService().instance("worker-1", role, SparkOptions(), spec, site)
    assert {"--host=higgs-worker-1", "--listen=0.0.0.0", "--master=higgs-master:4"} <= set(worker.command)
    assert worker.any_port
    assert not [word for word in describe("worker-1").command if word.startswith("--listen")]


def test_clients_are_told_a_name_that_they_send_tokens_to() -> None:
    site = Site("higgs", {name: Endpoint("127.0.0.1", {"rpc": 1, "web": 2, "grpc": 3}) for name in ("master", "connect")}, Path())
    assert SparkService().addresses(site) == {
        "master": "spark://127.0.0.1:1",
        "dashboard": "http://127.0.0.1:2",
        "connect": "sc://localhost:3",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"executors": -1}, "executors=-1"),
        ({"executors": 1.5}, "whole number"),
        ({"memory": "100 MiB"}, "512 MiB"),
        ({"driver_memory": "100 MiB"}, "512 MiB in each driver"),
        ({"groups": {"small": {"memory": "128 MiB"}}}, "in each small"),
        ({"packages": ["spark-avro"]}, "group:artifact:version"),
        ({"packages": ["a:b:1 --conf x"]}, "group:artifact:version"),
        ({"configuration": {"spark.authenticate": "false"}}, "is set by the cluster"),
        ({"configuration": {"spark.authenticate.secret": "x"}}, "looks like a secret"),
        ({"configuration": {"spark.ui.filters": ""}}, "is set by the cluster"),
        ({"configuration": {"spark.acls.enable": "false"}}, "is set by the cluster"),
        ({"configuration": {"spark.master": "local"}}, "is set by the cluster"),
        ({"configuration": {"spark.hadoop.fs.s3a.secret.key": "x"}}, "looks like a secret"),
        ({"configuration": {"shuffle": "4"}}, "no setting of Spark"),
        ({"configuration": {"spark.x y": "4"}}, "no setting of Spark"),
        ({"configuration": {"spark.executor.memory": "4g"}}, "do not fit"),
        ({"configuration": {"spark.executor.memory": "lots"}}, "no size"),
        ({"configuration": {"spark.executor.cores": "2"}}, "do not fit"),
        ({"configuration": {"spark.executor.cores": "none"}}, "do not fit"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        validate(SparkOptions, "spark", options)
    assert says in str(refused.value)


def test_executors_may_be_smaller_than_their_workers() -> None:
    options = {"memory": "2 GiB", "cores": 4, "configuration": {"spark.executor.memory": "600m", "spark.executor.cores": "2"}}
    assert validate(SparkOptions, "spark", options).memory == 2 * 2**30


def test_without_java_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("jupyter_dodas.services.spark.java._USUAL", ())
    with pytest.raises(MissingSoftware, match="apt-get install default-jre-headless"):
        SparkService().require(SparkOptions())


def test_it_tells_what_it_runs_on() -> None:
    assert re.match(r"Spark 4\.\d+\.\d+ on Java \d+", SparkService().require(SparkOptions()))


def test_describing_imports_nothing_heavy() -> None:
    program = (
        "import sys, json; from jupyter_dodas.services.spark.service import SparkService; import jupyter_dodas.services.spark.link;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert not set(HEAVY) & set(loaded)
