"""Counts for `/metrics`, in Prometheus's text format: kept as plain numbers, read when somebody asks."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from jupyter_dodas.inference.http.log import Entry

__all__ = ["Metrics"]

_BOUNDS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0)
"""Milliseconds at which the histogram has its steps."""

_PREFIX: Final = "dodas_tfaas"


class Metrics(Collector):
    """The counts of one server.

    Parameters
    ----------
    status
        Tells how models and hosts are now; see `Plane.status`.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status
        self._requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._taken: defaultdict[str, int] = defaultdict(int)
        self._given: defaultdict[str, int] = defaultdict(int)
        self._steps: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self.methods: Final[defaultdict[str, int]] = defaultdict(int)
        """Requests by method."""
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, entries: Sequence[Entry]) -> None:
        """Add requests that have ended."""
        for entry in entries:
            model = entry.model
            self.methods[entry.method] += 1
            self._requests[model, entry.status] += 1
            self._taken[model] += entry.taken
            self._given[model] += entry.given
            if model:
                self._steps[model][bisect_left(_BOUNDS, entry.ms)] += 1
                self._seconds[model] += entry.ms / 1000

    def text(self) -> bytes:
        """Return everything as text."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Say nothing in advance: that would ask for the status before there is one."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what is counted, for prometheus_client."""
        requests = CounterMetricFamily(f"{_PREFIX}_requests", "Requests, by model and status.", labels=("model", "status"))
        for (model, status), number in self._requests.items():
            requests.add_metric((model, str(status)), number)
        yield requests
        for name, words, counts in (
            ("received_bytes", "Bytes of bodies that came.", self._taken),
            ("sent_bytes", "Bytes of bodies that went.", self._given),
        ):
            size = CounterMetricFamily(f"{_PREFIX}_{name}", words, labels=("model",))
            for model, number in counts.items():
                size.add_metric((model,), number)
            yield size
        seconds = HistogramMetricFamily(f"{_PREFIX}_request_seconds", "How long requests took.", labels=("model",))
        for model, steps in self._steps.items():
            seconds.add_metric((model,), list(_cumulated(steps)), self._seconds[model])
        yield seconds
        yield from self._gauges()

    def _gauges(self) -> Iterable[Metric]:
        status = self._status()
        for name, words in (("in_flight", "Rows that are with a worker."), ("queued", "Rows that wait.")):
            gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", words, labels=("model", "version"))
            for one in status.get("models", ()):
                gauge.add_metric((one["model"], one["version"]), one[name])
            yield gauge
        hosts = GaugeMetricFamily(f"{_PREFIX}_hosts", "Where models run, by state.", labels=("state",))
        states: defaultdict[str, int] = defaultdict(int)
        for host in status.get("hosts", ()):
            states[host["state"]] += 1
        for state, number in states.items():
            hosts.add_metric((state,), number)
        yield hosts


def _cumulated(steps: Sequence[int]) -> Iterable[tuple[str, int]]:
    total = 0
    for bound, number in zip((*(str(one / 1000) for one in _BOUNDS), "+Inf"), steps, strict=True):
        total += number
        yield bound, total
