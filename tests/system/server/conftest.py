"""A Jupyter Server with the extension that a module of tests shares, in which a test leaves no cluster."""

from collections.abc import Iterator

import pytest

from tests.jupyter import JupyterServer
from tests.place import Place


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


@pytest.fixture(scope="module")
def shared(shared_place: Place) -> Iterator[JupyterServer]:
    server = JupyterServer(shared_place.variables)
    yield server
    server.close()


@pytest.fixture
def server(shared: JupyterServer) -> Iterator[JupyterServer]:
    """The server, in which a test leaves no cluster."""
    yield shared
    names = [cluster["name"] for cluster in shared.client.get("clusters").json()["clusters"]]
    for name in names:
        shared.client.delete(f"clusters/{name}")
    for name in names:
        shared.until_gone(name)
