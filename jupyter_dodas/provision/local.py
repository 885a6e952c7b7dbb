"""This machine as an infrastructure: there is nothing to make, and nothing to take away."""

import os
from collections.abc import Mapping
from typing import Any, Self

import psutil

from jupyter_dodas.errors import NotSupported
from jupyter_dodas.provision.base import Access, Machine, Order, Outputs, Plan, State, Status, Vm
from jupyter_dodas.provision.options import Options
from jupyter_dodas.provision.standing import Standing

__all__ = ["Local"]


class Local(Standing):
    """This machine."""

    @classmethod
    def of(cls, options: Mapping[str, Any], access: Access) -> Self:  # noqa: ARG003 - others need it
        """See `Provisioner.of`. It has no options."""
        Options.read("local", options)
        return cls()

    async def plan(self, order: Order) -> Plan:
        """See `Provisioner.plan`."""
        machine = Machine(role="this machine", count=1, cores=len(os.sched_getaffinity(0)), memory=psutil.virtual_memory().total)
        return Plan(
            machines=(machine,), notes=("Nothing is created: everything runs on this machine, beside what runs there now.",)
        )

    async def status(self, identifier: str) -> Status:
        """See `Provisioner.status`."""
        if self.is_let_go(identifier):
            return Status(state=State.GONE)
        return Status(state=State.READY, machines=(Vm(id="0", role="this machine", state="configured", addresses=("127.0.0.1",)),))

    async def scale(self, identifier: str, order: Order) -> None:
        """See `Provisioner.scale`."""
        raise NotSupported("There is one machine, and there will be one", cause="This infrastructure is this machine.")

    async def outputs(self, identifier: str) -> Outputs:
        """See `Provisioner.outputs`. There is no Kubernetes in it."""
        self._see_held(identifier)
        return Outputs(values={"address": "127.0.0.1"})
