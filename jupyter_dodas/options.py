"""Options: what a user may ask of a cluster, one pydantic model for each kind.

The JSON Schema of a model draws the form, the command line's help and the documentation; its errors are the errors everywhere.
A kind subclasses `Options` and adds its own fields; these here every kind has.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from jupyter_dodas.errors import InvalidOption, UnknownOption

__all__ = ["NUMBER", "SIZE", "WHOLE", "Adapt", "Count", "Environment", "GroupOptions", "Memory", "Options", "explain", "validate"]

# What a user wrote may hold a secret, and an error's text ends in a log or a notebook.
_CLOSED: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

_MOST: Final = 100_000
_SECRET_NAME: Final = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|APIKEY|API_KEY|PRIVATE_KEY|ACCESS_KEY)$", re.IGNORECASE)
_SCIENTIFIC: Final = re.compile(r"\s*\d+(\.\d+)?[eE]\+?\d+\s*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _whole(value: object) -> object:
    # bool is an int in Python, and 2.0 would pass as 2: both are slips that deserve a word.
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise PydanticCustomError("whole", "a whole number is needed")
    if isinstance(value, float):
        return int(value)
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "a number is needed")
    return value


def _size(value: object) -> object:
    if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        raise PydanticCustomError("size", 'a size is needed, such as "2 GiB"')
    return int(value) if isinstance(value, float) else value


Count = Annotated[int, Field(ge=0, le=_MOST), BeforeValidator(_whole)]
"""A number of things."""

WHOLE: Final = BeforeValidator(_whole)
"""For integers: takes nothing that only could be one. It stands behind their bounds, which the schema has to name."""

NUMBER: Final = BeforeValidator(_number)
"""The same for numbers."""

SIZE: Final = BeforeValidator(_size)
"""The same for sizes in bytes."""

_LEAST_BYTES: Final = 64 * 2**20
_MOST_BYTES: Final = 2**50

Memory = Annotated[
    ByteSize,
    SIZE,
    # A form has no other way to know that it is a size: to JSON Schema it is a number or a text.
    Field(
        ge=_LEAST_BYTES,
        le=_MOST_BYTES,
        json_schema_extra={"format": "memory", "minimum": _LEAST_BYTES, "maximum": _MOST_BYTES},
    ),
]
"""A size in bytes, or words such as ``"1 GB"`` (10^9) and ``"1 GiB"`` (2^30)."""


class Adapt(BaseModel):
    """Let the number of workers follow the work, between two bounds."""

    model_config = _CLOSED

    minimum: Count = Field(default=0, description="Never fewer workers than this.")
    maximum: Count = Field(description="Never more workers than this.")

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        match value:
            case [minimum, maximum]:
                return {"minimum": minimum, "maximum": maximum}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.maximum < max(self.minimum, 1):
            raise PydanticCustomError("adapt", "the maximum must be at least 1 and not below the minimum")
        return self


class GroupOptions(BaseModel):
    """Workers of one shape."""

    model_config = _CLOSED

    workers: Count = Field(default=2, description="How many workers.")
    adapt: Adapt | None = Field(default=None, description="Bounds for workers that follow the work, instead of a fixed number.")
    cores: Annotated[int, Field(ge=1, le=1024), BeforeValidator(_whole)] = Field(default=1, description="Cores of each worker.")
    memory: Memory = Field(default=ByteSize(2 * 2**30), description='Memory of each worker, such as "2 GiB".')
    gpus: Annotated[int, Field(ge=0, le=64), BeforeValidator(_whole)] = Field(default=0, description="GPUs of each worker.")

    def bounds(self) -> tuple[int, int]:
        """Fewest and most workers that it may have."""
        return (self.adapt.minimum, self.adapt.maximum) if self.adapt else (self.workers, self.workers)


class Environment(BaseModel):
    """What a cluster's processes find around them."""

    model_config = _CLOSED

    variables: Mapping[str, str] = Field(
        default_factory=dict, description="Environment variables. Never secrets: they show in process lists."
    )
    files: tuple[str, ...] = Field(
        default=(), description="Files and folders to lay beside every process; modules in them can be imported."
    )
    folder: str | None = Field(default=None, description="Working directory; by default the one that the launch was made in.")
    credentials: str | None = Field(default=None, description="A private folder with data credentials: `token`, `x509up`.")
    python: str | None = Field(default=None, description="Python interpreter; by default the one that the launch was made with.")
    image: str | None = Field(default=None, description="Container image, where the backend runs containers.")

    @field_validator("variables")
    @classmethod
    def _no_secrets(cls, variables: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in variables.items():
            if "\0" in value:
                raise PydanticCustomError("variable", f"the value of {name} has a character that no variable can hold")
            if not _VARIABLE.fullmatch(name):
                raise PydanticCustomError("variable", f"{name!r} cannot name a variable")
            if _SECRET_NAME.search(name):
                raise PydanticCustomError(
                    "secret",
                    f"{name} looks like a secret, and others can read the environment of a process",
                )
        return variables

    @field_validator("files")
    @classmethod
    def _absolute_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_absolute(file) for file in files)

    @field_validator("folder", "credentials")
    @classmethod
    def _absolute_folder(cls, folder: str | None) -> str | None:
        return None if folder is None else _absolute(folder)

    def check(self) -> None:
        """See that what it names is there. Only a launch does this: what goes away later does no harm to what runs.

        Raises
        ------
        InvalidOption
        """
        for file in self.files:
            if not os.path.exists(file):  # noqa: PTH110
                raise _not_there("files", file, "file")
        names = [Path(file).name for file in self.files]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InvalidOption(
                f"environment.files will not do: two of them are called {twice}",
                option="environment.files",
                cause="Files are laid into one folder, by their names.",
                remedy="Rename one, or lay both into folders.",
            )
        for option, folder in (("folder", self.folder), ("credentials", self.credentials)):
            if folder is not None and not os.path.isdir(folder):  # noqa: PTH112
                raise _not_there(option, folder, "folder")
        if self.credentials is not None and Path(self.credentials).stat().st_mode & 0o077:
            raise InvalidOption(
                f"environment.credentials={self.credentials!r} will not do: others may read it",
                option="environment.credentials",
                cause="Credentials are for their owner alone.",
                remedy=f"Run: chmod 700 {self.credentials}",
            )


