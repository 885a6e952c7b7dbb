"""Infrastructures by the Infrastructure Manager."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field

from jupyter_dodas.errors import Busy, InfrastructureNotFound, InvalidSetting, NotAllowed, ProvisionerUnreachable, ProvisionFailed
from jupyter_dodas.provision.base import Access, Order, Outputs, Plan, State, Status
from jupyter_dodas.provision.im import results
from jupyter_dodas.provision.im.authorization import line
from jupyter_dodas.provision.im.client import Client
from jupyter_dodas.provision.im.endings import Endings, born, states
from jupyter_dodas.provision.im.machines import Machines, dead, fits, surplus
from jupyter_dodas.provision.im.planning import plan
from jupyter_dodas.provision.im.states import Do, decide
from jupyter_dodas.provision.im.words import hidden
from jupyter_dodas.provision.options import Options

__all__ = ["InfrastructureManager", "ManagerOptions"]

_LAUNCH: Final = 600.0
"""Seconds that it may take to answer when machines are added to what is there: it answers when the cloud has them."""
_HOLLOW: Final = 300.0
"""Seconds after which what has neither a name nor machines will not get any."""
_AT_ONCE: Final = 8
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")


class ManagerOptions(Options):
    """What an administrator says of an Infrastructure Manager."""

    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    contextualization_timeout: float = Field(default=3600, gt=0)
    """Seconds after which an infrastructure that is not ready has failed; its own deadline is two hours."""
    ca_file: Path | None = None
    """Authorities that its certificate may be of, instead of those of the system."""
    account: Path | None = None
    """A file with a name on its first line and a password on its second, for one that takes no tokens."""
    patience: float = Field(default=60, gt=0)
    """Seconds that an answer may take."""


class InfrastructureManager:
    """One Infrastructure Manager, in the name of one user."""

    def __init__(self, options: ManagerOptions, access: Access) -> None:
        self._options, self._access = options, access
        self._client = Client(options.url, self._header, ca_file=options.ca_file, patience=options.patience)
        self._machines = Machines(self._client)
        self._sent: set[str] = set()
        self._names: dict[str, str | None] = {}
        self._since: dict[str, float] = {}
        self._endings = Endings(self._client)

    @classmethod
    def of(cls, options: Mapping[str, Any], access: Access) -> Self:
        """See `Provisioner.of`."""
        read = ManagerOptions.read("im", options)
        if read.account is not None:
            _account(read.account)
        return cls(read, access)

    async def _header(self) -> str:
        account = _account(self._options.account) if self._options.account is not None else None
        return line(await self._access.token(), account, self._access.clouds)

    # -- before and at the beginning -----------------------------------------------------------------------------------

    async def plan(self, order: Order) -> Plan:
        """See `Provisioner.plan`."""
        return await plan(self._client, order, self._access.clouds)

    async def create(self, order: Order) -> str:
        """See `Provisioner.create`."""
        if order.name in self._sent and (found := await self.find(order.name)):
            return found[0]  # the answer was lost on the way
        self._sent.add(order.name)
        now = time.time()
        answer = await self._client.post("infrastructures?async=true", _document(order, now))
        identifier = str(answer.get("uri", "")).rstrip("/").rpartition("/")[2]
        if not _IDENTIFIER.fullmatch(identifier):
            raise ProvisionerUnreachable(
                "The Infrastructure Manager does not say what it has created", remedy="Try again in a moment."
            )
        self._since[identifier], self._names[identifier] = now, order.name
        return identifier

    async def find(self, name: str) -> Sequence[str]:
        """See `Provisioner.find`."""
        return [identifier for identifier, found in (await self.names()).items() if found == name]

    async def names(self) -> Mapping[str, str]:
        """Return the names of all that is there in this user's name, by identifier."""
        answer = await self._client.get("infrastructures", "uri-list", list)
        listed = [str(one.get("uri", "")).rpartition("/")[2] for one in answer]
        turn = asyncio.Semaphore(_AT_ONCE)

        async def named(identifier: str) -> str | None:
            async with turn:
                return await self._name(identifier)

        left = [identifier for identifier in listed if not self._endings.asked(identifier)]
        for ghost in set(listed).difference(left):
            with suppress(Busy, InfrastructureNotFound, NotAllowed):
                await self._endings.ask(ghost)
        names = await asyncio.gather(*(named(identifier) for identifier in left))
        return {identifier: name for identifier, name in zip(left, names, strict=True) if name}

    async def _name(self, identifier: str) -> str | None:
        if not self._names.get(identifier):
            try:
                self._names[identifier] = results.name(await self._template(identifier)) or await self._described(identifier)
                if self._names[identifier] is None and time.time() > born(identifier, time.time()) + _HOLLOW:
                    await self._clear(identifier)
            except InfrastructureNotFound:
                return None  # it has gone meanwhile
        return self._names[identifier]

    async def _clear(self, identifier: str) -> None:
        """Remove what is left of a creation during which the Infrastructure Manager was killed: a number, and nothing else."""
        whole, numbers = await states(self._client, identifier)
        if whole == "pending" and not numbers:
            await self.delete(identifier)

    async def _template(self, identifier: str) -> str:
        """Return the template of an infrastructure as it was sent; empty if that was lost."""
        with suppress(NotAllowed, ProvisionFailed):
            return await self._client.get(f"infrastructures/{identifier}/tosca", "tosca", str)
        return ""

    async def _described(self, identifier: str) -> str | None:
        """Return the name that is left in what the template was made to."""
        found = re.search(r"name = '([\w.-]+)'", str(await self._client.get(f"infrastructures/{identifier}/radl", "radl", object)))
        return found.group(1) if found else None

    # -- while it is there ---------------------------------------------------------------------------------------------

    async def status(self, identifier: str) -> Status:
        """See `Provisioner.status`."""
        try:
            if self._endings.asked(_checked(identifier)):
                await self._endings.look(identifier)
                return Status(state=State.DELETING)
            return await self._status(identifier)
        except InfrastructureNotFound:
            self._forget(identifier)
            return Status(state=State.GONE)

    async def _status(self, identifier: str) -> Status:
        whole, numbers = await states(self._client, identifier)
        vms = await self._machines.look(identifier, numbers)
        settled = bool(numbers) and set(numbers.values()) <= {"configured"}
        late = None if settled else await self._late(identifier)
        status, do = decide(whole, vms, "" if settled else await self._said(identifier, set(numbers.values()), late), late)
        if do is Do.RECONFIGURE:
            await self._client.put(f"infrastructures/{identifier}/reconfigure")
        if status.state is State.READY:
            self._since[identifier] = time.time()
        return status

    async def _said(self, identifier: str, there: set[str], late: float | None) -> str:
        """Return its log, or as long as all goes well only what it says itself: that of the machines may be long."""
        well = late is None and not {"unconfigured", "failed"} & there
        return await self._client.get(
            f"infrastructures/{identifier}/contmsg" + ("?headeronly=true" if well else ""), "contmsg", str
        )

    async def _late(self, identifier: str) -> float | None:
        """Return for how many seconds it should have been ready."""
        if identifier not in self._since:
            self._since[identifier] = results.asked(await self._template(identifier)) or born(identifier, time.time())
        late = time.time() - self._since[identifier] - self._options.contextualization_timeout
        return late if late > 0 else None

    async def scale(self, identifier: str, order: Order) -> None:
        """See `Provisioner.scale`."""
        status = await self._status(_checked(identifier))
        if status.state in (State.MACHINES, State.DELETING):
            raise Busy("Machines of the infrastructure are just being made or deleted", after=5)
        wanted = order.template.machines(order.inputs)
        lost = {vm.id for vm in await dead(status.machines)}
        for number in sorted(lost, key=int):
            with suppress(InfrastructureNotFound):
                await self._client.delete(f"infrastructures/{identifier}/vms/{number}?context=false", patience=_LAUNCH)
        there = [vm for vm in status.machines if vm.id not in lost]
        if fits(there, wanted) and not lost and status.state in (State.READY, State.CONFIGURING):
            return
        now = time.time()
        document = _document(order, now, removal=surplus(there, wanted))
        self._since[identifier] = now
        await self._client.post(f"infrastructures/{identifier}", document, patience=_LAUNCH)

    async def outputs(self, identifier: str) -> Outputs:
        """See `Provisioner.outputs`."""
        status = await self._status(_checked(identifier))
        if status.state not in (State.READY, State.DEGRADED):
            # What it says until then is made of addresses that are not there yet.
            raise ProvisionFailed(
                "The infrastructure gives nothing yet", cause=f"It is {status.state}.", remedy="Wait until it is ready."
            )
        return results.outputs(await self._client.get(f"infrastructures/{identifier}/outputs", "outputs", dict))

    async def log(self, identifier: str) -> str:
        """See `Provisioner.log`."""
        said = await self._client.get(f"infrastructures/{_checked(identifier)}/contmsg", "contmsg", str)
        return hidden(said, results.secrets(await self._template(identifier)))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def delete(self, identifier: str) -> None:
        """See `Provisioner.delete`."""
        try:
            await self._endings.ask(_checked(identifier))
        except InfrastructureNotFound:
            self._forget(identifier)

    def _forget(self, identifier: str) -> None:
        self._machines.forget(identifier)
        self._since.pop(identifier, None)
        self._sent.discard(self._names.pop(identifier, None) or "")


def _document(order: Order, now: float, *, removal: tuple[str, ...] = ()) -> str:
    filled = order.template.fill({**order.inputs, **order.secrets}, name=order.name, recipes=order.recipes, removal=removal)
    return results.stamped(filled, now)


def _checked(identifier: str) -> str:
    """Return an identifier that can be a part of an address."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise InfrastructureNotFound(identifier)
    return identifier


def _account(file: Path) -> tuple[str, str]:
    """Return the name and the password in a file that nobody else can read."""
    try:
        if file.stat().st_mode & 0o077:
            raise InvalidSetting(
                f"Others can read the file {file}", cause="It has a password in it.", remedy=f"Run: chmod 600 {file}"
            )
        name, password = file.read_text("utf-8").split("\n")[:2]
    except (OSError, ValueError) as error:
        raise InvalidSetting(
            f"The account of the Infrastructure Manager cannot be read from {file}",
            cause=str(error) if isinstance(error, OSError) else "It has fewer than two lines.",
            remedy="Write the name on its first line and the password on its second.",
        ) from error
    return name.strip(), password.strip()
