"""What the service of infrastructures says and takes, on the wire. Times are Unix seconds, sizes bytes."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, StringConstraints

from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.provision.base import Machine, Vm
from jupyter_dodas.provision.template import Template
from jupyter_dodas.spec import Model, Name, Phase, Problem, Step

__all__ = ["Change", "CloudView", "InfrastructureView", "TemplateView", "Wanted"]


class Wanted(Model):
    """What somebody asks for.

    Parameters
    ----------
    template
        Name of one that the service offers.
    text
        A template of the user's own instead, as YAML.
    provisioner
        Which one; by default the first that the service has.
    cloud
        Name of credentials of the user's or of a group of theirs; by default the first.
    linger
        Seconds that it stays after the last holder has released it; None is for ever.
    """

    name: Name
    template: str = ""
    text: Annotated[str, Field(max_length=1 << 20)] = ""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    provisioner: str = ""
    cloud: str = ""
    linger: Annotated[float, Field(ge=0)] | None = None


class Change(Model):
    """What is to change of one that is there."""

    workers: Annotated[int, Field(ge=0)] | None = None
    linger: Annotated[float, Field(ge=0)] | None = None


class InfrastructureView(Model):
    """One infrastructure: what was asked (down to `linger`), and what is."""

    name: Name
    owner: str
    uid: str
    template: str
    digest: str
    """Of the text of the template; it tells versions apart."""
    provisioner: str
    cloud: str = ""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    workers: int | None = None
    linger: float | None = None
    created: float
    generation: int = 1
    """Raised with every change of anything here."""
    wanted: Literal["present", "absent"] = "present"
    phase: Phase = Phase.PENDING
    steps: tuple[Step, ...] = ()
    """Queued, Machines, Kubernetes: named, dated, with what each usually takes."""
    problem: Problem | None = None
    identifier: str = ""
    """At its provisioner; empty until that has said one."""
    machines: tuple[Vm, ...] = ()
    outputs: Mapping[str, str] = Field(default_factory=dict)
    holders: tuple[str, ...] = ()
    """Who uses it: servers of the hub, as ``user/server``."""


class TemplateView(Model):
    """A template, for forms."""

    name: Annotated[str, StringConstraints(min_length=1)]
    title: str
    description: str
    digest: str
    inputs: Mapping[str, Any]
    """JSON Schema."""
    machines: tuple[Machine, ...] = ()
    """With the default inputs; none where some have no defaults."""

    @classmethod
    def of(cls, template: Template) -> Self:
        """Return the view of a template."""
        try:
            machines = template.machines(template.check({}))
        except InvalidOption:
            machines = ()
        return cls(
            name=template.name,
            title=template.title,
            description=template.description,
            digest=template.digest,
            inputs=template.schema(),
            machines=machines,
        )


class CloudView(Model):
    """Credentials for a cloud, without what is secret in them."""

    name: Name
    kind: str
    group: str = ""
    """Whose they are; empty: the user's own."""
    public: Mapping[str, str] = Field(default_factory=dict)
