"""Reconcile: look at one cluster, decide, write what is, act. It can be killed anywhere and simply done again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from jupyter_dodas import limits
from jupyter_dodas.backends.base import InstanceState, Runner, Store, lost
from jupyter_dodas.controller import accounting, problems
from jupyter_dodas.controller.admission import admit, taken, targets
from jupyter_dodas.controller.idle import idleness
from jupyter_dodas.controller.links import Links
from jupyter_dodas.controller.look import Facts, Look, look, seen
from jupyter_dodas.controller.plan import Plan, Shrink, plan
from jupyter_dodas.controller.scale import Patience
from jupyter_dodas.controller.steps import Durations, steps
from jupyter_dodas.controller.table import STEPS, Do, Seen, Wanted, wanted
from jupyter_dodas.errors import DodasError, InvalidOption, MissingSoftware, NotFound, UnknownKind
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.base import Instance, Role, Service, Site
from jupyter_dodas.settings import Limits, Settings
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
    asked: limits.Share
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
    limits
        Tells the limits that hold now; by default those of the settings, for ever.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        services: Callable[[str], Service],
        settings: Settings,
        enqueue: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        limits: Callable[[], Awaitable[Limits]] | None = None,
    ) -> None:
        self._store, self._runner, self._services, self._settings = store, runner, services, settings
        self._enqueue, self._clock = enqueue, clock
        self._links = Links(runner, enqueue)
        # By uid. Losing it costs a little patience, nothing else.
        self._patience: dict[str, Patience] = {}
        # Within limits, one cluster at a time: what it is given must be written before the next one looks at what is left.
        self._turn = asyncio.Lock()
        self._ask_for_limits, self._limits = limits, settings.limits
        self._untold: DodasError | None = None  # why it is not known which limits hold now
        self._durations: Durations | None = None

    async def close(self) -> None:
        """Let go of every connection."""
        await self._links.close_all()

    async def reconcile(self, name: str) -> float | None:
        """Deal with one cluster. Returns the seconds after which to look again, if nothing happens before."""
        await self._learn_limits(name)
        async with self._turn if self._limits != Limits() else nullcontext():
            return await self._reconcile(name)

    async def _learn_limits(self, name: str) -> None:
        """See which limits hold now. If they are other ones than before, whoever waits looks again.

        If nobody can tell, what runs goes on by those that held before, and may end; nothing is admitted.
        """
        before = self._limits
        if self._ask_for_limits is not None:
            try:
                self._limits, self._untold = await self._ask_for_limits(), None
            except DodasError as error:
                self._untold = error
        if self._limits != before:
            await self._wake_others(name)

    async def _reconcile(self, name: str) -> float | None:
        try:
            record = await self._store.get(name)
        except NotFound:
            return await self._clear_away(name)
        try:
            service = self._services(record.spec.kind)
            options = validate(service.Options, record.spec.kind, record.spec.options)
            roles = service.roles(options)
        except (UnknownKind, MissingSoftware, InvalidOption) as error:
            return await self._fail(record, error)
        case = await self._case(record, service, options, roles)
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
        problem = await self._explain(case) if Do.EXPLAIN in step.do else status.problem if case.wanted is Wanted.FAIL else None
        status = self._enter(status, step.phase).model_copy(update={"problem": problem, "stops_at": None})
        if Do.END in step.do:
            return await self._end_all(case, status)
        await self._write(record, status)
        await self._forget(case)
        if case.wanted is Wanted.FAIL:
            return self._settings.keep_failed
        return None

    # -- looking ------------------------------------------------------------------------------------------------------

    async def _case(self, record: Record, service: Service, options: Options, roles: tuple[Role, ...]) -> _Case:
        running = await self._runner.observe(record.name)
        if running and record.spec.intent is Intent.RUN:
            await self._links.open(record, service)
        # Whom else there is matters only where something is limited.
        everybody = await self._store.list() if self._limits != Limits() else ()
        others = [other for other in everybody if other.name != record.name and not self._is_hidden(other)]
        now = self._clock()
        facts = Facts(
            status=record.status,
            running=running,
            report=await self._links.report(record.name),
            roles=roles,
            groups=options.all_groups(),
            epoch=self._runner.epoch,
            now=now,
            tries=service.tries,
        )
        looked = look(facts)
        sizes, shrink = targets(facts, self._patience.setdefault(record.spec.uid, Patience()))
        what = wanted(record.spec, record.status, now, self._settings.keep_failed)
        found = seen(facts, looked.instances, sizes)
        asked = limits.least(facts.groups.values())
        if found is Seen.ABSENT and what is Wanted.RUN and not service.hidden:
            if self._untold is not None:
                raise self._untold
            found = admit(record, asked, others, self._limits)
        return _Case(record, service, options, facts, looked, found, what, asked, sizes, shrink, others)

    def _is_hidden(self, record: Record) -> bool:
        try:
            return self._services(record.spec.kind).hidden
        except UnknownKind:
            return False

    # -- acting -------------------------------------------------------------------------------------------------------

    async def _run(self, case: _Case, status: ClusterStatus, phase: Phase) -> float | None:
        facts, record = case.facts, case.record
        drained = self._links.drained(record.name)
        planned = plan(facts, case.look.instances, case.targets, case.shrink, drained, self._limits, taken(case.others))
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
                "problem": self._trouble(case, planned, phase),
                "ready_at": status.ready_at or (now if up else None),
                "idle_since": idle.since if up else None,
                "stops_at": idle.stops_at if up else None,
                "expired": up and idle.expired,
                "usage": _most_cores(status.usage, planned),
                "versions": dict(facts.report.versions) or status.versions,
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
        for name in (*case.look.silent, *_stranded(case, status, planned)):
            await self._runner.kill(record.name, name)
        self._links.drain(record.name, planned.drain)
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
        # That a new record has none need not be asked, unless somebody is to hand them over.
        new = not record.status.history and not case.service.handed
        known = {} if new else await self._store.secrets(record.name)
        if not case.service.handed <= known.keys():
            return  # whoever hands them over has it looked at again
        if not known:
            await self._store.keep_secrets(record.name, case.service.secrets(record.spec))
        if any(status.instances[name].group is None for name in planned.start):
            # It may still listen to a predecessor of the same name, where one that was killed cannot hang up.
            await self._links.close(record.name)
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
        running = [name for name, it in case.facts.running.items() if it.state is not InstanceState.ENDED]
        instances = {
            name: i if i.condition is Condition.ENDING else i.model_copy(update={"condition": Condition.ENDING, "since": now})
            for name, i in status.instances.items()
            if name in running
        }
        await self._write(case.record, status.model_copy(update={"instances": instances, "addresses": {}}))
        await self._links.close(case.record.name)
        await self._forget(case)
        for name in running:
            await self._runner.delete(case.record.name, name)
        # With nothing running there is no event to come: what follows is due now.
        return None if running else 0.0

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
        self._patience.pop(record.spec.uid, None)
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
        self._patience.pop(record.spec.uid, None)
        _log.info("%s has ended: %.0f core-seconds", record.name, receipt.core_seconds, extra={"cluster": record.name})
        await self._wake_waiting(record.name)

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
        await self._write(record, status.model_copy(update={"problem": problems.as_problem(error)}))
        return None

    async def _wake_waiting(self, name: str) -> None:
        """A cluster gave something back, or its place in the queue: whoever waits within the limits looks again."""
        if self._limits != Limits():
            await self._wake_others(name)

    async def _wake_others(self, name: str) -> None:
        for other in await self._store.list():
            if other.name != name:
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
        if status.phase is not record.status.phase or len(status.instances) < len(record.status.instances):
            await self._wake_waiting(record.name)

    def _trouble(self, case: _Case, planned: Plan, phase: Phase) -> Problem | None:
        """Say what is not as it should be with a cluster that runs."""
        if planned.short:
            return problems.short(planned.short)
        wound = problems.wound(case.record.name, case.look.instances) if phase is Phase.DEGRADED else None
        return problems.first(case.facts.running, case.look.instances) or wound

    async def _explain(self, case: _Case) -> Problem | None:
        """Say why a cluster waits or fails."""
        name, bounds = case.record.name, self._limits
        if case.seen is Seen.QUEUED:
            used = taken(case.others)
            missing = limits.missing(bounds, used, case.asked)
            return problems.queued(name, missing, limits.less(bounds, used, case.facts.groups) if missing else {})
        if case.seen is Seen.BARRED and (over := limits.never(bounds, case.asked)):
            return problems.barred(*over, limits.less(bounds, limits.NOTHING, case.facts.groups))
        if case.seen is Seen.LOST:
            return lost(name)
        instance, worst = max(case.look.instances.items(), key=lambda item: item[1].failures)
        logs = await self._runner.logs(name, instance, lines=_LOG_LINES)
        return problems.broken(name, instance, worst, logs.get(instance, ""), was_ready=case.record.status.ready_at is not None)

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
        if (patience := self._patience.get(case.record.spec.uid)) is not None:
            due.append(patience.look_at())
        known = [at for at in due if at is not None]
        return max(0.02, min(known) - self._clock()) if known else None


def _stranded(case: _Case, status: ClusterStatus, planned: Plan) -> list[str]:
    """Tell who was started with an address that holds no longer; started again, they learn the new one."""
    before = case.record.status.instances
    if not any(
        name in before and before[name].ports and before[name].ports != status.instances[name].ports for name in planned.start
    ):
        return []
    return [name for name, it in case.facts.running.items() if it.state is InstanceState.RUNNING and name not in planned.start]


def _most_cores(usage: Usage, planned: Plan) -> Usage:
    cores = sum(instance.cores for instance in planned.instances.values())
    return usage if cores <= usage.cores else usage.model_copy(update={"cores": cores})
