"""Places that change under a cluster: a machine started anew, temporary files cleared away, a home that several machines share."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import ClusterFailed, NotYours
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place


def move(place: Place, name: str, to: str) -> None:
    """Write into a spec what another machine, or this one before its restart, would have written."""
    spec = place.state / "clusters" / name / "spec.json"
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "place": to}))


def nap(cluster: Cluster) -> None:
    with cluster.client() as client:
        client.submit(0.01, times=4)
        assert [client.result() for _ in range(4)] == [0.01] * 4


@pytest.fixture
def rebooted(place: Place) -> Cluster:
    """What is left of a cluster once its machine was switched off and on: the record, and nothing else."""
    cluster: Cluster = dodas.toy(name="higgs", workers=1)
    here = cluster.record().spec.place
    place.keeper().kill()
    blocking_until(place.processes, within=5, meets=lambda left: not left)
    shutil.rmtree(place.runtime)
    move(place, "higgs", f"{here.partition('/')[0]}/another-boot")
    return cluster


def test_after_a_restart_of_the_machine_it_reads_failed(place: Place, rebooted: Cluster) -> None:
    assert rebooted.phase() is Phase.FAILED
    assert [one.phase() for one in dodas.list()] == [Phase.FAILED]
    with pytest.raises(ClusterFailed, match="machine was restarted"):
        rebooted.scale(2)
    assert place.processes() == [], "looking starts nothing"


def test_after_a_restart_of_the_machine_it_can_be_started_again(place: Place, rebooted: Cluster) -> None:
    rebooted.restart(timeout=60)
    assert rebooted.phase() is Phase.READY
    nap(rebooted)
    rebooted.stop()


def test_after_a_restart_of_the_machine_it_can_be_dismissed(place: Place, rebooted: Cluster) -> None:
    rebooted.stop()
    assert len(dodas.list()) == 0


def test_a_keeper_that_nobody_can_find_ends_with_all_it_keeps(place: Place) -> None:
    """Systems clear temporary folders away, when a user logs out or after days, whoever still uses them."""
    cluster = dodas.toy(name="higgs", workers=1, child=True)
    shutil.rmtree(place.runtime)
    assert cluster.phase() is Phase.FAILED
    blocking_until(place.processes, within=10, meets=lambda left: not left)
    cluster.restart(timeout=60)
    nap(cluster)
    cluster.stop()


def test_of_two_keepers_the_one_that_is_found_stays(place: Place) -> None:
    cluster = dodas.toy(name="higgs", workers=1)
    before = place.processes()
    shutil.rmtree(place.runtime)
    cluster.restart(timeout=60)
    blocking_until(lambda: [process for process in before if process.alive()], within=10, meets=lambda left: not left)
    blocking_until(cluster.phase, within=10, meets=lambda phase: phase is Phase.READY)
    nap(cluster)
    cluster.stop()


def test_a_cluster_of_another_machine_is_seen_and_left_alone(place: Place) -> None:
    other = dodas.toy(name="higgs", workers=1)
    place.keeper().kill()
    blocking_until(place.processes, within=5, meets=lambda left: not left)
    move(place, "higgs", "elsewhere/boot")
    status = (place.state / "clusters" / "higgs" / "status.json").read_bytes()
    with dodas.toy(name="top", workers=1):
        assert {one.name: one.phase() for one in dodas.list()} == {"higgs": Phase.READY, "top": Phase.READY}
        for change in (other.stop, lambda: other.scale(2), lambda: other.keep(hours=1)):
            with pytest.raises(NotYours, match="Log in to elsewhere"):
                change()
    assert (place.state / "clusters" / "higgs" / "status.json").read_bytes() == status, "its own controller alone writes it"


def test_half_made_and_half_removed_records_are_swept_up(place: Place) -> None:
    folder = place.state / "clusters"
    for left, age in ((".higgs.0123", 100), (".top.4567.gone", 100), (".young.89ab", 0)):
        (folder / left).mkdir(parents=True)
        (folder / left / "status.json").write_text("{")
        (folder / left).touch()
        _make_older(folder / left, age)
    with dodas.toy(name="higgs", workers=0) as cluster:
        assert [one.name for one in dodas.list()] == ["higgs"]
        assert cluster.phase() is Phase.READY
        assert sorted(path.name for path in folder.iterdir()) == [".young.89ab", "higgs"]


def _make_older(folder: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(folder, (at, at))


def test_a_stopped_controller_does_not_stop_the_work(place: Place) -> None:
    """Whoever has a client needs neither controller nor keeper."""
    with dodas.toy(name="higgs", workers=1) as cluster, cluster.client() as client:
        controller = place.controller()
        controller.kill(signal.SIGSTOP)
        client.submit(0.01, times=4)
        assert [client.result() for _ in range(4)] == [0.01] * 4
        assert cluster.phase() is Phase.READY
        controller.kill(signal.SIGCONT)