def _absolute(path: str) -> str:
    # With an unknown user or a path that no file system takes, a Path raises; these only say that nothing is there.
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111


def _not_there(option: str, path: str, what: str) -> InvalidOption:
    return InvalidOption(
        f"environment.{option}={path!r} will not do: there is no such {what}",
        option=f"environment.{option}",
        cause=f"environment.{option}: {Environment.model_fields[option].description}",
        remedy="Write the path from the root, or from the folder that you launch in.",
    )


class Options(GroupOptions):
    """What every kind of cluster can be asked for."""

    groups: Mapping[str, GroupOptions] = Field(
        default_factory=dict, description="More workers of other shapes, by a name of their own."
    )
    environment: Environment = Field(default=Environment(), description="What its processes find around them.")
    idle_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER] | None = Field(
        default=3600.0, description="Seconds without work after which it is stopped, with a warning before; null for never."
    )

    @field_validator("groups")
    @classmethod
    def _group_names(cls, groups: Mapping[str, GroupOptions]) -> Mapping[str, GroupOptions]:
        for name in groups:
            if not re.fullmatch(r"[a-z][a-z0-9]{0,14}", name) or name == "worker":
                raise PydanticCustomError(
                    "group", f"{name!r} cannot name a group; use up to 15 lower-case letters and digits, not 'worker'"
                )
        return groups

    def all_groups(self) -> Mapping[str, GroupOptions]:
        """Every group by its name; the first is ``worker``, the options' own."""
        return {"worker": self, **self.groups}

    def with_less_memory(self, least: int) -> Mapping[str, str]:
        """Name the groups whose workers have less than that, by the paths of the options that say so."""
        small = (name for name, group in self.all_groups().items() if group.memory < least)
        return {"memory" if name == "worker" else f"groups.{name}.memory": name for name in small}


