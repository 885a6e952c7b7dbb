"""The controller against a model: whatever users, deaths and restarts do to it, all comes right and no rule is broken.

Time is virtual, everything else is real: the controller's queue, loops and tasks, a store and a runner that pass their contracts,
and a service that does work. A controller is killed between any two of its steps.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, precondition, rule

from jupyter_dodas import limits
from jupyter_dodas.controller.loop import Controller
from jupyter_dodas.errors import NotFound
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.base import Instance
from jupyter_dodas.settings import Limits, Settings
from jupyter_dodas.spec import ClusterSpec, Condition, Intent, Phase, Record
from jupyter_dodas.testing.memory import MemoryStore
from tests.unit.plant import Plant, PlantService
from tests.unit.virtual import VirtualLoop

NAMES = st.sampled_from(["higgs", "w", "z"])
SIZES = st.integers(0, 5)
QUIET = 400.0
"""Seconds after which nothing is under way any more: longer than any back-off, drain or piece of work here."""


def shapes() -> st.SearchStrategy[dict[str, Any]]:
    fixed: st.SearchStrategy[dict[str, Any]] = st.builds(dict, workers=SIZES)
    return fixed | st.builds(lambda low, more: {"adapt": [low, low + more]}, st.integers(0, 2), st.integers(1, 4))


@st.composite
def of_options(draw: st.DrawFn) -> Mapping[str, Any]:
    """A group or two, fixed or following the work, of clusters that are stopped when idle or are not."""
    other = draw(st.none() | shapes())
    idle_timeout = draw(st.sampled_from([None, 100.0]))
    return {**draw(shapes()), "cores": 2, "idle_timeout": idle_timeout, "groups": {"gpu": other} if other else {}}


class ControllerMachine(RuleBasedStateMachine):
    """Users, faults and time."""

    clusters = Bundle("clusters")

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.store = MemoryStore()
        self.plant = Plant(self.store)
        self.plant.allowed = self.too_much
        self.specs: dict[str, ClusterSpec] = {}
        """What users wrote last, of clusters that nobody asked to stop."""
        self.uids: set[str] = set()
        self.controller: asyncio.Task[None] | None = None

    @initialize(bounds=st.builds(Limits, workers=st.none() | st.integers(2, 6), clusters=st.none() | st.integers(1, 2)))
    def begin(self, bounds: Limits) -> None:
        self.settings = Settings(limits=bounds, linger=1e9, warn_before=10.0)
        self.start_controller()

    def teardown(self) -> None:
        if hasattr(self, "settings"):
            self.kill_controller(0)
        pending = asyncio.all_tasks(self.loop)
        assert not pending, pending
        self.loop.close()
        asyncio.set_event_loop(None)

    # -- users --------------------------------------------------------------------------------------------------------

    @rule(target=clusters, name=NAMES, options=of_options())
    def create(self, name: str, options: Mapping[str, Any]) -> Any:
        if self.look(name) is not None:
            return multiple()
        uid = f"{name}-{len(self.uids)}"
        checked = validate(Options, "plant", options).model_dump(mode="json")
        spec = ClusterSpec(name=name, uid=uid, kind="plant", owner="alice", created=self.loop.time(), options=checked)
        self.loop.do(self.store.create(spec))
        self.plant.broken.discard(name)
        self.plant.floors.pop(name, None)
        self.specs[name] = spec
        self.uids.add(uid)
        return spec

    @rule(spec=clusters, group=st.sampled_from(["worker", "gpu"]), workers=SIZES)
    def scale(self, spec: ClusterSpec, group: str, workers: int) -> None:
        self.change_group(spec, group, {"workers": workers, "adapt": None})

    @rule(workers=SIZES)
    def scale_all_at_once(self, workers: int) -> None:
        changed = [self.with_group(spec, "worker", {"workers": workers, "adapt": None}) for spec in self.specs.values()]

        async def write() -> Any:
            return await asyncio.gather(*(self.store.change(spec) for spec in changed if spec), return_exceptions=True)

        for done in self.loop.do(write()):
            if isinstance(done, Record):
                self.specs[done.name] = done.spec

    @rule(spec=clusters, group=st.sampled_from(["worker", "gpu"]), low=st.integers(0, 2), more=st.integers(1, 4))
    def adapt(self, spec: ClusterSpec, group: str, low: int, more: int) -> None:
        self.change_group(spec, group, {"adapt": {"minimum": low, "maximum": low + more}})

    @rule(spec=clusters, seconds=st.floats(0, 1000))
    def keep(self, spec: ClusterSpec, seconds: float) -> None:
        self.change(spec, keep_until=self.loop.time() + seconds)

    @rule(spec=clusters)
    def restart(self, spec: ClusterSpec) -> None:
        if (record := self.look(spec.name)) is not None and record.spec.intent is Intent.RUN:
            self.change(spec, restarts=record.spec.restarts + 1)

    @rule(spec=consumes(clusters))
    def stop(self, spec: ClusterSpec) -> None:
        self.change(spec, intent=Intent.STOP)

    @rule(spec=clusters, times=st.integers(1, 6), seconds=st.floats(0.1, 30))
    def submit(self, spec: ClusterSpec, times: int, seconds: float) -> None:
        if self.is_there(spec):
            self.within(self.plant.submit, spec.name, times, seconds)

    # -- faults -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.plant.runner.alive)
    @rule(data=st.data())
    def an_instance_dies(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from(list(self.plant.runner.alive)), label="victim")
        self.within(self.plant.runner.end, victim.cluster, victim.name)

    @rule(spec=clusters)
    def nothing_comes_up_any_more(self, spec: ClusterSpec) -> None:
        if self.is_there(spec):
            self.plant.broken.add(spec.name)
            for instance in self.plant.runner.alive:
                if instance.cluster == spec.name:
                    self.within(self.plant.runner.end, instance.cluster, instance.name)

    @rule(turns=st.integers(0, 60))
    def the_controller_dies(self, turns: int) -> None:
        self.kill_controller(turns)
        self.start_controller()

    @rule(turns=st.integers(0, 60))
    def the_keeper_dies(self, turns: int) -> None:
        self.kill_controller(turns)
        self.plant.runner.die()
        for name in self.specs:
            self.within(self.plant.look, name)
        self.start_controller()

    # -- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.floats(0.01, 20))
    def a_while_passes(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    @rule()
    def all_becomes_quiet(self) -> None:
        self.loop.pass_time(QUIET)
        records = {record.name: record for record in self.loop.do(self.store.list())}
        note(f"quiet: {records}")
        for record in records.values():
            self.judge(record, records)
        instances = {instance.cluster for instance in self.plant.runner.alive}
        assert instances <= records.keys(), "instances without a record"
        for name in list(self.specs):
            if name not in records:
                self.judge_gone(self.specs.pop(name))
        receipts = [receipt.uid for receipt in self.loop.do(self.store.receipts())]
        live = {record.spec.uid for record in records.values()}
        assert sorted(receipts) == sorted(self.uids - live), "not one line in the accounts for each cluster that ended"

    def judge(self, record: Record, records: Mapping[str, Record]) -> None:
        """Judge one cluster with which nobody did anything for long."""
        spec, status = record.spec, record.status
        assert spec.intent is Intent.RUN, "a stop has not ended"
        assert spec == self.specs[spec.name], "somebody else wrote the spec"
        assert status.restarts == spec.restarts
        alive = [i for i in self.plant.runner.alive if i.cluster == spec.name]
        if status.phase is Phase.FAILED:
            assert status.problem is not None
            assert status.problem.message
            assert not alive
            assert not status.instances
            return
        assert status.observed_generation == spec.generation
        options = validate(Options, "plant", spec.options)
        others = sum((limits.held(other.status) for other in records.values() if other.name != spec.name), limits.NOTHING)
        if status.phase is Phase.PENDING:
            asked = limits.least(options.all_groups().values())
            first = min((r for r in records.values() if r.status.phase is Phase.PENDING), key=lambda r: r.spec.created)
            assert limits.missing(self.settings.limits, others, asked) or first.name != spec.name, "it waits for nothing"
            assert not alive
            return
        assert {i.name for i in alive} == status.instances.keys()
        conditions = {name: i.condition for name, i in status.instances.items()}
        assert set(conditions.values()) <= {Condition.READY}, conditions
        held, short = others + limits.held(status), False
        for group, asked_for in options.all_groups().items():
            workers = sum(i.group == group for i in status.instances.values())
            fewest = asked_for.bounds()[0]
            room = not limits.missing(self.settings.limits, held, limits.of_group(asked_for, 1))
            assert workers >= fewest or not room, "workers are missing, and there is room"
            assert workers <= fewest, "workers are too many, or idle"
            short = short or workers < fewest
        assert status.phase is Phase.READY or (short and status.phase is Phase.STARTING), status
        assert (status.problem is not None) is short, status.problem
        floor = self.plant.floor(spec.name)
        if status.instances.keys() - {"hub"}:
            assert not floor.waiting
            assert floor.finished == floor.submitted, "work was lost"

    def judge_gone(self, spec: ClusterSpec) -> None:
        """Judge the disappearance of a cluster that nobody asked to stop."""
        assert spec.intent is Intent.STOP or validate(Options, "plant", spec.options).idle_timeout is not None
        if spec.intent is Intent.RUN:
            assert self.loop.time() >= (spec.keep_until or 0.0), "it was to be kept"

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_wrong_was_done(self) -> None:
        assert self.plant.wrongs == []

    def too_much(self, starting: Instance) -> str | None:
        """Tell what limit is passed with one more instance."""
        alive = [*self.plant.runner.alive, starting]
        workers = sum(instance.role == "worker" for instance in alive)
        clusters = len({instance.cluster for instance in alive})
        bounds = self.settings.limits
        for name, found, limit in (("workers", workers, bounds.workers), ("clusters", clusters, bounds.clusters)):
            if limit is not None and found > limit:
                return f"{found} {name} run, the limit is {limit}"
        return None

    # -- helpers ------------------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        services = {"plant": PlantService(self.plant)}
        controller = Controller(self.store.elsewhere(), self.plant.runner, services.__getitem__, self.settings, self.loop.time)
        self.controller = self.loop.create_task(controller.run())

    def kill_controller(self, turns: int) -> None:
        """Kill the controller after so many steps, wherever it is."""
        assert self.controller is not None
        self.loop.turn(turns)
        self.controller.cancel()
        self.loop.do(asyncio.wait([self.controller]))

    def within(self, function: Any, *arguments: Any) -> None:
        """Call something that wants to be called on the loop."""

        async def call() -> None:
            function(*arguments)

        self.loop.do(call())

    def look(self, name: str) -> Record | None:
        try:
            return self.loop.do(self.store.get(name))
        except NotFound:
            return None

    def is_there(self, spec: ClusterSpec) -> bool:
        record = self.look(spec.name)
        return record is not None and record.spec.uid == spec.uid

    def change(self, spec: ClusterSpec, **update: Any) -> None:
        """Write a change, as a user does who has just looked."""
        record = self.look(spec.name)
        if record is not None and record.spec.uid == spec.uid:
            with suppress(NotFound):  # it may have gone since the look
                self.specs[spec.name] = self.loop.do(self.store.change(record.spec.model_copy(update=update))).spec

    def change_group(self, spec: ClusterSpec, group: str, change: Mapping[str, Any]) -> None:
        changed = self.with_group(spec, group, change)
        if changed is not None:
            self.change(changed, options=changed.options)

    def with_group(self, spec: ClusterSpec, group: str, change: Mapping[str, Any]) -> ClusterSpec | None:
        """Return the spec as it is now, with a change of one group; None where it cannot be made."""
        record = self.look(spec.name)
        if record is None or (group != "worker" and group not in record.spec.options["groups"]):  # type: ignore[operator]
            return None
        options: dict[str, Any] = dict(record.spec.options)
        if group == "worker":
            options |= change
        else:
            options["groups"] = {**options["groups"], group: {**options["groups"][group], **change}}
        valid = validate(Options, "plant", options)
        if limits.never(self.settings.limits, limits.least(valid.all_groups().values())) is not None:
            return None
        return record.spec.model_copy(update={"options": valid.model_dump(mode="json")})


TestController = ControllerMachine.TestCase
TestController.settings = settings(max_examples=int(os.environ.get("DODAS_EXAMPLES", "100")), stateful_step_count=30, deadline=None)
