"""What is at work: a cell or a cluster."""

from typing import Any

import pytest

from jupyter_dodas.server.activity import busy
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Phase, Record


def cluster(phase: Phase, idle_since: float | None = None, kind: str = "toy") -> Record:
    spec = ClusterSpec(name="one", uid="1", kind=kind, owner="alice", created=0, options={})
    return Record(spec=spec, status=ClusterStatus(uid="1", phase=phase, idle_since=idle_since))


@pytest.mark.parametrize(
    ("states", "clusters", "at_work"),
    [
        ([], [], False),
        (["idle", "starting", "dead"], [], False),
        (["idle", "busy"], [], True),
        ([], [cluster(Phase.READY)], True),
        ([], [cluster(Phase.DEGRADED)], True),
        ([], [cluster(Phase.STARTING)], True),
        ([], [cluster(Phase.READY, idle_since=5.0)], False),
        ([], [cluster(Phase.PENDING), cluster(Phase.STOPPING), cluster(Phase.FAILED)], False),
        # The notebook itself is a cluster, too, and says nothing of whether anybody uses it.
        ([], [cluster(Phase.READY, kind="notebook")], False),
    ],
)
def test_what_counts(states: list[str], clusters: list[Record], at_work: bool) -> None:
    kernels: list[dict[str, Any]] = [{"id": str(number), "execution_state": state} for number, state in enumerate(states)]
    assert (busy(kernels, clusters) is not None) is at_work
