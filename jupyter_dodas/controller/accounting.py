"""Accounting: what a cluster took, once it has ended. Pure."""

from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Phase, Receipt

__all__ = ["receipt"]


def receipt(spec: ClusterSpec, status: ClusterStatus, now: float) -> Receipt:
    """Make the line for the accounts."""
    start = next((change.at for change in status.history if change.phase is Phase.STARTING), now)
    lived = [change.phase for change in status.history if change.phase not in (Phase.STOPPING, Phase.STOPPED)]
    failed = lived[-1:] == [Phase.FAILED]
    return Receipt(
        name=spec.name,
        uid=spec.uid,
        kind=spec.kind,
        owner=spec.owner,
        start=start,
        end=now,
        wall_seconds=round(now - start, 3),
        cpu_seconds=round(status.usage.cpu_seconds, 3),
        peak_memory=status.usage.peak_memory,
        cores=status.usage.cores,
        core_seconds=round(status.usage.core_seconds, 3),
        outcome="failed" if failed else "idle" if status.expired else "stopped",
        steps={step.name: round(step.ended - step.started, 3) for step in status.steps if step.ended is not None},
    )
