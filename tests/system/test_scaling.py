"""Clusters that grow and shrink: with the work, in groups, within limits, and never at the cost of work."""

import time
from collections import Counter
from collections.abc import Mapping

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import InvalidOption, QuotaExceeded, UnknownOption
from jupyter_dodas.spec import Condition, Record
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place


def workers(cluster: Cluster) -> Mapping[str, int]:
    """How many workers of each group answer and stay."""
    instances = cluster.record().status.instances.values()
    return Counter(i.group for i in instances if i.group and i.condition is Condition.READY)


def test_workers_follow_the_work_and_none_is_lost(place: Place) -> None:
    with dodas.toy(name="higgs", adapt=[1, 3]) as cluster, cluster.client() as client:
        assert workers(cluster) == {"worker": 1}
        client.submit(0.5, times=12)
        blocking_until(lambda: workers(cluster), within=20, meets=lambda found: found == {"worker": 3})
        client.submit(4.0)  # one works on, while the others are not needed any more
        assert sorted(client.result() for _ in range(12)) == [0.5] * 12
        blocking_until(lambda: workers(cluster), within=20, meets=lambda found: found == {"worker": 1})
        assert client.result() == 4.0
        assert cluster.record().status.targets == {"worker": 1}


def test_a_smaller_size_waits_for_those_at_work(place: Place) -> None:
    with dodas.toy(name="higgs", workers=3) as cluster, cluster.client() as client:
        client.submit(1.0, times=3)
        blocking_until(lambda: cluster.record().status.idle_since, within=5, meets=lambda since: since is None)
        began = time.monotonic()
        cluster.scale(1)
        blocking_until(cluster.record, within=5, meets=_some_are_draining)
        assert [client.result() for _ in range(3)] == [1.0] * 3
        cluster.wait(timeout=20)
        assert workers(cluster) == {"worker": 1}
        assert time.monotonic() - began > 0.5


def _some_are_draining(record: Record) -> bool:
    return any(instance.condition is Condition.DRAINING for instance in record.status.instances.values())


def test_groups_have_shapes_and_sizes_of_their_own(place: Place) -> None:
    groups = {"gpu": {"workers": 1, "cores": 4, "memory": "4 GiB", "gpus": 1}, "spare": {"adapt": [0, 2]}}
    with dodas.toy(name="higgs", workers=2, groups=groups) as cluster:
        instances = cluster.record().status.instances
        assert sorted(instances) == ["gpu-1", "hub", "worker-1", "worker-2"]
        assert (instances["gpu-1"].cores, instances["gpu-1"].memory) == (4, 4 * 2**30)
        cluster.scale(2, group="gpu")
        cluster.adapt(1, 2, group="spare")
        blocking_until(lambda: workers(cluster), within=20, meets=lambda found: found == {"gpu": 2, "worker": 2, "spare": 1})
        assert set(cluster.logs("gpu")) == {"gpu-1", "gpu-2"}
        with pytest.raises(UnknownOption, match="gpu"):
            cluster.scale(1, group="gpus")
        with pytest.raises(InvalidOption):
            cluster.scale(-1, group="gpu")
        assert workers(cluster) == {"gpu": 2, "worker": 2, "spare": 1}


def test_limits_hold_back_what_does_not_fit_now_and_refuse_what_never_can(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_LIMITS_WORKERS", "4")
    monkeypatch.setenv("DODAS_LIMITS_MEMORY", "100 GiB")
    with pytest.raises(QuotaExceeded, match="at most 4 workers"):
        dodas.toy(name="higgs", workers=5)
    assert len(dodas.list()) == 0
    with dodas.toy(name="higgs", workers=3) as first:
        with dodas.toy(name="top", workers=1) as second:
            with pytest.raises(QuotaExceeded):
                second.scale(5)
            second.scale(3)
            problem = blocking_until(lambda: second.record().status.problem, within=10)
            assert problem.code == "limited"
            assert workers(second) == {"worker": 1}
            waiting = dodas.toy(name="w", workers=2, wait=False)
            problem = blocking_until(lambda: waiting.record().status.problem, within=10)
            assert (problem.code, waiting.phase(), problem.retry) == ("queued", "pending", {})  # there is no room at all
            used = {what: amount for what, amount, _ in dodas.quota().rows()}
            assert (used["clusters"], used["workers"], dodas.quota().enforced) == (2, 4, False)
            first.scale(1)
            blocking_until(lambda: workers(second), within=20, meets=lambda found: found == {"worker": 3})
            assert waiting.phase() == "pending"
        waiting.wait(timeout=30)
        assert workers(waiting) == {"worker": 2}
        waiting.stop()
