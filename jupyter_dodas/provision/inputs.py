"""Inputs of a template: their JSON Schema, of which forms are drawn, and what they let through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.options import explain
from jupyter_dodas.provision.document import Document, Path
from jupyter_dodas.provision.shapes import BYTES, Shapes

__all__ = ["Input", "declared", "in_words", "schema"]

_LARGEST: Final = 2**62


@dataclass(frozen=True)
class Input:
    """One input.

    Parameters
    ----------
    required
        Whether it has to have a value; what takes an input that has none is left out.
    default
        None if there is none.
    adapter
        Of pydantic.
    """

    name: str
    description: str
    required: bool
    default: Any
    in_bytes: bool
    adapter: TypeAdapter[Any]

    def check(self, value: Any) -> Any:
        """Return a value as it is kept: sizes in bytes.

        Raises
        ------
        InvalidOption
        """
        if value is None:
            value = self.default
        if value is None:
            if not self.required:
                return None
            raise InvalidOption(
                f"{self.name} is missing",
                option=self.name,
                cause=f"{self.name}: {self.description}" if self.description else "",
                remedy="Give a value; it has no default.",
            )
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            path = [self.name, *map(str, first["loc"])]
            remedy = (
                "Write it in another way."
                if first["type"] == "unsafe"
                else f"See what {self.name} takes: `dodas template show NAME`."
            )
            raise explain(first, path, described=self.description, remedy=remedy, in_bytes=self.in_bytes) from error


def schema(title: str, description: str, inputs: Sequence[Input]) -> Mapping[str, Any]:
    """Return the JSON Schema of some inputs."""
    schemas, shared = TypeAdapter.json_schemas([(one.name, "validation", one.adapter) for one in inputs])
    properties: dict[str, Any] = {}
    for one in inputs:
        made = dict(schemas[one.name, "validation"])
        if not one.required and one.default is None:
            # As pydantic writes what may be nothing, so that the same forms draw it.
            about: dict[str, Any] = {key: made.pop(key) for key in ("title", "description") if key in made}
            made = {"anyOf": [made, {"type": "null"}], "default": None, **about}
        elif one.default is not None:
            made["default"] = one.default
        properties[one.name] = made
    return {
        "type": "object",
        "title": title,
        "description": description,
        "additionalProperties": False,
        "properties": properties,
        "required": [one.name for one in inputs if one.required and one.default is None],
        **shared,
    }


def in_words(value: Any) -> Any:
    """Return a number of bytes as TOSCA writes it."""
    unit, of = next((one for one in _BINARY if value and value % one[1] == 0), ("B", 1))
    return f"{value // of} {unit}"


_BINARY: Final = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def declared(document: Document, bounds: Mapping[str, Sequence[int]]) -> Mapping[str, Input]:
    """Return the inputs of a document.

    Parameters
    ----------
    bounds
        Fewest and most of what some of them count, whether the document says so or not.

    Raises
    ------
    TemplateInvalid
        If one is not as TOSCA has it, or its default will not do.
    """
    inputs = document.content["topology_template"].get("inputs") or {}
    shapes = Shapes(document)
    return {name: _input(shapes, name, what, bounds.get(name)) for name, what in inputs.items()}


def _input(shapes: Shapes, name: str, what: Any, bounds: Sequence[int] | None) -> Input:
    document, path = shapes.document, ("topology_template", "inputs", name)
    if not isinstance(what, dict) or not isinstance(what.get("type"), str):
        raise document.refused(
            path, f"The input {name} has no type", cause="An input is an object with at least a type.", remedy="Write one."
        )
    if bounds is not None and what["type"] == "integer":
        constraints = what.get("constraints") or []
        what = {**what, "constraints": [{"in_range": list(bounds)}, *constraints] if isinstance(constraints, list) else constraints}
    required = what.get("required", True) is not False
    description = str(what.get("description") or "").strip()
    made = Input(name, description, required, None, what["type"] == BYTES, _adapter(shapes, path, what, description))
    if (default := what.get("default")) is None:
        return made
    try:
        default = made.check(default)
    except InvalidOption as error:
        raise document.refused(
            (*path, "default"),
            f"The default of the input {name} is none that it would take",
            cause=f"{error.message}.",
            remedy=error.remedy or "Correct it there.",
        ) from error
    return Input(name, description, required, default, made.in_bytes, made.adapter)


def _adapter(shapes: Shapes, path: Path, what: Mapping[str, Any], description: str) -> TypeAdapter[Any]:
    shape = shapes.of(path, what)
    title = path[-1].replace("_", " ").capitalize() if isinstance(path[-1], str) else ""
    annotation: Any = Annotated[shape, Field(title=title, description=description or None)]
    try:
        return TypeAdapter(annotation)
    except Exception as error:
        raise shapes.document.refused(
            path,
            f"The input {path[-1]} cannot be checked",
            cause=f"{str(error).splitlines()[0][:200]}.",
            remedy="Correct its type or constraints.",
        ) from error
