"""Hubs for the tests of signing in: one for a module where the tests do not change it, one for a test where they do."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.hubs import PEER, PROXY, Hub


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = next((program for program in ("node", "npm") if shutil.which(program) is None), None)
    reason = f"{missing} is not installed" if missing else "" if PROXY.exists() else "the proxy is missing: npm ci in hub_config"
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module", params=["development", "oidc-provider"])
def any_hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A hub that signs in with our provider, then one that does with another."""
    peer = request.param == "oidc-provider"
    if peer and not (PEER / "node_modules").exists():
        pytest.skip("oidc-provider is missing: npm ci in tests/hub/peer")
    with Hub(peer=peer) as hub:
        yield hub


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub that the tests of a module share."""
    with Hub() as made:
        yield made


@pytest.fixture
def make_hub() -> Iterator[Callable[..., Hub]]:
    """Make hubs that end with the test."""
    with ExitStack() as stack:

        def make(lines: str = "", **settings: Any) -> Hub:
            return stack.enter_context(Hub(lines, **settings))

        yield make
