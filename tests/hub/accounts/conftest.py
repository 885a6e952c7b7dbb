"""A hub that is root, in a mount namespace of its own, with an account of the machine for each user; one for each file of tests."""

from collections.abc import Iterator

import pytest

from tests.hubs import Browser
from tests.machine import Machine
from tests.roothub import RootHub, signed_in


@pytest.fixture(scope="module")
def hub() -> Iterator[RootHub]:
    with Machine() as machine, RootHub(machine) as made:
        yield made


@pytest.fixture
def alice(hub: RootHub) -> Iterator[Browser]:
    yield from signed_in(hub, "alice")


@pytest.fixture
def bob(hub: RootHub) -> Iterator[Browser]:
    yield from signed_in(hub, "bob")
