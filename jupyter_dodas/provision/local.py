"""This machine as an infrastructure: there is nothing to make, and nothing to take away."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import psutil

from jupyter_dodas.errors import InvalidSetting, NotSupported, ProvisionFailed
from jupyter_dodas.provision.base import Access, Machine, Order, Outputs, Plan, State, Status, Vm

__all__ = ["Local"]


class Local:
    """This machine. An identifier is the name that was asked for; it is there until it is deleted, also for who was not asked."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._let_go: set[str] = set()

    @classmethod
    def of(cls, options: Mapping[str, Any], access: Access) -> Self:  # noqa: ARG003 - others need it
        """See `Provisioner.of`. It has no options."""
        if options:
            raise InvalidSetting(f"A provisioner local has no option {next(iter(options))!r}", remedy="It has none at all.")
        return cls()

    async def plan(self, order: Order) -> Plan:
        """See `Provisioner.plan`."""
        machine = Machine(role="this machine", count=1, cores=len(os.sched_getaffinity(0)), memory=psutil.virtual_memory().total)
        return Plan(
            machines=(machine,), notes=("Nothing is created: everything runs on this machine, beside what runs there now.",)
        )

    async def create(self, order: Order) -> str:
        """See `Provisioner.create`."""
        self._given.add(order.name)
        self._let_go.discard(order.name)
        return order.name

    async def find(self, name: str) -> Sequence[str]:
        """See `Provisioner.find`."""
        return [name] if name in self._given else []

    async def status(self, identifier: str) -> Status:
        """See `Provisioner.status`."""
        if identifier in self._let_go:
            return Status(state=State.GONE)
        return Status(state=State.READY, machines=(Vm(id="0", role="this machine", state="configured", addresses=("127.0.0.1",)),))

    async def scale(self, identifier: str, order: Order) -> None:
        """See `Provisioner.scale`."""
        raise NotSupported("There is one machine, and there will be one", cause="This infrastructure is this machine.")

    async def outputs(self, identifier: str) -> Outputs:
        """See `Provisioner.outputs`. There is no Kubernetes in it."""
        if identifier in self._let_go:
            raise ProvisionFailed("There is no such infrastructure", cause="It was let go.")
        return Outputs(values={"address": "127.0.0.1"})

    async def log(self, identifier: str) -> str:
        """See `Provisioner.log`."""
        return ""

    async def delete(self, identifier: str) -> None:
        """See `Provisioner.delete`. The machine stays."""
        self._given.discard(identifier)
        self._let_go.add(identifier)
