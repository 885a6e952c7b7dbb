"""The infrastructure of a profile: what an administrator has fixed of it, and what people choose."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from jupyter_dodas.errors import DodasError, InvalidOption
from jupyter_dodas.provision import template as templates
from jupyter_dodas.provision.base import Machine
from jupyter_dodas.provision.template import Template
from jupyter_dodas.provision.views import Wanted

__all__ = ["INPUT", "Offer"]

INPUT: Final = "input_"
"""What stands before the name of an input among the options of a profile, which have names like these themselves."""

_LINGER: Final = 600.0
_HOUR: Final = 3600


class Offer(BaseModel):
    """What notebooks of a profile stand on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: Annotated[str, StringConstraints(max_length=100)] = Field(default="", description="Name of a template.")
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict, description="Inputs of it that are fixed.")
    choose: Mapping[str, tuple[JsonValue, ...]] = Field(
        default_factory=dict,
        description="Inputs that people choose, with what is offered; empty: the values that the template names.",
    )
    provisioner: str = Field(default="", description="Who makes it; by default the first that the service has.")
    cloud: str = Field(default="", description="Credentials to make it with; by default the first.")
    linger: Annotated[float, Field(ge=0)] | None = Field(
        default=_LINGER, description="Seconds that it stays after the last notebook on it; None is until somebody deletes it."
    )
    start_timeout: int = Field(default=_HOUR, ge=1, description="Seconds that a start may take.")

    @model_validator(mode="before")
    @classmethod
    def _as_table(cls, written: Any) -> Any:
        if isinstance(written, Mapping) and isinstance(offered := written.get("choose"), list | tuple):
            return {**written, "choose": {str(name): () for name in offered}}
        return written

    @model_validator(mode="after")
    def _will_do(self) -> "Offer":
        if not self.template and not self.provisioner:
            raise ValueError("it needs a template, or a provisioner that goes without one, such as existing")
        if both := sorted(set(self.inputs) & set(self.choose)):
            raise ValueError(f"{', '.join(both)} cannot be both fixed and chosen")
        try:
            if self.known is not None and (missing := [name for name in self.choose if name not in self._told]):
                raise ValueError(f"the template {self.template} has no input {missing[0]}")
            if unclear := [name for name in self.choose if not self._offered(name)]:
                raise ValueError(f"what there is to choose of {unclear[0]} has to be listed")
            if self.known is not None:
                for name in self.choose:
                    for value in self._offered(name):
                        self.known.check({**self.inputs, name: value})
        except DodasError as error:
            raise ValueError(str(error)) from error
        return self

    @cached_property
    def known(self) -> Template | None:
        """The template, if it is one of this package; what others are like, only the service knows."""
        return templates.load(self.template) if self.template in templates.names() else None

    @cached_property
    def _told(self) -> Mapping[str, Mapping[str, Any]]:
        return {} if self.known is None else self.known.schema().get("properties", {})

    def _offered(self, name: str) -> Sequence[JsonValue]:
        return self.choose[name] or tuple(self._told.get(name, {}).get("enum", ()))

    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the JSON Schema of each input that is chosen, with its default."""
        found: dict[str, Mapping[str, Any]] = {}
        for name in self.choose:
            offered = list(self._offered(name))
            title = str(self._told.get(name, {}).get("title") or name.replace("_", " ").capitalize())
            found[name] = {
                "title": title,
                "default": offered[0],
                **({"enum": offered} if len(offered) > 1 else {"const": offered[0]}),
            }
        return found

    def chosen(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a choice with all its parts.

        Raises
        ------
        InvalidOption
            With its name among the options of a profile.
        """
        for name, value in asked.items():
            offered = self._offered(name) if name in self.choose else ()
            if not any(type(value) is type(one) and value == one for one in offered):
                listed = ", ".join(map(str, offered)) or "nothing of this name"
                raise InvalidOption(
                    f"{name}={str(value)[:40]} is not offered",
                    option=f"{INPUT}{name}",
                    cause=f"The profile offers {listed}.",
                    remedy="Choose what it offers, or another profile.",
                )
        return {name: asked.get(name, self._offered(name)[0]) for name in self.choose}

    def machines(self, chosen: Mapping[str, Any]) -> Sequence[Machine]:
        """Return what is made, as far as the hub knows by itself."""
        if self.known is None:
            return ()
        return self.known.machines(self.known.check({**self.inputs, **chosen}))

    def wanted(self, name: str, chosen: Mapping[str, Any]) -> Wanted:
        """Return what is asked of the service of infrastructures."""
        return Wanted(
            name=name,
            template=self.template,
            inputs={**self.inputs, **chosen},
            provisioner=self.provisioner,
            cloud=self.cloud,
            linger=self.linger,
        )
