"""An Infrastructure Manager for all tests that leave it running, and the recipes that it asks for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.im import InfrastructureManager
from tests.provision.recipes import recipes as serving

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: made, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: admin, user: {token: only-for-the-admin}}]
contexts: [{name: made, context: {cluster: made, user: admin}}]
current-context: made
"""


@pytest.fixture(scope="session")
def recipes() -> Iterator[str]:
    """Address of the recipes."""
    with serving() as address:
        yield address


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every infrastructure gives as its kubeconfig."""
    made = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
    made.write_text(KUBECONFIG)
    return made


@pytest.fixture(scope="session")
def im(tmp_path_factory: pytest.TempPathFactory, kubeconfig: Path) -> Iterator[InfrastructureManager]:
    """One that no test ends. What a test creates in it, it deletes."""
    with InfrastructureManager(tmp_path_factory.mktemp("im"), kubeconfig=kubeconfig) as found:
        yield found
