"""What an administrator says about the service of infrastructures: a file of JSON or TOML, which the hub's configuration writes."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.spec import Model, Name

__all__ = ["Configuration", "Maker"]


class Maker(Model):
    """A provisioner that people can choose."""

    name: Name
    kind: str
    """An entry point of ``jupyter_dodas.provisioners``, or ``module:Class``."""
    title: str = ""
    template: str = "kubernetes"
    """What it makes unless something else is asked for."""
    audience: str | None = None
    """For which tokens of users the hub is asked; None: it takes none. Empty: for the first of the hub's policy."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Of the kind."""


class Configuration(Model):
    """The whole file."""

    provisioners: Annotated[tuple[Maker, ...], Field(min_length=1)]
    database: str
    """A file, for SQLite, or an address of SQLAlchemy."""
    keys: Path
    """File with the keys of what is secret."""
    recipes: str
    """Address under which provisioners find the recipes of the templates: ``https://HUB/services/infrastructures/recipes``."""
    audit: Path | None = None
    templates: tuple[str, ...] | None = None
    """Names of the templates that are offered; None: all of the package."""
    more_templates: Path | None = None
    """Folder with further ones."""
    own_templates: bool = True
    """Whether users may bring templates of their own."""
    keep_failed: bool = False
    """Leave what is half made at the provisioner, to look at, until its user deletes it."""
    deadline: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds within which one is to be ready."""
    most: Annotated[int, Field(ge=1)] = 10
    """Infrastructures that one user may have."""
    look_around: Annotated[float, Field(gt=0)] = 30.0
    """Seconds between two looks for what nobody uses and what nobody knows of."""

    @field_validator("provisioners")
    @classmethod
    def _by_name(cls, value: tuple[Maker, ...]) -> tuple[Maker, ...]:
        if len({one.name for one in value}) < len(value):
            raise ValueError("two provisioners have the same name")
        return value

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return what a file says.

        Raises
        ------
        InvalidSetting
        """
        try:
            text = file.read_text("utf-8")
            return cls.model_validate(tomllib.loads(text) if file.suffix == ".toml" else json.loads(text))
        except (OSError, ValueError) as error:
            cause = _first(error) if isinstance(error, ValidationError) else str(error)
            raise InvalidSetting(
                f"The configuration of the service of infrastructures cannot be used: {file}",
                cause=cause,
                remedy="docs/guides/infrastructures-admin.md shows one.",
            ) from None

    @property
    def url(self) -> str:
        """The database's address."""
        return self.database if "://" in self.database else f"sqlite:///{Path(self.database).absolute()}"

    def maker(self, name: str) -> Maker:
        """Return a provisioner; the first without a name.

        Raises
        ------
        InvalidSetting
            If there is none of this name any more.
        """
        for one in self.provisioners:
            if name in ("", one.name):
                return one
        raise InvalidSetting(
            f"There is no provisioner {name!r}",
            cause="The service of infrastructures does not have it, or no longer.",
            remedy=f"Provisioners: {', '.join(one.name for one in self.provisioners)}.",
        )


def _first(error: ValidationError) -> str:
    """Return what is wrong without the value, which may be secret."""
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
