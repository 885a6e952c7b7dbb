"""What a TFaaS endpoint can be asked for, and what of it reaches the server and its replicas."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.errors import InvalidOption, MissingSoftware
from jupyter_dodas.options import validate
from jupyter_dodas.services.base import Endpoint, Instance, Site
from jupyter_dodas.services.tfaas.options import TfaasOptions
from jupyter_dodas.services.tfaas.service import TfaasService
from jupyter_dodas.testing.stores import a_spec

HEAVY = ("numpy", "tensorflow", "keras", "ai_edge_litert", "starlette", "uvicorn", "msgspec", "httpx", "cryptography", "anyio")
PLACE = Site(
    "higgs", {"server": Endpoint("127.0.0.1", {"http": 1, "workers": 2, "control": 3})}, Path("/secrets"), kept=Path("/kept")
)


def describe(name: str, site: Site = PLACE, **options: Any) -> Instance:
    asked = validate(TfaasOptions, "tfaas", options)
    server, replica = TfaasService().roles(asked)
    spec = a_spec(kind="tfaas", options=asked.model_dump(mode="json"))
    return TfaasService().instance(name, server if name == "server" else replica, asked, spec, site)


def test_replicas_are_workers() -> None:
    assert validate(TfaasOptions, "tfaas", {"replicas": 5}) == validate(TfaasOptions, "tfaas", {"workers": 5})
    assert "replicas" not in TfaasOptions.model_json_schema()["properties"]
    assert validate(TfaasOptions, "tfaas", {}).workers == 1


def test_the_server_is_told_who_may_call() -> None:
    command = describe(
        "server",
        issuer="https://iam.example/",
        audience=["a", "b"],
        callers=["cms"],
        publishers=["cms/tagging"],
        anonymous="predict",
    ).command
    assert {"--issuer=https://iam.example/", "--audience=a", "--audience=b", "--groups=cms", "--anonymous=predict"} <= set(command)
    assert {"--upload-groups=cms/tagging", "--publish-groups=cms/tagging", "--token-file=/secrets/page.token"} <= set(command)


def test_what_is_not_asked_for_is_not_told() -> None:
    command = " ".join(describe("server").command)
    assert not [word for word in ("issuer", "audience", "groups", "rate") if f"--{word}" in command]
    assert "--anonymous=none" in command


def test_models_end_with_the_endpoint_unless_they_have_a_folder() -> None:
    assert "--folder=/kept/models" in describe("server").command
    assert "--folder=/srv/models" in describe("server", store="/srv/models").command
    assert validate(TfaasOptions, "tfaas", {"store": "~/models"}).store == str(Path.home() / "models")


def test_a_replica_is_told_where_it_joins() -> None:
    replica = describe("gpu-2", groups={"gpu": {"cores": 3, "memory": "4 GiB"}})
    assert {"--server=127.0.0.1:2", "--name=gpu-2", "--certificates=/secrets", "--folder=/kept/replicas/gpu-2"} <= set(
        replica.command
    )
    assert replica.group == "gpu"


def test_where_names_lead_to_instances_the_server_listens_on_an_address_of_its_own() -> None:
    site = replace(PLACE, endpoints={"server": Endpoint("higgs-server", {"http": 1, "workers": 2, "control": 3})}, listen="0.0.0.0")
    assert "--host=0.0.0.0" in describe("server", site).command
    assert "--server=higgs-server:2" in describe("worker-1", site).command
    assert TfaasService().addresses(site) == {"page": "http://higgs-server:1"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"replicas": -1}, "replicas=-1"),
        ({"memory": "100 MiB"}, "256 MiB"),
        ({"groups": {"small": {"memory": "128 MiB"}}}, "256 MiB"),
        ({"anonymous": "everything"}, "anonymous='everything'"),
        ({"issuer": "https://iam.example/"}, "an issuer needs an audience"),
        ({"callers": ["cms"]}, "none is given"),
        ({"rate": 0}, "rate=0"),
        ({"rate": float("inf")}, "rate=inf"),
        ({"deadline": -1}, "deadline=-1"),
        ({"target": 0}, "target=0"),
        ({"resident": 0}, "resident=0"),
        ({"model_memory": "1 KiB"}, "model_memory"),
        ({"replica": 2}, "replica"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        validate(TfaasOptions, "tfaas", options)
    assert says in str(refused.value)


def test_without_its_libraries_it_is_said_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.services.tfaas.service.find_spec", lambda _: None)
    with pytest.raises(MissingSoftware, match=r"jupyter-dodas\[tfaas\]"):
        TfaasService().require(TfaasOptions())


def test_it_tells_what_it_runs_on() -> None:
    assert TfaasService().require(TfaasOptions()).startswith("LiteRT ")


def test_describing_imports_nothing_heavy() -> None:
    program = "import sys, json; import jupyter_dodas.services.tfaas.service; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert not set(HEAVY) & set(loaded)
