"""A Kubernetes cluster that is there already, as an infrastructure. Nothing of it is ever made or deleted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from jupyter_dodas.errors import CredentialsRefused, InvalidSetting, NotSupported, ProvisionerUnreachable
from jupyter_dodas.provision.base import Access, Order, Outputs, Plan, State, Status
from jupyter_dodas.provision.clouds import KubernetesCloud
from jupyter_dodas.provision.kubeconfig import Kubeconfig
from jupyter_dodas.provision.options import Options
from jupyter_dodas.provision.standing import Standing
from jupyter_dodas.spec import Problem

__all__ = ["Existing", "ExistingOptions"]


class ExistingOptions(Options):
    """What an administrator says of a cluster that is there.

    Parameters
    ----------
    kubeconfig
        A file that reaches it. Without it, the cluster is the one of the user's credentials.
    ca_file
        The authority of the cluster of the user's credentials; by default those of the system are trusted.
    """

    kubeconfig: Path | None = None
    ca_file: Path | None = None


class Existing(Standing):
    """A cluster that is there."""

    def __init__(self, options: ExistingOptions, cloud: KubernetesCloud | None) -> None:
        super().__init__()
        self._options, self._cloud = options, cloud

    @classmethod
    def of(cls, options: Mapping[str, Any], access: Access) -> Self:
        """See `Provisioner.of`."""
        read = ExistingOptions.read("existing", options)
        cloud = next((one for one in access.clouds if isinstance(one, KubernetesCloud)), None)
        if read.kubeconfig is None and cloud is None:
            raise InvalidSetting(
                "There is no cluster that is there already",
                cause="Neither has an administrator named a kubeconfig, nor are there credentials for one.",
                remedy="Set the option kubeconfig of the provisioner, or add credentials for a Kubernetes cluster.",
            )
        return cls(read, cloud)

    def _kubeconfig(self) -> Kubeconfig:
        """Return it as it is now: tokens in it may be renewed by others."""
        if self._options.kubeconfig is not None:
            return Kubeconfig.read(self._options.kubeconfig)
        assert self._cloud is not None
        authority = self._options.ca_file.read_bytes() if self._options.ca_file is not None else b""
        return Kubeconfig.of(self._cloud.host, self._cloud.token.get_secret_value(), authority)

    async def plan(self, order: Order) -> Plan:
        """See `Provisioner.plan`."""
        return Plan(machines=(), notes=(f"Nothing is created: the cluster at {self._kubeconfig().server} is there already.",))

    async def create(self, order: Order) -> str:
        """See `Provisioner.create`."""
        await self._kubeconfig().check()
        return await super().create(order)

    async def status(self, identifier: str) -> Status:
        """See `Provisioner.status`."""
        if self.is_let_go(identifier):
            return Status(state=State.GONE)
        try:
            await self._kubeconfig().check()
        except (ProvisionerUnreachable, CredentialsRefused, InvalidSetting) as error:
            problem = Problem(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy)
            return Status(state=State.DEGRADED, problem=problem)
        return Status(state=State.READY)

    async def scale(self, identifier: str, order: Order) -> None:
        """See `Provisioner.scale`."""
        raise NotSupported("A cluster that is there already is not made larger or smaller", remedy="Ask whoever looks after it.")

    async def outputs(self, identifier: str) -> Outputs:
        """See `Provisioner.outputs`."""
        self._see_held(identifier)
        found = self._kubeconfig()
        return Outputs(kubeconfig=found.text(), values={"server": found.server})
