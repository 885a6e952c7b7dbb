"""A Kubernetes cluster that is there already, as an infrastructure. Nothing of it is ever made or deleted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from jupyter_dodas.errors import CredentialsRefused, InvalidSetting, NotSupported, ProvisionerUnreachable, ProvisionFailed
from jupyter_dodas.provision.base import Access, Order, Outputs, Plan, State, Status
from jupyter_dodas.provision.clouds import KubernetesCloud
from jupyter_dodas.provision.kubeconfig import Kubeconfig
from jupyter_dodas.spec import Model, Problem

__all__ = ["Existing", "Options"]


class Options(Model):
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


class Existing:
    """A cluster that is there.

    An identifier is the name that was asked for. It is there until it is deleted, also for one of these that was not asked: nothing
    is kept of it, and so nothing can be lost.
    """

    def __init__(self, options: Options, cloud: KubernetesCloud | None) -> None:
        self._options, self._cloud = options, cloud
        self._given: set[str] = set()
        self._let_go: set[str] = set()

    @classmethod
    def of(cls, options: Mapping[str, Any], access: Access) -> Self:
        """See `Provisioner.of`."""
        try:
            read = Options.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidSetting(
                f"The option {'.'.join(map(str, first['loc']))!r} of a provisioner existing will not do",
                cause=first["msg"],
                remedy=f"Options: {', '.join(Options.model_fields)}.",
            ) from error
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
        if identifier in self._let_go:
            raise ProvisionFailed("There is no such infrastructure", cause="It was let go.")
        found = self._kubeconfig()
        return Outputs(kubeconfig=found.text(), values={"server": found.server})

    async def log(self, identifier: str) -> str:
        """See `Provisioner.log`."""
        return ""

    async def delete(self, identifier: str) -> None:
        """See `Provisioner.delete`. The cluster stays."""
        self._given.discard(identifier)
        self._let_go.add(identifier)
