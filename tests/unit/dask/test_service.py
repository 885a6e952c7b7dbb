"""Dask's descriptions keep the contract of services, and say what this kind adds."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from jupyter_dodas.errors import InvalidOption, MissingSoftware
from jupyter_dodas.options import validate
from jupyter_dodas.services.base import Endpoint, Instance, Site
from jupyter_dodas.services.dask import service as described
from jupyter_dodas.services.dask.service import DaskOptions, DaskService
from jupyter_dodas.testing.services import ServiceContract
from jupyter_dodas.testing.stores import a_spec

HEAVY = ("distributed", "dask", "bokeh", "tornado", "cryptography", "httpx", "anyio", "numpy")


class TestContract(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({"threads": 2}, {"spill": False}, {"target": 0.5}, {"ship": False})

    @pytest.fixture
    def service(self) -> DaskService:
        return DaskService()


def describe(name: str, *, host: str = "127.0.0.1", **options: Any) -> Instance:
    service = DaskService()
    asked = validate(DaskOptions, "dask", options)
    role = {role.name: role for role in service.roles(asked)}["scheduler" if name == "scheduler" else "worker"]
    group = asked.all_groups().get(name.rpartition("-")[0], asked)
    ports = {"comm": 1, "dashboard": 2, "control": 3}
    site = Site("higgs", {"scheduler": Endpoint("127.0.0.1", ports), "worker-1": Endpoint(host, {})}, Path("/secrets"))
    return service.instance(name, role, group, a_spec(kind="dask", options=asked.model_dump(mode="json")), site)


def test_a_worker_offers_its_group_and_gpus_to_tasks() -> None:
    groups = {"gpu": {"gpus": 2, "cores": 4}}
    assert "--resource=worker=1" in describe("worker-1").command
    command = describe("gpu-1", groups=groups).command
    assert {"--resource=gpu=4", "--resource=GPU=2", "--threads=4"} <= set(command)


@pytest.mark.parametrize(("options", "threads", "each"), [({"cores": 4}, 4, 1), ({"cores": 4, "threads": 2}, 2, 2)])
def test_threads_share_the_cores(options: dict[str, Any], threads: int, each: int) -> None:
    instance = describe("worker-1", **options)
    assert f"--threads={threads}" in instance.command
    assert instance.variables["OMP_NUM_THREADS"] == str(each)


def test_the_users_variables_win() -> None:
    instance = describe("worker-1", environment={"variables": {"OMP_NUM_THREADS": "7"}})
    assert instance.variables["OMP_NUM_THREADS"] == "7"


def test_a_worker_listens_where_its_place_is() -> None:
    assert "--host=10.0.0.7" in describe("worker-1", host="10.0.0.7").command
    assert not [word for word in describe("worker-2").command if word.startswith("--host")]


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"target": 0}, {"target": float("nan")}, {"spill": "perhaps"}, {"memory": "100 MiB"}]
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        validate(DaskOptions, "dask", options)


@pytest.mark.parametrize("library", ["distributed", "cryptography"])
def test_missing_software_has_a_remedy(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == library else ModuleSpec(name, None)

    monkeypatch.setattr(described, "find_spec", find)
    with pytest.raises(MissingSoftware, match=rf'{library}[\s\S]*pip install "jupyter-dodas\[dask\]"'):
        DaskService().require(DaskOptions())


def test_it_tells_what_it_runs_on() -> None:
    assert re.fullmatch(r"distributed 20\d\d\.\d+\.\d+", DaskService().require(DaskOptions()))


def test_describing_imports_nothing_heavy() -> None:
    code = f"""
import sys
from jupyter_dodas.services.dask.service import DaskService
DaskService().roles(DaskService.Options())
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_preloading_starts_no_thread_and_no_bokeh() -> None:
    code = f"""
import importlib, sys, threading
for module in {DaskService.preload}:
    importlib.import_module(module)
print(threading.active_count(), "bokeh" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]