OptionsT = TypeVar("OptionsT", bound=Options)


def validate(model: type[OptionsT], kind: str, options: Mapping[str, Any]) -> OptionsT:
    """Return `options` as a model.

    Raises
    ------
    UnknownOption, InvalidOption
        With the first thing that is wrong, in words.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        # A slip of the pen explains what seems to be missing, so it comes first.
        first = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _explain(model, kind, first) from error


def _explain(model: type[BaseModel], kind: str, error: ErrorDetails) -> InvalidOption:
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        return UnknownOption(path[-1], kind, _model_at(model, path[:-1]).model_fields)
    return explain(
        error, path, described=_described(model, path), remedy=f"`dodas launch {kind} --help` lists the options with their values."
    )


def explain(error: ErrorDetails, path: Sequence[str], *, described: str, remedy: str, in_bytes: bool = False) -> InvalidOption:
    """Return in words what pydantic has found wrong.

    Parameters
    ----------
    path
        Of the option.
    described
        What the option is.
    remedy
        What to do unless that can be told from the error.
    in_bytes
        Whether the option is a size, whatever its name.
    """
    option = ".".join(path) or "options"
    why = error["msg"].replace("Input should be", "it should be").replace("Field required", "it is missing")
    if error["type"].startswith("byte_size"):
        why = 'a size is needed, such as "2 GiB"'
    sized = ["memory"] if in_bytes else path
    # The value of a variable may be a secret that has no business there.
    silent = path[:2] == ["environment", "variables"] or error["type"] == "missing"
    shown = option if silent else f"{option}={_short(error['input'])}"
    return InvalidOption(
        f"{shown} will not do: {why}",
        option=option,
        cause=f"{option}: {described}" if described else "",
        remedy=_remedy(error, sized) or remedy,
        retry=_retry(error, option),
    )


def _model_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """Return the (nested) model at `path`."""
    for part in path:
        model = _NESTED.get(part, model)
    return model


_NESTED: Final[Mapping[str, type[BaseModel]]] = {"environment": Environment, "adapt": Adapt, "groups": GroupOptions}


def _described(model: type[BaseModel], path: Sequence[str]) -> str:
    """Return the description of the innermost option on the way."""
    for length in range(len(path), 0, -1):
        if (field := _model_at(model, path[: length - 1]).model_fields.get(path[length - 1])) is not None:
            return field.description or ""
    return ""


def _remedy(error: ErrorDetails, path: Sequence[str]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "greater_than_equal":
            return f"Give at least {_amount(context['ge'], path)}."
        case "less_than_equal":
            return f"Give at most {_amount(context['le'], path)}."
        case "byte_size" | "byte_size_unit" | "size":
            return 'Write a number and a unit: "512 MiB", "2 GiB", "2 GB".'
        case "whole" | "int_parsing" | "int_type" | "int_from_float":
            return "Give a whole number."
        case "finite_number" | "float_parsing" | "float_type":
            return "Give a number."
        case "adapt" | "model_type" if path[-1:] == ["adapt"]:
            return "Give the fewest and the most workers, such as [0, 10]."
        case "secret":
            return "Write it to a file in a folder that only you can read, and give the folder as environment.credentials."
        case "variable":
            return "Use letters, digits and underscores, and begin with a letter."
        case "group":
            return 'For example "gpu".'
        case _:
            return ""


def _retry(error: ErrorDetails, option: str) -> Mapping[str, Any]:
    """Return options that would do, where these are known; a kind's own check names them as ``retry``."""
    context = error.get("ctx", {})
    bound = context.get("ge", context.get("le"))
    return context.get("retry", {}) if bound is None else {option: bound}


def _amount(number: float, path: Sequence[str]) -> str:
    if path[-1:] == ["memory"]:
        return ByteSize(number).human_readable()
    return f"{number:g}" if isinstance(number, float) else str(number)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
