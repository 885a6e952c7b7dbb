"""Records as the controller writes them, of clusters for which nothing runs."""

import time

from jupyter_dodas import registry
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Condition, InstanceStatus, Phase, PhaseChange, Step

__all__ = ["spec", "status"]

WORKERS = 4


def spec(number: int) -> ClusterSpec:
    """What was asked of a cluster of Dask."""
    options = registry.service("dask").Options().model_dump(mode="json")
    return ClusterSpec(name=f"dask-{number}", uid=f"{number:012x}", kind="dask", owner="ada", created=time.time(), options=options)


def status(uid: str, moment: float) -> ClusterStatus:
    """A cluster with some workers, ready since this moment."""
    workers = {
        f"worker-{number}": InstanceStatus(
            role="worker", group="worker", condition=Condition.READY, cores=1, memory=2 << 30, since=moment, started=moment
        )
        for number in range(1, WORKERS + 1)
    }
    ports = {"comm": 40000, "dashboard": 40001, "control": 40002}
    scheduler = InstanceStatus(role="scheduler", condition=Condition.READY, ports=ports, since=moment, started=moment)
    return ClusterStatus(
        uid=uid,
        observed_generation=1,
        phase=Phase.READY,
        history=tuple(PhaseChange(phase=phase, at=moment) for phase in (Phase.PENDING, Phase.STARTING, Phase.READY)),
        steps=tuple(Step(name=name, started=moment, ended=moment) for name in ("Scheduler answers", "Workers register")),
        instances={"scheduler": scheduler, **workers},
        targets={"worker": WORKERS},
        addresses={"scheduler": "tls://127.0.0.1:40000", "dashboard": "http://127.0.0.1:40001"},
        ready_at=moment,
    )
