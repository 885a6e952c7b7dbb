"""What tests of jobs share: one pool, since what they look at is the jobs and not the pool."""

from collections.abc import Iterator

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from tests.place import Place


@pytest.fixture
def pool(shared_pool: Cluster) -> Iterator[Cluster]:
    """A pool of two workers with a core each. Jobs that a test leaves behind are in nobody's way."""
    yield shared_pool
    shared_pool.remove(shared_pool.queue().index)


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[Cluster]:
    """It, at a place of its own."""
    with pytest.MonkeyPatch.context() as environment:
        place = Place()
        for name, value in place.variables.items():
            environment.setenv(name, value)
        try:
            with dodas.launch("htcondor", name="higgs", workers=2, memory="512 MiB", timeout=240) as made:
                yield made
        finally:
            place.close()
