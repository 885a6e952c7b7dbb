"""What people can ask of the service, whichever way they come: everything is checked here, and written down before it is done."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from jupyter_dodas.errors import (
    InfrastructureExists,
    InfrastructureNotFound,
    ProvisionFailed,
    QuotaExceeded,
    TooLarge,
)
from jupyter_dodas.hub.audit import Audit
from jupyter_dodas.hub.infrastructures.changes import Changes
from jupyter_dodas.hub.infrastructures.checks import Caller, Checks
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.credentials import Credentials
from jupyter_dodas.hub.infrastructures.keeping import Keeping
from jupyter_dodas.hub.infrastructures.makers import Makers
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.base import Order, Plan
from jupyter_dodas.provision.views import Change, CloudView, Wanted
from jupyter_dodas.spec import Phase, Step

__all__ = ["Desk"]

_HOLDERS: Final = 100
"""Holders of one infrastructure."""


class Desk:
    """Takes what people ask for.

    Parameters
    ----------
    store, vault, configuration, makers, credentials, checks, keeping, changes, audit
        What it works with.
    """

    def __init__(
        self,
        *,
        store: Store,
        vault: Vault,
        configuration: Configuration,
        makers: Makers,
        credentials: Credentials,
        checks: Checks,
        keeping: Keeping,
        changes: Changes,
        audit: Audit,
    ) -> None:
        self._store, self._vault, self._configuration, self._makers = store, vault, configuration, makers
        self._credentials, self._checks, self._keeping, self._changes = credentials, checks, keeping, changes
        self._audit = audit

    # -- what is there ---------------------------------------------------------------------------------------------------

    async def list(self, owner: str) -> Sequence[Record]:
        """Return those of a user."""
        return await self._store.of(owner)

    async def everything(self) -> Sequence[Record]:
        """Return those of everybody."""
        return [one for one in await self._store.all() if not one.retired]

    async def get(self, owner: str, name: str, *, newer_than: int | None = None, wait: float = 0.0) -> Record:
        """Return one; if its generation is the one that is known, after its next change or the wait.

        Raises
        ------
        InfrastructureNotFound
        """
        found = await self._found(owner, name)
        if newer_than is None or found.generation != newer_than or wait <= 0:
            return found
        changed = await self._changes.wait(found.uid, newer_than, wait, lambda: self._store.get(found.uid))
        if changed is None or changed.retired:
            return await self._found(owner, name)
        return changed

    async def kubeconfig(self, owner: str, name: str) -> str:
        """Return the secret with which its cluster is reached.

        Raises
        ------
        InfrastructureNotFound, ProvisionFailed
        """
        record = await self._found(owner, name)
        found = self._vault.open(await self._store.secrets(record.uid)).get("kubeconfig")
        if record.ready is None or record.failed or not found:
            raise ProvisionFailed(
                f"{name!r} has no Kubernetes cluster to reach",
                cause="It has none, or is not ready." if not record.failed else "It has failed.",
                remedy="Wait until it is ready.",
            )
        self._audit.note("kubeconfig", user=owner, infrastructure=name)
        return found

    async def log(self, owner: str, name: str) -> str:
        """Return what was said while it was made.

        Raises
        ------
        InfrastructureNotFound
        """
        record = await self._found(owner, name)
        kept = await self._store.log(record.uid)
        if kept is not None or not record.identifier:
            return kept or ""
        maker = await self._makers.bound(record.provisioner, record.owner, record.cloud_owner, record.cloud)
        return await maker.log(record.identifier)

    # -- what is asked ---------------------------------------------------------------------------------------------------

    async def plan(self, caller: Caller, wanted: Wanted) -> Plan:
        """Return what would be created."""
        checked = await self._checks.check(caller, wanted)
        maker = await self._makers.bound(checked.provisioner, caller.owner, checked.cloud_owner, checked.cloud)
        scalable = checked.template.scalable
        workers = {scalable: checked.workers} if scalable is not None and checked.workers is not None else {}
        order = Order(
            name="dodas-plan",
            template=checked.template,
            inputs={**checked.inputs, **workers},
            recipes=self._configuration.recipes,
            secrets={name: secrets.token_urlsafe(24) for name in checked.template.secrets},
        )
        return await maker.plan(order)

    async def create(self, caller: Caller, wanted: Wanted) -> Record:
        """Write down one that is wanted. The same one will do, if it is not on its way out.

        Raises
        ------
        InfrastructureExists, InvalidOption, TemplateInvalid, QuotaExceeded, NotSupported
        """
        checked = await self._checks.check(caller, wanted)
        there = await self._store.find(caller.owner, wanted.name)
        if there is not None and there.wanted == "present" and not there.failed:
            if checked.is_of(there):
                return there
            raise InfrastructureExists(wanted.name, "It was made of another template, or with other inputs.")
        mine = await self._store.of(caller.owner)
        if len(mine) - (there is not None) >= self._configuration.most:
            raise QuotaExceeded("infrastructures", str(len(mine) + 1), str(self._configuration.most))
        now = time.time()
        record = Record(
            uid=secrets.token_hex(6),
            owner=caller.owner,
            name=wanted.name,
            provisioner=checked.provisioner,
            template=checked.template.name,
            digest=checked.template.digest,
            inputs=checked.inputs,
            chosen=dict(wanted.inputs),
            cloud=checked.cloud,
            cloud_owner=checked.cloud_owner,
            workers=checked.workers,
            linger=wanted.linger,
            created=now,
            generation=there.generation + 1 if there is not None else 1,
            steps=(Step(name="Queued", started=now),),
            unheld=now,
        )
        made = {name: secrets.token_urlsafe(24) for name in checked.template.secrets}
        await self._store.add(
            record, checked.template.text, self._vault.close(made), instead=there.uid if there is not None else ""
        )
        if there is not None:
            self._changes.tell(there.uid)
            self._keeping.nudge(there.uid)
        self._audit.note(
            "create-infrastructure", user=caller.owner, infrastructure=wanted.name, uid=record.uid, template=record.template
        )
        self._keeping.nudge(record.uid)
        return record

    async def change(self, owner: str, name: str, change: Change) -> Record:
        """Write down what is to be different.

        Raises
        ------
        InfrastructureNotFound, InvalidOption, ProvisionFailed
        """
        record = await self._found(owner, name)
        if change.workers is not None:
            await self._checks.can_have(record, change.workers)

        def how(old: Record) -> Record:
            new: dict[str, Any] = {"refusal": None}
            if "linger" in change.model_fields_set:
                new["linger"] = change.linger
            if change.workers is not None and change.workers != old.workers and old.wanted == "present" and not old.failed:
                new["workers"] = change.workers
                if old.ready is not None:
                    new |= {"phase": Phase.STARTING, "steps": (Step(name="Machines", started=time.time()),)}
            return old.model_copy(update=new)

        changed = await self._keeping.change(record.uid, how)
        if changed is None:
            raise InfrastructureNotFound(name)
        self._audit.note("change-infrastructure", user=owner, infrastructure=name, uid=record.uid, workers=changed.workers)
        self._keeping.nudge(record.uid)
        return changed

    async def delete(self, owner: str, name: str) -> Record:
        """Write down that one is not wanted any more.

        Raises
        ------
        InfrastructureNotFound
        """
        record = await self._found(owner, name)
        changed = await self._keeping.change(
            record.uid, lambda it: it.model_copy(update={"wanted": "absent", "phase": Phase.STOPPING, "problem": None})
        )
        if changed is None:
            raise InfrastructureNotFound(name)
        self._audit.note("delete-infrastructure", user=owner, infrastructure=name, uid=record.uid)
        self._keeping.nudge(record.uid)
        return changed

    async def hold(self, owner: str, name: str, holder: str) -> None:
        """Note who uses one.

        Raises
        ------
        InfrastructureNotFound, TooLarge
        """
        record = await self._found(owner, name)
        if len(record.holders) >= _HOLDERS:
            raise TooLarge(f"{name!r} has {_HOLDERS} holders", remedy="Release it from some of them.")
        await self._held(record, name, lambda holders: (*(one for one in holders if one != holder), holder))

    async def release(self, owner: str, name: str, holder: str) -> None:
        """Note that somebody uses one no more.

        Raises
        ------
        InfrastructureNotFound
        """
        record = await self._found(owner, name)
        await self._held(record, name, lambda holders: tuple(one for one in holders if one != holder))

    async def _held(self, record: Record, name: str, how: Any) -> None:
        def change(old: Record) -> Record:
            if set(holders := how(old.holders)) == set(old.holders):
                return old
            return old.model_copy(update={"holders": holders, "unheld": None if holders else time.time()})

        changed = await self._keeping.change(record.uid, change)
        if changed is None or changed.wanted == "absent":
            raise InfrastructureNotFound(name)
        self._keeping.nudge(record.uid)

    async def _found(self, owner: str, name: str) -> Record:
        found = await self._store.find(owner, name)
        if found is None:
            raise InfrastructureNotFound(name, [one.name for one in await self._store.of(owner)])
        return found

    # -- credentials -----------------------------------------------------------------------------------------------------

    async def clouds(self, caller: Caller) -> Sequence[CloudView]:
        """Return credentials that somebody may use."""
        return [view for _, view in await self._credentials.list(caller.purses)]
