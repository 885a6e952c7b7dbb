"""Profiles: what people may choose from when they start a notebook. Whatever is not offered cannot be had.

An administrator writes profiles; each becomes a model whose JSON Schema draws the form, and which judges what comes back, whichever
way it came.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, create_model

from jupyter_dodas.errors import InvalidOption, InvalidSetting
from jupyter_dodas.hub.grounds.offers import INPUT, Offer
from jupyter_dodas.options import Memory

__all__ = ["Profile", "Profiles"]

_MEMORY: Final[TypeAdapter[int]] = TypeAdapter(Memory)


def _size(value: object) -> object:
    _MEMORY.validate_python(value)
    return value


Size = Annotated[str, BeforeValidator(_size)]
"""An amount of memory in words, as it is shown: ``"2 GiB"``."""

Cores = Annotated[int, Field(ge=1, le=1024)]


class Profile(BaseModel):
    """One sort of notebook. Of each list the first is what is had by default; a list of one leaves nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    title: str
    description: str = ""
    cores: tuple[Cores, ...] = Field(default=(1,), min_length=1)
    memory: tuple[Size, ...] = Field(default=("2 GiB",), min_length=1)
    images: tuple[str, ...] = Field(default=(), description="Container images, where notebooks run in containers.")
    infrastructure: Offer | None = Field(default=None, description="What it stands on, if that is made for it.")

    def offered(self) -> Mapping[str, Sequence[object]]:
        """Return what may be chosen within it, by option."""
        everywhere: dict[str, Sequence[object]] = {"cores": self.cores, "memory": self.memory}
        return {**everywhere, "image": self.images} if self.images else everywhere

    def choice(self) -> type[BaseModel]:
        """Return the model of a choice within it."""
        fields: dict[str, Any] = {name: (Literal[tuple(values)], values[0]) for name, values in self.offered().items()}
        fields["profile"] = (Literal[self.name], self.name)
        return create_model(self.title, __config__=ConfigDict(frozen=True, extra="forbid"), **fields)


class Profiles:
    """All that a hub offers, in the order of its configuration.

    Raises
    ------
    InvalidSetting
        If a profile is not one.
    """

    def __init__(self, written: Sequence[Mapping[str, Any]]) -> None:
        try:
            found = [Profile.model_validate(dict(one)) for one in written] or [Profile(name="default", title="Notebook")]
        except ValidationError as error:
            detail = error.errors()[0]
            where = ".".join(str(part) for part in detail["loc"])
            raise InvalidSetting(
                f"A profile in DodasSpawner.profiles will not do: {where}: {detail['msg']}",
                cause="A profile has a name, a title, lists of cores, memory and images, and perhaps an infrastructure.",
                remedy="docs/guides/notebooks.md shows some.",
            ) from error
        self.all: Final[Mapping[str, Profile]] = {profile.name: profile for profile in found}
        self._choices = {profile.name: profile.choice() for profile in found}

    @property
    def largest(self) -> int:
        """The most memory that a notebook can have, in bytes."""
        return max(_MEMORY.validate_python(size) for profile in self.all.values() for size in profile.memory)

    def offered(self, name: str) -> Mapping[str, Sequence[object]]:
        """Return what may be chosen within a profile, by option; nothing if there is no such profile."""
        if (profile := self.all.get(name)) is None:
            return {}
        inputs = {} if profile.infrastructure is None else profile.infrastructure.schemas()
        return {**{f"{INPUT}{one}": part.get("enum", [part.get("const")]) for one, part in inputs.items()}, **profile.offered()}

    def schemas(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the JSON Schema of what may be chosen, by profile."""
        return {name: self._schema(name) for name in self._choices}

    def _schema(self, name: str) -> Mapping[str, Any]:
        schema, offer = self._choices[name].model_json_schema(), self.all[name].infrastructure
        if offer is None:
            return schema
        inputs = {f"{INPUT}{option}": part for option, part in offer.schemas().items()}
        return {**schema, "properties": {**inputs, **schema["properties"]}}

    def chosen(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a choice with all its parts.

        Parameters
        ----------
        asked
            ``profile`` and what was chosen within it; what is missing is had by default.

        Raises
        ------
        InvalidOption
            If it is not offered.
        """
        name = asked.get("profile", next(iter(self.all)))
        if not isinstance(name, str) or name not in self._choices:
            raise InvalidOption(
                f"There is no profile {_short(name)}", cause="", remedy=f"Profiles of this hub: {', '.join(self._choices)}."
            )
        offer = self.all[name].infrastructure
        inputs = {option: value for option, value in asked.items() if offer is not None and option.startswith(INPUT)}
        try:
            found = self._choices[name].model_validate({k: v for k, v in asked.items() if k not in inputs}).model_dump()
        except ValidationError as error:
            detail = error.errors()[0]
            field = str(detail["loc"][0])
            offered = ", ".join(map(str, self.all[name].offered().get(field, ())))
            raise InvalidOption(
                f"{field}={_short(asked.get(field))} is not offered",
                option=field,
                cause=f"The profile {name!r} offers {offered or 'nothing of this name'}.",
                remedy="Choose what it offers, or another profile.",
            ) from error
        if offer is None:
            return found
        chosen = offer.chosen({option.removeprefix(INPUT): value for option, value in inputs.items()})
        return {**found, **{f"{INPUT}{option}": value for option, value in chosen.items()}}

    def kept(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what was chosen the last time, as far as it is still offered."""
        try:
            return self.chosen(asked)
        except InvalidOption:
            return self.chosen({})


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
