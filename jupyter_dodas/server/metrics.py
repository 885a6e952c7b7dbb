"""What clusters hold, in the metrics of Jupyter Server. Numbers by kind; no names, since metrics may be read without a sign-in."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jupyter_dodas.limits import NOTHING, held
from jupyter_dodas.spec import Record

__all__ = ["ClusterMetrics"]


class ClusterMetrics(Collector):
    """Counts when it is asked.

    Parameters
    ----------
    records
        Returns all clusters, at once.
    """

    def __init__(self, records: Callable[[], Collection[Record]]) -> None:
        self._records = records

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count clusters, and what they hold."""
        records = self._records()
        clusters = GaugeMetricFamily("dodas_clusters", "Clusters", labels=["kind", "phase"])
        for (kind, phase), number in sorted(Counter((r.spec.kind, r.status.phase) for r in records).items()):
            clusters.add_metric([kind, phase], number)
        yield clusters
        shares = dict.fromkeys(sorted({record.spec.kind for record in records}), NOTHING)
        for record in records:
            shares[record.spec.kind] += held(record.status)
        workers = GaugeMetricFamily("dodas_workers", "Workers of all clusters", labels=["kind"])
        cores = GaugeMetricFamily("dodas_cores", "Cores that workers hold", labels=["kind"])
        memory = GaugeMetricFamily("dodas_memory_bytes", "Memory that workers hold", labels=["kind"])
        for kind, share in shares.items():
            workers.add_metric([kind], share.workers)
            cores.add_metric([kind], share.cores)
            memory.add_metric([kind], share.memory)
        yield from (workers, cores, memory)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that registering them counts nothing."""
        for name, labels in (
            ("clusters", ["kind", "phase"]),
            ("workers", ["kind"]),
            ("cores", ["kind"]),
            ("memory_bytes", ["kind"]),
        ):
            yield GaugeMetricFamily(f"dodas_{name}", "", labels=labels)
