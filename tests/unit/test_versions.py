"""What differs between two environments, in words; and what Dask's scheduler makes of it."""

import platform
from collections.abc import Mapping
from importlib.metadata import version

import distributed.versions
import pytest

from jupyter_dodas.services.dask.mismatch import forgive
from jupyter_dodas.versions import differences, installed, remedy

HERE = {"python": "3.11.9", "dask": "2026.8.0", "numpy": "2.4.6"}


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (HERE, []),
        ({**HERE, "python": "3.11.2"}, []),
        ({**HERE, "lz4": "4.4.0"}, []),
        ({**HERE, "python": "3.13.1"}, ["Python 3.13 (here 3.11)"]),
        ({**HERE, "dask": "2026.8.1"}, ["dask 2026.8.1 (here 2026.8.0)"]),
        ({"python": "3.11.9", "dask": "2026.8.0"}, ["no numpy (here 2.4.6)"]),
    ],
)
def test_what_matters_is_said(there: Mapping[str, str], says: list[str]) -> None:
    assert differences(there, HERE) == says


def test_the_remedy_names_what_can_be_installed_here() -> None:
    assert remedy({"python": "3.11.9", "dask": "2026.8.1"}, HERE).endswith("pip install dask==2026.8.1")
    assert "pip" not in remedy({**HERE, "python": "3.13.1"}, HERE)


def test_only_what_is_installed_has_a_version() -> None:
    assert installed(("dask", "no-such-package")) == {"python": platform.python_version(), "dask": version("dask")}


@pytest.mark.parametrize(("python", "warns"), [("3.11.2.final.0", False), ("3.13.1.final.0", True)])
def test_dask_warns_of_what_matters_only(monkeypatch: pytest.MonkeyPatch, python: str, warns: bool) -> None:
    monkeypatch.setattr(distributed.versions, "error_message", distributed.versions.error_message)
    forgive()
    scheduler, client = ({"packages": {"python": it, "dask": "2026.8.0"}} for it in (python, "3.11.9.final.0"))
    said = distributed.versions.error_message(scheduler, {"worker-1": scheduler}, client)["warning"]  # type: ignore[no-untyped-call]
    assert bool(said) is warns
