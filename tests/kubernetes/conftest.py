from collections.abc import Iterator

import pytest

from tests.namespace import Namespace
from tests.place import Place


@pytest.fixture
def namespace(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    """A namespace for one test, which goes with it."""
    made = Namespace(place, monkeypatch)
    yield made
    made.close()
