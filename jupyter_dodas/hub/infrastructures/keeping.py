"""Keeps what people want: a task for each infrastructure, which looks, decides and acts, and can be killed at any line.

What is about to be done is written down first, see `Record.asked`; whatever was found is read again each time. Nothing that goes
wrong ends a task: it tries again, after a while that grows.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from jupyter_dodas.errors import DodasError, ProvisionerUnreachable
from jupyter_dodas.hub.infrastructures.changes import Changes
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.decisions import STEPS, Decision, Do, Seen, Wish, decide, due, pause, seen, wish
from jupyter_dodas.hub.infrastructures.makers import Makers
from jupyter_dodas.hub.infrastructures.orders import Orders
from jupyter_dodas.hub.infrastructures.problems import as_problem, trouble
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.steps import advance, ended
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.base import Provisioner, State, Status
from jupyter_dodas.spec import Phase, Problem

__all__ = ["Keeping"]

T = TypeVar("T")

_PATIENCE: Final = 120.0
"""Seconds that one answer of a provisioner may take."""
_AT_ONCE: Final = 32
"""Questions that are put to provisioners at the same time."""
_IN_FLIGHT: Final = 5.0
"""Seconds within which something may still appear that was asked for by a service that was killed."""
_AGAIN: Final = 10.0
"""Seconds after which a deletion is asked for again: some are confirmed and forgotten."""
_LONGEST: Final = 30.0
"""Seconds between two tries while something does not answer."""
_LOG: Final = 1 << 18
"""Characters of a log that are kept, from its end."""

_CALM: Final = frozenset({Phase.READY, Phase.DEGRADED, Phase.FAILED, Phase.STOPPED})

_log = logging.getLogger(__name__)


class Keeping:
    """Looks after all of them.

    Parameters
    ----------
    store, vault, makers, changes, configuration
        What it works with.
    """

    def __init__(self, store: Store, vault: Vault, makers: Makers, changes: Changes, configuration: Configuration) -> None:
        self._store, self._vault, self._makers, self._changes = store, vault, makers, changes
        self._configuration = configuration
        self._orders = Orders(store, vault, configuration)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._nudges: dict[str, asyncio.Event] = {}
        self._busy: set[str] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def start(self) -> None:
        """Look after everything that is in the store."""
        for record in await self._store.all():
            self.nudge(record.uid)

    async def close(self) -> None:
        """Stop looking. What is under way is found again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def nudge(self, uid: str) -> None:
        """Look at one now."""
        self._nudges.setdefault(uid, asyncio.Event()).set()
        if uid not in self._tasks:
            task = self._tasks[uid] = asyncio.create_task(self._keep(uid), name=f"keep {uid}")
            task.add_done_callback(lambda _: self._leave(uid))

    def _leave(self, uid: str) -> None:
        del self._tasks[uid]
        self._nudges.pop(uid, None)
        self._busy.discard(uid)

    async def change(self, uid: str, how: Callable[[Record], Record]) -> Record | None:
        """Change one, and tell who waits for that."""
        found = await self._store.change(uid, how)
        self._changes.tell(uid)
        return found

    # -- one of them -----------------------------------------------------------------------------------------------------

    async def _keep(self, uid: str) -> None:
        nudge = self._nudges[uid]
        failures = 0
        while True:
            nudge.clear()
            try:
                wait = await self._round(uid)
                failures = 0
            except DodasError as error:
                failures += 1
                wait = min(_LONGEST, 0.5 * 2**failures)
                _log.warning("An infrastructure cannot be looked after now: %s: %s", uid, error)
                with suppress(DodasError):
                    if failures > 1 or not error.retryable:
                        await self._trouble(uid, as_problem(error))
            except Exception:  # noqa: BLE001 - nothing ends a task, or nobody would look after it
                failures += 1
                wait = min(_LONGEST, 2.0**failures)
                _log.exception("An infrastructure cannot be looked after: %s", uid)
            if wait is None:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(nudge.wait(), wait)

    async def _round(self, uid: str) -> float | None:
        """Look at one, decide, act. Return the seconds until the next look; None if there is nothing more to look at."""
        record = await self._store.get(uid)
        if record is None:
            return None
        now = time.time()
        if due(record, now) == 0.0:
            _log.info("Nobody uses %s any more", record.label)
            record = await self.change(uid, lambda it: it.model_copy(update={"wanted": "absent"}) if due(it, now) == 0.0 else it)
            assert record is not None, "only this task forgets it"
        maker = await self._maker(record)
        status = await self._ask(maker, lambda it: it.status(record.identifier)) if record.identifier else None
        state, lacks = status.state if status else None, status is not None and await self._lacks(record, status)
        what = seen(record, state, time.time(), deadline=self._configuration.deadline, lacks=lacks)
        desired = wish(record, keep=self._configuration.keep_failed)
        decision = decide(desired, what)
        (self._busy.discard if decision.phase in _CALM and decision.do is Do.WAIT else self._busy.add)(uid)
        noted = await self._note(record, desired, what, decision, status)
        if noted is None or (noted.wanted, noted.failed) != (record.wanted, record.failed):
            return 0.0  # its user was quicker
        at_once = await self._act(noted, what, decision, maker, status)
        if at_once is None:
            return None
        if at_once:
            return 0.0
        wait = pause(decision, noted, time.time(), busy=len(self._busy))
        left = due(noted, time.time())
        return wait if left is None else min(wait, left)

    async def _lacks(self, record: Record, status: Status) -> bool:
        """Tell whether one that is ready for the first time has fewer machines than were ordered, where they are shown."""
        if record.whole or status.state is not State.READY or not status.machines:
            return False
        order = await self._orders.of(record)
        return len(status.machines) < sum(machine.count for machine in order.template.machines(order.inputs))

    async def _trouble(self, uid: str, problem: Problem) -> None:
        """Tell that it cannot be looked after now. Why one has failed is worth more."""
        await self.change(uid, lambda it: it if it.failed else it.model_copy(update={"problem": problem}))

    async def _maker(self, record: Record) -> Provisioner | None:
        """Return its provisioner; None if nothing is to be asked of it, which may then be gone."""
        if record.asked is None and not record.identifier and (record.wanted == "absent" or record.failed):
            return None
        return await self._makers.bound(record.provisioner, record.owner, record.cloud_owner, record.cloud)

    async def _ask(self, maker: Provisioner | None, what: Callable[[Provisioner], Awaitable[T]]) -> T:
        assert maker is not None, "what was asked for has a provisioner"
        async with self._gate:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await what(maker)
            except TimeoutError:
                raise ProvisionerUnreachable(
                    "The provisioner does not answer", cause=f"It took longer than {_PATIENCE:g} s.", remedy="It is asked again."
                ) from None

    async def _note(self, record: Record, desired: Wish, what: Seen, decision: Decision, status: Status | None) -> Record | None:
        """Write down what is seen."""
        now = time.time()
        step = STEPS.get(what) if desired is Wish.PRESENT else None
        usually = await self._store.usually(_kind(record)) if step and not any(it.name == step for it in record.steps) else {}

        def how(old: Record) -> Record:
            if (old.wanted, old.failed) != (record.wanted, record.failed):
                return old
            new: dict[str, object] = {"phase": decision.phase}
            new["steps"] = advance(old.steps, step, now, usually) if step else ended(old.steps, now)
            if decision.do is Do.GIVE_UP:
                del new["phase"], new["steps"]  # once its cause is known
            if desired is Wish.PRESENT and decision.do is not Do.GIVE_UP:
                new["problem"] = status.problem if status is not None else None
            if decision.phase in (Phase.READY, Phase.DEGRADED) and old.phase is not decision.phase:
                new["settled"] = old.settled if old.phase in (Phase.READY, Phase.DEGRADED) else now
            if status is not None and status.machines != old.machines:
                new["machines"] = status.machines
            return old.model_copy(update=new)

        return await self.change(record.uid, how)

    async def _act(  # noqa: C901 - a table of what there is to do
        self, record: Record, what: Seen, decision: Decision, maker: Provisioner | None, status: Status | None
    ) -> bool | None:
        """Do what was decided. True if there is more to do at once, None if nothing is left."""
        match decision.do:
            case Do.WAIT:
                return False
            case Do.CREATE:
                await self._create(record, maker)
                return True
            case Do.FIND:
                return await self._find(record, maker)
            case Do.READ:
                await self._read(record, maker)
                return True
            case Do.SCALE:
                await self._scale(record, maker)
                return True
            case Do.GIVE_UP:
                await self._give_up(record, what, maker, status)
                return True
            case Do.DELETE:
                if record.erased is None or time.time() > record.erased + _AGAIN:
                    await self.change(record.uid, lambda it: it.model_copy(update={"erased": time.time()}))
                    await self._ask(maker, lambda it: it.delete(record.identifier))
                    _log.info("The deletion of %s was asked for", record.label)
                return False
            case Do.CLEAR:
                return await self._clear(record, maker)
            case Do.FORGET:
                await self._store.forget(record.uid)
                self._changes.tell(record.uid)
                _log.info("Nothing is left of %s", record.label)
                return None

    # -- actions ---------------------------------------------------------------------------------------------------------

    async def _create(self, record: Record, maker: Provisioner | None) -> None:
        order = await self._orders.of(record)
        asked = time.time()
        record_now = await self.change(
            record.uid, lambda it: it if it.wanted == "absent" else it.model_copy(update={"asked": asked, "applied": it.workers})
        )
        if record_now is None or record_now.asked != asked:
            return
        try:
            identifier = await self._ask(maker, lambda it: it.create(order))
        except DodasError as error:
            if error.retryable:
                # It may have been heard all the same.
                await self.change(record.uid, lambda it: it.model_copy(update={"doubtful": True}))
                raise
            await self._fail(record, as_problem(error), asked=None)
            return
        usually = await self._store.usually(_kind(record))

        def how(old: Record) -> Record:
            steps = advance(old.steps, "Machines", time.time(), usually)
            return old.model_copy(update={"identifier": identifier, "steps": steps})

        await self.change(record.uid, how)
        _log.info("%s is being made as %s", record.label, identifier)

    async def _find(self, record: Record, maker: Provisioner | None) -> bool:
        name = await self._orders.name(record)
        found = await self._ask(maker, lambda it: it.find(name))
        if found:
            await self.change(record.uid, lambda it: it.model_copy(update={"identifier": found[0], "doubtful": True}))
            for other in found[1:]:
                await self._ask(maker, lambda it, other=other: it.delete(other))  # type: ignore[misc]
            return True
        if time.time() < (record.asked or 0.0) + _IN_FLIGHT:
            return False
        await self.change(record.uid, lambda it: it.model_copy(update={"asked": None, "doubtful": True}))
        return True

    async def _read(self, record: Record, maker: Provisioner | None) -> None:
        try:
            found = await self._ask(maker, lambda it: it.outputs(record.identifier))
        except DodasError as error:
            if error.retryable or record.ready is not None:
                raise
            await self._keep_log(record, maker)
            await self._fail(record, as_problem(error))
            return
        if found.kubeconfig is not None:
            known = self._vault.open(await self._store.secrets(record.uid))
            closed = self._vault.close({**known, "kubeconfig": found.kubeconfig.get_secret_value()})
            await self._store.keep(record.uid, closed=closed)
        now = time.time()

        def how(old: Record) -> Record:
            new = {"outputs": dict(found.values), "current": True, "whole": True, "steps": ended(old.steps, now)}
            if old.wanted == "present" and not old.failed:
                new |= {"phase": Phase.READY, "settled": now, "ready": old.ready or now}
            return old.model_copy(update=new)

        first = record.ready is None
        ready = await self.change(record.uid, how)
        if first and ready is not None:
            for step in ready.steps:
                await self._store.took(f"{_kind(record)}/{step.name}", (step.ended or now) - step.started)

    async def _scale(self, record: Record, maker: Provisioner | None) -> None:
        order = await self._orders.of(record)
        try:
            await self._ask(maker, lambda it: it.scale(record.identifier, order))
        except DodasError as error:
            if error.retryable:
                raise
            problem = as_problem(error)
            await self.change(
                record.uid, lambda it: it.model_copy(update={"workers": it.applied, "whole": True, "refusal": problem})
            )
            return
        await self.change(record.uid, lambda it: it.model_copy(update={"applied": record.workers, "whole": True, "current": False}))

    async def _give_up(self, record: Record, what: Seen, maker: Provisioner | None, status: Status | None) -> None:
        await self._keep_log(record, maker)
        await self._fail(record, trouble(what, status, self._configuration.deadline))

    async def _keep_log(self, record: Record, maker: Provisioner | None) -> None:
        """Keep what was said, which goes with what is left of it."""
        with suppress(DodasError):  # whether or not it can be had, it goes on
            said = await self._ask(maker, lambda it: it.log(record.identifier))
            await self._store.keep(record.uid, log=said[-_LOG:])

    async def _fail(self, record: Record, problem: Problem, **more: object) -> None:
        now = time.time()

        def how(old: Record) -> Record:
            new = {"failed": True, "phase": Phase.FAILED, "problem": problem, "settled": now, "steps": ended(old.steps, now)}
            return old.model_copy(update={**(new if old.wanted == "present" else {}), **more})

        await self.change(record.uid, how)
        _log.warning("%s has failed: %s", record.label, problem.message)

    async def _clear(self, record: Record, maker: Provisioner | None) -> bool:
        if record.doubtful:
            name = await self._orders.name(record)
            if found := await self._ask(maker, lambda it: it.find(name)):
                await self.change(record.uid, lambda it: it.model_copy(update={"identifier": found[0], "erased": None}))
                return True
        gone: dict[str, object] = {
            "identifier": "",
            "asked": None,
            "doubtful": False,
            "machines": (),
            "outputs": {},
            "current": False,
        }
        await self.change(record.uid, lambda it: it.model_copy(update=gone))
        return True


def _kind(record: Record) -> str:
    """Return of what all take about as long."""
    return f"{record.provisioner}/{record.template}"
