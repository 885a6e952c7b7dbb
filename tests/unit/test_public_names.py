"""What others may import: every module says it, both faces have the same, and asking for little costs little."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest

import jupyter_dodas
from jupyter_dodas import aio, cluster
from jupyter_dodas.services.tfaas.model import AsyncModel, Model

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(jupyter_dodas.__path__, "jupyter_dodas.") if not found.name.endswith("__main__")
)


def imports(module: ModuleType) -> Iterator[tuple[str, str]]:
    """What a module takes from others of this package: their names, and what it takes."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jupyter_dodas"):
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_takes_from_others_only_what_they_offer(name: str) -> None:
    module = importlib.import_module(name)
    for giver, taken in imports(module):
        offered = getattr(importlib.import_module(giver), "__all__", ())
        assert taken in offered or f"{giver}.{taken}" in MODULES, f"{taken} is not among the public names of {giver}"


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_offers_is_there(name: str) -> None:
    module = importlib.import_module(name)
    offered: list[str] = getattr(module, "__all__", [])
    assert [word for word in offered if not hasattr(module, word)] == []
    assert len(set(offered)) == len(offered)


def signatures(face: type) -> Mapping[str, list[tuple[str, Any, Any]]]:
    """Names, kinds and defaults of the parameters of every public verb."""
    verbs = inspect.getmembers(face, inspect.isfunction)
    return {name: parameters(verb) for name, verb in verbs if not name.startswith("_")}


def parameters(verb: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(verb).parameters.values()]


def test_the_two_faces_of_a_cluster_agree() -> None:
    """`follow` and `tail` are for those who wait, `warm` for launches; a twin for blocking code is not a verb of its own."""
    own = {"follow", "tail", "warm", "connection_now"}
    asynchronous = {name: of for name, of in signatures(aio.Cluster).items() if not name.startswith("blocking_")}
    blocking = signatures(cluster.Cluster)
    assert {name: of for name, of in asynchronous.items() if name not in own} == dict(blocking)


def test_the_two_faces_of_a_model_agree() -> None:
    assert signatures(AsyncModel) == signatures(Model)


def test_the_two_faces_of_the_package_agree() -> None:
    for name in ("connect", "kinds", "launch", "list", "quota"):
        asked, offered = ({one[0]: one[1:] for one in parameters(getattr(face, name))} for face in (aio, cluster))
        assert asked == offered, name


def test_everything_public_is_there() -> None:
    for name in [*jupyter_dodas.__all__, "toy", "dask", "aio"]:
        assert getattr(jupyter_dodas, name) is not None
        assert name in dir(jupyter_dodas)
    with pytest.raises(AttributeError, match="no attribute 'dusk'"):
        _ = jupyter_dodas.dusk


HEAVY = {"httpx", "typer", "rich", "distributed", "dask", "ipywidgets", "cryptography", "numpy", "tornado", "anyio", "traitlets"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import jupyter_dodas", HEAVY | {"pydantic", "asyncio"}),
        ("import jupyter_dodas.aio", HEAVY),
        ("import jupyter_dodas.cluster", HEAVY - {"anyio"}),
        ("import jupyter_dodas.controller.loop, jupyter_dodas.services.dask.service", HEAVY),
        ("import jupyter_dodas.backends.local.keeper", HEAVY | {"pydantic", "asyncio", "logging", "subprocess"}),
    ],
)
def test_an_import_brings_nothing_that_it_does_not_need(code: str, heavy: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) & heavy == set()
