"""Templates: TOSCA documents with inputs, read and checked before anything is sent to anybody."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from jupyter_dodas.provision.base import Machine

__all__ = ["Template", "load", "names"]

_FOLDER: Final = Path(__file__).parent / "templates"


class Template:
    """One document.

    Parameters
    ----------
    name
        Of the file, without its suffix.
    text
        YAML of the TOSCA Simple Profile, with all types inline.

    Raises
    ------
    TemplateInvalid
        If it is not one, or does what templates may not do.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the template in a file."""
        raise NotImplementedError

    @cached_property
    def digest(self) -> str:
        """Tells versions apart."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """Its name for people."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """What it makes, in a sentence."""
        raise NotImplementedError

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of its inputs."""
        raise NotImplementedError

    def check(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return all inputs, defaults among them.

        Raises
        ------
        InvalidOption
            With the input in `option`.
        """
        raise NotImplementedError

    @property
    def scalable(self) -> str | None:
        """The input that says how many workers there are; None if nothing scales."""
        raise NotImplementedError

    @property
    def secrets(self) -> tuple[str, ...]:
        """Inputs that nobody chooses: made at random for each infrastructure."""
        raise NotImplementedError

    def machines(self, inputs: Mapping[str, Any]) -> "tuple[Machine, ...]":
        """Return what it makes with these inputs, which were checked."""
        raise NotImplementedError

    def fill(self, inputs: Mapping[str, Any], *, name: str, recipes: str, removal: tuple[str, ...] = ()) -> str:
        """Return the document with these inputs, as it is sent.

        Parameters
        ----------
        name
            What the provisioner is to call it.
        recipes
            Address of our recipes, which stand in it by their names.
        removal
            Machines that go first when it shrinks.
        """
        raise NotImplementedError


def names() -> tuple[str, ...]:
    """Return the names of the templates of this package."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


def load(name: str) -> Template:
    """Return a template of this package.

    Raises
    ------
    TemplateInvalid
        If there is none of this name.
    """
    raise NotImplementedError
