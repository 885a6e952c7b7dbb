"""What the service keeps of an infrastructure: what was asked, what is, and how far it has come with the provisioner."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from jupyter_dodas.provision.base import Vm
from jupyter_dodas.provision.views import InfrastructureView
from jupyter_dodas.spec import Model, Name, Phase, Problem, Step

__all__ = ["Record"]


class Record(Model):
    """One infrastructure. No secret is in it: these are beside it, encrypted."""

    uid: str
    owner: str
    name: Name
    provisioner: str
    template: str
    digest: str
    """Of the template's text, which is kept beside it."""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    """As they were checked, defaults among them; the number of workers is in `workers`."""
    chosen: Mapping[str, JsonValue] = Field(default_factory=dict)
    """As they were given."""
    cloud: str = ""
    cloud_owner: str = ""
    """Whose credentials: ``user:NAME`` or ``group:NAME``."""
    workers: int | None = None
    linger: float | None = None
    created: float
    generation: int = 1
    wanted: Literal["present", "absent"] = "present"
    retired: bool = False
    """Another one has taken its name; it goes, and nobody sees it."""

    phase: Phase = Phase.PENDING
    steps: tuple[Step, ...] = ()
    problem: Problem | None = None
    refusal: Problem | None = None
    """Why the last change of its size was refused; all else goes on."""
    failed: bool = False
    """It was given up. What is left of it at the provisioner goes, its problem stays."""
    settled: float | None = None
    """When it was ready last, or failed."""
    ready: float | None = None
    """When it was ready first."""

    asked: float | None = None
    """When the provisioner was asked to create it. Written before that is done."""
    doubtful: bool = False
    """The answer of the provisioner got lost once: there may be more than one."""
    identifier: str = ""
    applied: int | None = None
    """The number of workers that the provisioner was asked for last."""
    whole: bool = False
    """Whether all of its machines were there once: a provisioner may be killed while it makes them, and knows of no others then."""
    current: bool = False
    """Whether what it gives was read since it last changed."""
    erased: float | None = None
    """When the provisioner was last asked to delete it."""
    machines: tuple[Vm, ...] = ()
    outputs: Mapping[str, str] = Field(default_factory=dict)

    holders: tuple[str, ...] = ()
    unheld: float | None = None
    """Since when nobody holds it."""

    @property
    def label(self) -> str:
        """Tell which one it is, for a log."""
        return f"{self.owner}/{self.name} ({self.uid})"

    @property
    def kind(self) -> str:
        """Tell of what all take about as long."""
        return f"{self.provisioner}/{self.template}"

    def view(self) -> InfrastructureView:
        """Return what people see of it."""
        return InfrastructureView(
            name=self.name,
            owner=self.owner,
            uid=self.uid,
            template=self.template,
            digest=self.digest,
            provisioner=self.provisioner,
            cloud=self.cloud,
            inputs=self.chosen,
            workers=self.workers,
            linger=self.linger,
            created=self.created,
            generation=self.generation,
            wanted=self.wanted,
            phase=self.phase,
            steps=self.steps,
            problem=self.problem or self.refusal,
            identifier=self.identifier,
            machines=self.machines,
            outputs=self.outputs,
            holders=self.holders,
        )
