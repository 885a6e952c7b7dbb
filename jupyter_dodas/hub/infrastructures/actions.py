"""What is done about an infrastructure, once that is decided: each may be killed at any line, and is then done again.

What is about to be done is written down first, see `Record.asked`.
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
from jupyter_dodas.hub.infrastructures.decisions import Do, Seen
from jupyter_dodas.hub.infrastructures.orders import Orders
from jupyter_dodas.hub.infrastructures.problems import as_problem, trouble
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.steps import advance, ended
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.base import Provisioner, Status
from jupyter_dodas.spec import Phase, Problem

__all__ = ["Actions"]

T = TypeVar("T")

_PATIENCE: Final = 120.0
"""Seconds that one answer of a provisioner may take."""
_AT_ONCE: Final = 32
"""Questions that are put to provisioners at the same time."""
_IN_FLIGHT: Final = 5.0
"""Seconds within which something may still appear that was asked for by a service that was killed."""
_AGAIN: Final = 10.0
"""Seconds after which a deletion is asked for again: some are confirmed and forgotten."""
_LOG: Final = 1 << 18
"""Characters of a log that are kept, from its end."""

_log = logging.getLogger(__name__)


class Actions:
    """All there are, see `Do`.

    Parameters
    ----------
    store, vault, changes, configuration, orders
        What they work with.
    """

    def __init__(self, store: Store, vault: Vault, changes: Changes, configuration: Configuration, orders: Orders) -> None:
        self._store, self._vault, self._changes = store, vault, changes
        self._configuration, self._orders = configuration, orders
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def change(self, uid: str, how: Callable[[Record], Record]) -> Record | None:
        """Change one, and tell who waits for that."""
        found = await self._store.change(uid, how)
        self._changes.tell(uid)
        return found

    async def ask(self, maker: Provisioner | None, what: Callable[[Provisioner], Awaitable[T]]) -> T:
        """Put a question to a provisioner, when it is its turn.

        Raises
        ------
        DodasError
        """
        assert maker is not None, "what was asked for has a provisioner"
        async with self._gate:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await what(maker)
            except TimeoutError:
                raise ProvisionerUnreachable(
                    "The provisioner does not answer", cause=f"It took longer than {_PATIENCE:g} s.", remedy="It is asked again."
                ) from None

    async def do(  # noqa: C901 - a table of what there is to do
        self, do: Do, record: Record, what: Seen, maker: Provisioner | None, status: Status | None
    ) -> bool | None:
        """Do what was decided of one that was seen. True if there is more to do at once, None if nothing is left."""
        match do:
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
                    await self.ask(maker, lambda it: it.delete(record.identifier))
                    _log.info("The deletion of %s was asked for", record.label)
                return False
            case Do.CLEAR:
                return await self._clear(record, maker)
            case Do.FORGET:
                await self._store.forget(record.uid)
                self._changes.tell(record.uid)
                _log.info("Nothing is left of %s", record.label)
                return None

    # -- one by one ------------------------------------------------------------------------------------------------------

    async def _create(self, record: Record, maker: Provisioner | None) -> None:
        order = await self._orders.of(record)
        asked = time.time()
        record_now = await self.change(
            record.uid, lambda it: it if it.wanted == "absent" else it.model_copy(update={"asked": asked, "applied": it.workers})
        )
        if record_now is None or record_now.asked != asked:
            return
        try:
            identifier = await self.ask(maker, lambda it: it.create(order))
        except DodasError as error:
            if error.retryable:
                # It may have been heard all the same.
                await self.change(record.uid, lambda it: it.model_copy(update={"doubtful": True}))
                raise
            await self._fail(record, as_problem(error), asked=None)
            return
        usually = await self._store.usually(record.kind)

        def how(old: Record) -> Record:
            steps = advance(old.steps, "Machines", time.time(), usually)
            return old.model_copy(update={"identifier": identifier, "steps": steps})

        await self.change(record.uid, how)
        _log.info("%s is being made as %s", record.label, identifier)

    async def _find(self, record: Record, maker: Provisioner | None) -> bool:
        name = await self._orders.name(record)
        found = await self.ask(maker, lambda it: it.find(name))
        if found:
            await self.change(record.uid, lambda it: it.model_copy(update={"identifier": found[0], "doubtful": True}))
            for other in found[1:]:
                await self.ask(maker, lambda it, other=other: it.delete(other))  # type: ignore[misc]
            return True
        if time.time() < (record.asked or 0.0) + _IN_FLIGHT:
            return False
        await self.change(record.uid, lambda it: it.model_copy(update={"asked": None, "doubtful": True}))
        return True

    async def _read(self, record: Record, maker: Provisioner | None) -> None:
        try:
            found = await self.ask(maker, lambda it: it.outputs(record.identifier))
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
                await self._store.took(f"{record.kind}/{step.name}", (step.ended or now) - step.started)

    async def _scale(self, record: Record, maker: Provisioner | None) -> None:
        order = await self._orders.of(record)
        try:
            await self.ask(maker, lambda it: it.scale(record.identifier, order))
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
            said = await self.ask(maker, lambda it: it.log(record.identifier))
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
            if found := await self.ask(maker, lambda it: it.find(name)):
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
