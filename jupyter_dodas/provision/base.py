"""What a provisioner owes: who makes infrastructures out of templates, and takes them away again.

A new one is a module beside this and an entry point of the group ``jupyter_dodas.provisioners``. It keeps nothing itself: whoever
asks keeps the identifier, and may be killed at any moment; `find` tells what such a one has left.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self

from pydantic import Field, SecretStr

from jupyter_dodas.provision.clouds import Cloud
from jupyter_dodas.provision.template import Template
from jupyter_dodas.spec import Model, Problem

__all__ = ["Access", "Machine", "Order", "Outputs", "Plan", "Provisioner", "QuotaLine", "State", "Status", "Vm", "no_token"]


class State(StrEnum):
    """How far an infrastructure is, as its provisioner tells it."""

    MACHINES = "machines"
    """Its machines are being made."""
    CONFIGURING = "configuring"
    """They run, and what the template puts on them is being installed."""
    READY = "ready"
    DEGRADED = "degraded"
    """It was ready, and a machine of it is off, or not as it should be."""
    FAILED = "failed"
    """It will not become ready by itself."""
    DELETING = "deleting"
    GONE = "gone"
    """The provisioner knows nothing of it any more."""


class Machine(Model):
    """Machines of one role in a template: what each of them is to be like."""

    role: str
    count: int = Field(ge=0)
    cores: int = 1
    memory: int = 0
    """Bytes of each."""
    disk: int = 0
    """Bytes of each."""
    public: bool = False
    """Whether each has an address of the world."""


class QuotaLine(Model):
    """One line of what a cloud lets its user have; None is not known."""

    name: str
    """cores, memory (bytes), machines, ..."""
    asked: float
    used: float | None = None
    limit: float | None = None


class Plan(Model):
    """What would be created, before anything is."""

    machines: tuple[Machine, ...]
    quota: tuple[QuotaLine, ...] = ()
    notes: tuple[str, ...] = ()
    """What else is to be known, as sentences."""

    @property
    def exceeded(self) -> tuple[QuotaLine, ...]:
        """The lines that the plan does not keep to."""
        return tuple(line for line in self.quota if line.limit is not None and (line.used or 0) + line.asked > line.limit)


class Vm(Model):
    """One machine that is there."""

    id: str
    role: str = ""
    state: str
    """In the words of the provisioner."""
    addresses: tuple[str, ...] = ()


class Status(Model):
    """What is there now."""

    state: State
    machines: tuple[Vm, ...] = ()
    problem: Problem | None = None
    """Why it has failed, or is degraded."""


@dataclass(frozen=True)
class Outputs:
    """What an infrastructure that is ready gives.

    Parameters
    ----------
    kubeconfig
        To reach the Kubernetes cluster on it with; None if there is none.
    values
        All others that are no secret, such as addresses.
    """

    kubeconfig: SecretStr | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Parameters
    ----------
    name
        Unlike any other at this provisioner: what is found under it is this.
    template, inputs
        What of. The inputs are checked, see `Template.check`.
    recipes
        Address under which the provisioner finds the recipes of the templates, see `Template.fill`.
    secrets
        Inputs that are secret, and made anew for each infrastructure, such as the token with which workers join.
    """

    name: str
    template: Template
    inputs: Mapping[str, Any]
    recipes: str
    secrets: Mapping[str, str] = field(default_factory=dict)


async def no_token() -> str:
    """Return no token: of a provisioner that takes none."""
    return ""


@dataclass(frozen=True)
class Access:
    """In whose name a provisioner works.

    Parameters
    ----------
    token
        Returns an access token that holds now; it is asked for at each call.
    clouds
        Where machines may be made, with credentials. Those that take the token of the user have none of their own.
    """

    token: Callable[[], Awaitable[str]] = no_token
    clouds: Sequence[Cloud] = ()


class Provisioner(Protocol):
    """Who makes infrastructures. Every method may be called again with no further effect, and raises only `DodasError`."""

    @classmethod
    def of(cls, options: Mapping[str, Any], access: Access) -> Self:
        """Return one with these options, as an administrator wrote them, and access.

        Raises
        ------
        InvalidSetting
        """

    async def plan(self, order: Order) -> Plan:
        """Return what would be created, and how much of its quota that takes. Nothing is created."""

    async def create(self, order: Order) -> str:
        """Begin to create it, and return its identifier long before it is ready.

        Raises
        ------
        TemplateInvalid, QuotaExceeded, CredentialsRefused, ProvisionerUnreachable
        """

    async def find(self, name: str) -> Sequence[str]:
        """Return identifiers of what was created under this name."""

    async def status(self, identifier: str) -> Status:
        """Return what is there. Of what nobody knows the state is `State.GONE`."""

    async def scale(self, identifier: str, order: Order) -> None:
        """Begin to make it what the order now says: other numbers of machines. Machines that are dead go first.

        The order that it was created by completes it, should the provisioner have been killed meanwhile.
        """

    async def outputs(self, identifier: str) -> Outputs:
        """Return what it gives; it has to be ready."""

    async def log(self, identifier: str) -> str:
        """Return what was said while it was made, without secrets."""

    async def delete(self, identifier: str) -> None:
        """Begin to delete it. Whoever asks goes on until `status` says that it is gone."""
