"""What clusters hold, as numbers."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from jupyter_dodas.server.metrics import ClusterMetrics
from jupyter_dodas.spec import Phase, Record


def test_numbers_by_kind_and_phase(record: Callable[..., Record]) -> None:
    failed = record(name="zeta")
    failed = failed.model_copy(update={"status": failed.status.model_copy(update={"phase": Phase.FAILED, "instances": {}})})
    registry = CollectorRegistry()
    registry.register(ClusterMetrics(lambda: [record(), record(name="eta"), failed]))
    text = generate_latest(registry).decode()
    for line in (
        'dodas_clusters{kind="toy",phase="ready"} 2.0',
        'dodas_clusters{kind="toy",phase="failed"} 1.0',
        'dodas_workers{kind="toy"} 2.0',
        'dodas_cores{kind="toy"} 4.0',
        'dodas_memory_bytes{kind="toy"} 2.147483648e+09',
    ):
        assert line in text.splitlines()
    assert "higgs" not in text
