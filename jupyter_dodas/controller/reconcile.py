"""Reconcile: look at one cluster, decide, write what is, act. It can be killed anywhere and simply done again."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from jupyter_dodas import limits
from jupyter_dodas.backends.base import Runner, Store
from jupyter_dodas.controller import accounting
from jupyter_dodas.controller.idle import idleness
from jupyter_dodas.controller.links import Links
from jupyter_dodas.controller.look import Facts, Look, look, seen
from jupyter_dodas.controller.plan import Plan, Shrink, plan
from jupyter_dodas.controller.scale import Patience, shares
from jupyter_dodas.controller.steps import Durations, steps
from jupyter_dodas.controller.table import STEPS, Do, Seen, Wanted, wanted
from jupyter_dodas.errors import DodasError, MissingSoftware, NotFound, QuotaExceeded, UnknownKind
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.base import Instance, Service, Site
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import (
    ClusterStatus,
    Condition,
    Intent,
    Phase,
    PhaseChange,
    Problem,
    Record,
    Usage,
)

__all__ = ["Reconciler"]

_log = logging.getLogger(__name__)

_HISTORY: Final = 50
_LOG_LINES: Final = 15


@dataclass
class _Memory:
    """What is worth keeping of a cluster between two looks; losing it costs a little patience, nothing else."""

    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class _Case:
    """One cluster, as it is dealt with now."""

    record: Record
    service: Service
    options: Options
    facts: Facts
    look: Look
    seen: Seen
    wanted: Wanted
    targets: Mapping[str, int]
    shrink: Mapping[str, Shrink]
    others: Sequence[Record]


class Reconciler:
    """Makes one cluster at a time what its spec says.

    Parameters
    ----------
    services
        Every kind that there is, by name.
    enqueue
        Asks for a look at a cluster soon.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        services: Callable[[str], Service],
        settings: Settings,
        enqueue: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._runner, self._services, self._settings = store, runner, services, settings
        self._enqueue, self._clock = enqueue, clock
        self._links = Links(runner, enqueue)
        self._memory: dict[str, _Memory] = {}
        self._durations: Durations | None = None

    async def close(self) -> None:
        """Let go of every connection."""
        await self._links.close_all()

    async def reconcile(self, name: str) -> float | None:
        """Deal with one cluster. Returns the seconds after which to look again, if nothing happens before."""
        try:
            record = await self._store.get(name)
        except NotFound:
            return await self._clear_away(name)
        try:
            case = await self._case(record)
        except (UnknownKind, MissingSoftware) as error:
            return await self._fail(record, error)
        step = STEPS[case.wanted, case.seen]
        if step.do == (Do.REMOVE,):
            await self._remove(case)
            return None
        if step.do == (Do.RESET,):
            return await self._reset(case)
        status = case.record.status.model_copy(
            update={"instances": case.look.instances, "usage": case.look.usage, "observed_generation": record.spec.generation}
        )
        if Do.RUN in step.do:
            return await self._run(case, status, step.phase)
        problem = status.problem if case.wanted is Wanted.FAIL else await self._problem(case)
        status = self._enter(status, step.phase).model_copy(update={"problem": problem, "stops_at": None})
        if Do.END in step.do:
            return await self._end_all(case, status)
        await self._write(record, status)
        await self._forget(case)
        if case.wanted is Wanted.FAIL:
            return self._settings.keep_failed
        return None

    # -- looking ------------------------------------------------------------------------------------------------------

    async def _case(self, record: Record) -> _Case:
        service = self._services(record.spec.kind)
        options = validate(service.Options, record.spec.kind, record.spec.options)
        running = await self._runner.observe(record.name)
        if running and record.spec.intent is Intent.RUN:
            await self._links.open(record, service)
        others = [other for other in await self._store.list() if other.name != record.name]
        now = self._clock()
        facts = Facts(
            status=record.status,
            running=running,
            report=await self._links.report(record.name),
            roles=service.roles(options),
            groups=options.all_groups(),
            epoch=self._runner.epoch,
            now=now,
        )
        looked = look(facts)
        targets, shrink = self._targets(record, facts)
        what = wanted(record.spec, record.status, now, self._settings.keep_failed)
        found = seen(facts, looked.instances, targets)
        if found is Seen.ABSENT and what is Wanted.RUN:
            found = self._admit(record, options, others)
        return _Case(record, service, options, facts, looked, found, what, targets, shrink, others)

    def _targets(self, record: Record, facts: Facts) -> tuple[Mapping[str, int], Mapping[str, Shrink]]:
        """How many workers each group is to have, and whom a smaller number may take."""
        memory = self._memory.setdefault(record.spec.uid, _Memory())
        targets, shrink = shares(facts.groups, facts.report.wanted), {}
        for group, options in facts.groups.items():
            shrink[group] = Shrink.ANY
            if options.adapt is None:
                continue
            fewest, most = options.bounds()
            current = record.status.targets.get(group, fewest)
            if facts.report.wanted is None and facts.status.ready_at is not None:
                targets[group] = max(fewest, min(most, current))  # nobody to ask: leave it as it is
            elif fewest <= current <= most:
                targets[group] = memory.patience.target(group, current, targets[group], facts.now)
                shrink[group] = Shrink.IDLE_ONLY
        return targets, shrink

    def _admit(self, record: Record, options: Options, others: Sequence[Record]) -> Seen:
        """Whether a cluster of which nothing runs may start now."""
        asked = limits.least(options.all_groups().values())
        if limits.never(self._settings.limits, asked):
            return Seen.BARRED
        if limits.missing(self._settings.limits, self._taken(others), asked) or self._someone_before(record, others):
            return Seen.QUEUED
        return Seen.ABSENT

    def _taken(self, others: Sequence[Record]) -> limits.Share:
        return sum((limits.held(other.status) for other in others), limits.NOTHING)

    def _someone_before(self, record: Record, others: Sequence[Record]) -> bool:
        """Whether somebody waits for longer; small requests do not starve large ones."""
        if self._settings.limits == type(self._settings.limits)():
            return False
        own = (record.spec.created, record.name)
        return any(
            other.status.phase is Phase.PENDING and other.spec.intent is Intent.RUN and (other.spec.created, other.name) < own
            for other in others
        )

    # -- acting -------------------------------------------------------------------------------------------------------

    async def _run(self, case: _Case, status: ClusterStatus, phase: Phase) -> float | None:
        facts, record = case.facts, case.record
        drained = self._links.drained(record.name)
        planned = plan(
            facts, case.look.instances, case.targets, case.shrink, drained, self._settings.limits, self._taken(case.others)
        )
        planned = await self._place(case, planned)
        now = facts.now
        idle = idleness(
            status,
            facts.report if facts.report.ready else None,
            now,
            timeout=case.options.idle_timeout,
            warn_before=self._settings.warn_before,
            keep_until=record.spec.keep_until,
        )
        up = phase in (Phase.READY, Phase.DEGRADED)
        status = self._enter(status, phase)
        status = status.model_copy(
            update={
                "instances": planned.instances,
                "targets": dict(case.targets),
                "epoch": facts.epoch,
                "problem": _short(planned) or (_wound(case) if phase is Phase.DEGRADED else None),
                "ready_at": status.ready_at or (now if up else None),
                "idle_since": idle.since if up else None,
                "stops_at": idle.stops_at if up else None,
                "expired": up and idle.expired,
                "usage": _most_cores(status.usage, planned),
            }
        )
        site = await self._links.site(record, status)
        status = status.model_copy(
            update={
                "addresses": case.service.addresses(site),
                "steps": steps(status, case.facts.roles, await self._seen_before(), record.spec.kind, now),
            }
        )
        await self._write(record, status)
        await self._forget(case)
        await self._start(case, status, planned)
        for name in planned.end:
            await self._runner.delete(record.name, name)
        for name in case.look.silent:
            await self._runner.kill(record.name, name)
        self._links.drain(record.name, planned.drain)
        if len(planned.instances) < len(record.status.instances):
            self._wake_waiting(case.others)
        return self._look_again(case, status, idle.look_at)

    async def _place(self, case: _Case, planned: Plan) -> Plan:
        """Choose addresses for what is to start and has none, or lost its own."""
        instances = dict(planned.instances)
        ports = {role.name: role.ports for role in case.facts.roles}
        for name in planned.start:
            instance = instances[name]
            # A port may have been taken by others meanwhile; clients keep their address for as long as it works.
            keep = bool(instance.ports) and instance.failures <= 1
            change: dict[str, object] = {"started": case.facts.now}
            if not keep:
                endpoint = await self._runner.place(case.record.name, name, ports[instance.role])
                change |= {"host": endpoint.host, "ports": dict(endpoint.ports)}
            instances[name] = instance.model_copy(update=change)
        return replace(planned, instances=instances)

    async def _start(self, case: _Case, status: ClusterStatus, planned: Plan) -> None:
        if not planned.start:
            return
        record = case.record
        if not await self._store.secrets(record.name):
            await self._store.keep_secrets(record.name, case.service.secrets(record.spec))
        site = await self._links.site(record, status)
        for name in planned.start:
            await self._runner.apply(self._instance(case, status, name, site))
        await self._links.open(record, case.service, status)

    def _instance(self, case: _Case, status: ClusterStatus, name: str, site: Site) -> Instance:
        known = status.instances[name]
        role = next(role for role in case.facts.roles if role.name == known.role)
        group = case.facts.groups.get(known.group or "worker", case.options)
        instance = case.service.instance(name, role, group, case.record.spec, site)
        around = case.options.environment
        return replace(
            instance,
            group=known.group,
            preload=case.service.preload,
            variables={**around.variables, **instance.variables},
            files=around.files,
            folder=around.folder,
            credentials=around.credentials,
            python=around.python,
            image=instance.image or around.image,
            endpoint=site.endpoints.get(name),
        )

    async def _end_all(self, case: _Case, status: ClusterStatus) -> float | None:
        now = case.facts.now
        instances = {
            name: i if i.condition is Condition.ENDING else i.model_copy(update={"condition": Condition.ENDING, "since": now})
            for name, i in status.instances.items()
            if name in case.facts.running
        }
        await self._write(case.record, status.model_copy(update={"instances": instances, "addresses": {}}))
        await self._links.close(case.record.name)
        await self._forget(case)
        for name in case.facts.running:
            await self._runner.delete(case.record.name, name)
        # With nothing running there is no event to come: what follows is due now.
        return None if instances else 0.0

    async def _forget(self, case: _Case) -> None:
        for name in case.look.forget:
            await self._runner.forget(case.record.name, name)

    async def _reset(self, case: _Case) -> float | None:
        """Begin again, with the account of what was used so far."""
        record = case.record
        fresh = ClusterStatus(
            uid=record.spec.uid,
            phase=record.status.phase,
            observed_generation=record.status.observed_generation,
            history=record.status.history,
            usage=case.look.usage,
            restarts=record.spec.restarts,
        )
        await self._write(record, self._enter(fresh, Phase.PENDING))
        await self._forget(case)
        self._memory.pop(record.spec.uid, None)
        return 0.0

    async def _remove(self, case: _Case) -> None:
        record = case.record
        status = self._enter(record.status, Phase.STOPPED).model_copy(update={"usage": case.look.usage, "instances": {}})
        receipt = accounting.receipt(record.spec, status, self._clock())
        await self._links.close(record.name)
        await self._forget(case)
        await self._store.account(receipt)
        (await self._seen_before()).add(receipt)
        await self._store.remove(record.name, record.spec.uid)
        self._memory.pop(record.spec.uid, None)
        _log.info("%s has ended: %.0f core-seconds", record.name, receipt.core_seconds, extra={"cluster": record.name})
        self._wake_waiting(case.others)

    async def _clear_away(self, name: str) -> float | None:
        """The record is gone: whatever still runs in its name has no owner."""
        await self._links.close(name)
        running = await self._runner.observe(name)
        for instance in running:
            await self._runner.kill(name, instance)
            await self._runner.forget(name, instance)
        return 0.2 if running else None

    async def _fail(self, record: Record, error: DodasError) -> float | None:
        """A cluster that this controller cannot even describe."""
        if record.spec.intent is Intent.STOP:
            await self._store.remove(record.name, record.spec.uid)
            return await self._clear_away(record.name)
        status = self._enter(record.status, Phase.FAILED)
        await self._write(record, status.model_copy(update={"problem": _as_problem(error)}))
        return None

    def _wake_waiting(self, others: Sequence[Record]) -> None:
        """Something was given back: whoever waits for it looks again."""
        for other in others:
            self._enqueue(other.name)

    # -- telling ------------------------------------------------------------------------------------------------------

    def _enter(self, status: ClusterStatus, phase: Phase) -> ClusterStatus:
        if status.history and status.phase is phase:
            return status
        history = (*status.history, PhaseChange(phase=phase, at=self._clock()))[-_HISTORY:]
        return status.model_copy(update={"phase": phase, "history": history})

    async def _write(self, record: Record, status: ClusterStatus) -> None:
        if status == record.status:
            return
        if status.phase is not record.status.phase:
            _log.info("%s is %s", record.name, status.phase, extra={"cluster": record.name})
        await self._store.report(record.name, status)

    async def _problem(self, case: _Case) -> Problem | None:
        """Why a cluster waits or fails."""
        name = case.record.name
        asked = limits.least(case.options.all_groups().values())
        match case.seen:
            case Seen.QUEUED:
                over = limits.missing(self._settings.limits, self._taken(case.others), asked)
                return Problem(
                    code="queued",
                    message=f"{name!r} waits for room: " + (_amounts(over) or "others asked before"),
                    cause="Your other clusters use the rest of the limits.",
                    remedy="It starts by itself once others end; `dodas quota` shows what is used.",
                )
            case Seen.BARRED:
                barred = limits.never(self._settings.limits, asked)
                return _as_problem(QuotaExceeded(barred[0], str(barred[1]), str(barred[2]))) if barred else None
            case Seen.LOST:
                return Problem(
                    code="keeper-died",
                    message=f"Everything of {name!r} has ended",
                    cause="The process that kept it ended, or the machine was restarted.",
                    remedy=f"Start it again with `dodas restart {name}`, or dismiss it with `dodas stop {name}`.",
                )
            case Seen.BROKEN:
                return await self._broken(case)
        return None

    async def _broken(self, case: _Case) -> Problem:
        name, worst = max(case.look.instances.items(), key=lambda item: item[1].failures)
        logs = await self._runner.logs(case.record.name, name, lines=_LOG_LINES)
        said = logs.get(name, "").strip()
        return Problem(
            code="launch-failed" if case.record.status.ready_at is None else "cluster-failed",
            message=f"{name} of {case.record.name!r} does not come up: {worst.last_exit} {worst.failures} times in a row",
            cause=f"It said last:\n{said}" if said else "It said nothing.",
            remedy=f"`dodas logs {case.record.name}` shows more; then `dodas restart {case.record.name}`.",
        )

    async def _seen_before(self) -> Durations:
        if self._durations is None:
            self._durations = Durations(await self._store.receipts())
        return self._durations

    def _look_again(self, case: _Case, status: ClusterStatus, idle_at: float | None) -> float | None:
        due = [idle_at, *(i.retry_at for i in status.instances.values() if i.condition is Condition.WAITING)]
        due += [i.drain_until for i in status.instances.values() if i.condition is Condition.DRAINING]
        if status.expired:
            due.append(case.facts.now)
        if status.phase is Phase.STARTING or any(i.condition is Condition.STARTING for i in status.instances.values()):
            due.append(case.facts.now + 5.0)  # for those who never answer
        if (memory := self._memory.get(case.record.spec.uid)) is not None:
            due.append(memory.patience.look_at())
        known = [at for at in due if at is not None]
        return max(0.02, min(known) - self._clock()) if known else None


