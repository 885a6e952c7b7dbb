"""Keeps what people want: a task for each infrastructure, which looks, decides and acts, and can be killed at any line.

Whatever was found is read again each time. Nothing that goes wrong ends a task: it tries again, after a while that grows.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from jupyter_dodas.errors import DodasError
from jupyter_dodas.hub.infrastructures.actions import Actions
from jupyter_dodas.hub.infrastructures.changes import Changes
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.decisions import STEPS, Decision, Do, Seen, Wish, decide, due, pause, seen, wish
from jupyter_dodas.hub.infrastructures.makers import Makers
from jupyter_dodas.hub.infrastructures.orders import Orders
from jupyter_dodas.hub.infrastructures.problems import as_problem
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.steps import advance, ended
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.base import Provisioner, State, Status
from jupyter_dodas.spec import Phase, Problem

__all__ = ["Keeping"]

_LONGEST: Final = 30.0
"""Seconds between two tries while something does not answer."""

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
        self._store, self._makers, self._configuration = store, makers, configuration
        self._orders = Orders(store, vault, configuration)
        self._actions = Actions(store, vault, changes, configuration, self._orders)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._nudges: dict[str, asyncio.Event] = {}
        self._busy: set[str] = set()

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
        return await self._actions.change(uid, how)

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
        status = await self._actions.ask(maker, lambda it: it.status(record.identifier)) if record.identifier else None
        state, lacks = status.state if status else None, status is not None and await self._lacks(record, status)
        what = seen(record, state, time.time(), deadline=self._configuration.deadline, lacks=lacks)
        desired = wish(record, keep=self._configuration.keep_failed)
        decision = decide(desired, what)
        (self._busy.discard if decision.phase in _CALM and decision.do is Do.WAIT else self._busy.add)(uid)
        noted = await self._note(record, desired, what, decision, status)
        if noted is None or (noted.wanted, noted.failed) != (record.wanted, record.failed):
            return 0.0  # its user was quicker
        at_once = await self._actions.do(decision.do, noted, what, maker, status)
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

    async def _note(self, record: Record, desired: Wish, what: Seen, decision: Decision, status: Status | None) -> Record | None:
        """Write down what is seen."""
        now = time.time()
        step = STEPS.get(what) if desired is Wish.PRESENT else None
        usually = await self._store.usually(record.kind) if step and not any(it.name == step for it in record.steps) else {}

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
