"""This machine as an infrastructure."""

from typing import ClassVar

import pytest

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.provision.base import Access, Order, Provisioner
from jupyter_dodas.provision.local import Local
from jupyter_dodas.provision.template import load
from jupyter_dodas.testing.provisioners import ProvisionerContract


class TestLocal(ProvisionerContract):
    keeps: ClassVar[bool] = False
    scales: ClassVar[bool] = False

    @pytest.fixture
    def provisioner(self) -> Provisioner:
        return Local.of({}, Access())

    @pytest.fixture
    def again(self) -> Provisioner:
        return Local.of({}, Access())

    def order(self, name: str, workers: int = 1) -> Order:
        template = load("kubernetes")
        return Order(name, template, template.check({"workers": workers}), "", {})


def test_it_has_no_options() -> None:
    with pytest.raises(InvalidSetting, match="speed"):
        Local.of({"speed": 1}, Access())
