"""What all suites share: a place of its own for a test that runs something, and reproducible property tests."""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).resolve().parent
# The toy kind is found by its entry point, as that of any package; helpers are modules of this folder.
sys.path[:0] = [str(TESTS / "toy"), str(TESTS.parent)]

from tests.place import Place  # noqa: E402 - it is found from here on

settings.register_profile(
    "dodas",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors, HealthCheck.function_scoped_fixture],
)
settings.load_profile("dodas")


def pytest_addoption(parser: pytest.Parser) -> None:
    faults = parser.getgroup("faults")
    faults.addoption("--rounds", type=int, default=10, help="how many rounds of faults to run")
    faults.addoption("--seed", type=int, default=None, help="the seed of the first round; those after it count up")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("--seed")
        first = random.SystemRandom().randrange(10_000) * 10 if first is None else first
        metafunc.parametrize("round_seed", range(first, first + metafunc.config.getoption("--rounds")), ids="seed-{}".format)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A state root for one test. What runs there is ended with the test, and must end."""
    for name in list(os.environ):
        if name.startswith("DODAS_") and not name.startswith("DODAS_TEST_"):
            monkeypatch.delenv(name)
    made = Place()
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()
