"""What the states of machines say about an infrastructure: decided here, without asking anybody."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from jupyter_dodas.provision.base import State, Status, Vm
from jupyter_dodas.provision.im.words import cause
from jupyter_dodas.spec import Problem

__all__ = ["DEAD", "Do", "decide", "is_worker"]

DEAD: Final = frozenset({"off", "failed", "stopped"})
"""States of machines that nothing can be installed on."""


class Do(Enum):
    """What has to be done because of it."""

    NOTHING = auto()
    RECONFIGURE = auto()
    """Install again what the Infrastructure Manager has forgotten that it was installing."""


def is_worker(role: str) -> bool:
    """Tell machines that an infrastructure can go without for a while from those that it stands on, by their role."""
    return "wn" in role.lower() or "worker" in role.lower()


def decide(whole: str, vms: Sequence[Vm], log: str, late: float | None) -> tuple[Status, Do]:
    """Return what is there.

    Parameters
    ----------
    whole
        State of the infrastructure, in the words of the Infrastructure Manager.
    log
        Its log; it may be empty as long as everything is configured.
    late
        Seconds since which it should be ready; None if it need not be yet.
    """
    states = {vm.state for vm in vms}
    if whole == "deleting":
        return _status(State.DELETING, vms)
    if not vms:
        return _without_machines(whole, log, late)
    if "pending" in states or "running" in states:
        state = State.MACHINES if "pending" in states else State.CONFIGURING
        # It goes on waiting for two hours although it knows that it cannot get in.
        if "Contextualization Error" in log or late is not None:
            return _failed(vms, cause(log), late)
        # Workers wait for it, and go on doing so.
        if any(vm.state == "unconfigured" and not is_worker(vm.role) for vm in vms) and (why := cause(log)):
            return _failed(vms, why, late)
        return _status(state, vms)
    if "unconfigured" in states:
        why = cause(log)
        if not why and late is None and not states & DEAD:
            return _status(State.CONFIGURING, vms, do=Do.RECONFIGURE)
        return _failed(vms, why, late)
    return _grown(vms, states, log)


def _without_machines(whole: str, log: str, late: float | None) -> tuple[Status, Do]:
    if whole == "pending" and late is None and not cause(log):
        return _status(State.MACHINES, ())
    return _failed((), cause(log) or ("" if late is not None else "It has no machines."), late)


def _grown(vms: Sequence[Vm], states: set[str], log: str) -> tuple[Status, Do]:
    """Decide about one in which nothing goes on."""
    if lost := [vm for vm in vms if vm.state in DEAD]:
        named = ", ".join(f"{vm.role or 'machine'} {vm.id} is {vm.state}" for vm in lost)
        why = cause(log) if any(vm.state == "failed" for vm in lost) else ""
        bad = any(not is_worker(vm.role) for vm in lost)
        problem = Problem(
            code="provision-failed",
            message="Machines of the infrastructure are not there any more" if "failed" not in states else "Machines have failed",
            cause=" ".join(part for part in (f"{named}.", why) if part),
            remedy="Delete it and create it again." if bad else "Scale it, also to as many as it has: those go, and new ones come.",
        )
        return _status(State.FAILED if bad else State.DEGRADED, vms, problem)
    if states <= {"configured"}:
        return _status(State.READY, vms)
    problem = Problem(
        code="provisioner-unreachable",
        message="Nobody knows how the machines are",
        cause="The cloud does not answer the Infrastructure Manager, or not in this name.",
        remedy="Wait. If it stays so, see whether the credentials still hold.",
    )
    return _status(State.DEGRADED, vms, problem)


def _failed(vms: Sequence[Vm], why: str, late: float | None) -> tuple[Status, Do]:
    message = "The infrastructure could not be set up"
    if late is not None and not why:
        message, why = "The infrastructure is not ready in time", "Nothing in its log says why."
    code = "quota-exceeded" if _is_quota(why) else "provision-failed"
    remedy = {
        "quota-exceeded": "Ask for fewer or smaller machines, or delete others.",
        "provision-failed": "Read its log, mend what the cause says, delete it and create it again.",
    }[code]
    return _status(State.FAILED, vms, Problem(code=code, message=message, cause=why, remedy=remedy))


def _is_quota(why: str) -> bool:
    words = why.lower()
    return any(word in words for word in ("quota", "limitexceeded", "limit exceeded", "insufficientinstancecapacity"))


def _status(state: State, vms: Sequence[Vm], problem: Problem | None = None, do: Do = Do.NOTHING) -> tuple[Status, Do]:
    return Status(state=state, machines=tuple(vms), problem=problem), do