def _short(planned: Plan) -> Problem | None:
    if not planned.short:
        return None
    return Problem(
        code="limited",
        message=f"{planned.short} more workers wait for room",
        cause="Your limits are used up.",
        remedy="They start by themselves once others end; `dodas quota` shows what is used.",
    )


def _wound(case: _Case) -> Problem | None:
    """What is missing of a cluster that was complete."""
    down = {name: i for name, i in case.look.instances.items() if i.condition is Condition.WAITING or i.failures}
    if not down:
        return None
    name, worst = max(down.items(), key=lambda item: item[1].failures)
    return Problem(
        code="instance-died",
        message=f"{name} ended ({worst.last_exit}) and is started again",
        cause=f"It ended {worst.failures} times in a row." if worst.failures > 1 else "",
        remedy=f"`dodas logs {case.record.name}` shows what it said." if worst.failures > 1 else "",
    )


def _most_cores(usage: Usage, planned: Plan) -> Usage:
    cores = sum(instance.cores for instance in planned.instances.values())
    return usage if cores <= usage.cores else usage.model_copy(update={"cores": cores})


def _as_problem(error: DodasError) -> Problem:
    return Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy)


def _amounts(over: Mapping[str, int]) -> str:
    return ", ".join(f"{amount / 2**30:.1f} GiB" if name == "memory" else f"{amount} {name}" for name, amount in over.items())
