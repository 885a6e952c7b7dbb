"""Inputs of a template: their JSON Schema, of which forms are drawn, and what they let through."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, NotRequired, Required

from pydantic import AfterValidator, BeforeValidator, ByteSize, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from jupyter_dodas.errors import InvalidOption, TemplateInvalid
from jupyter_dodas.options import NUMBER, SIZE, WHOLE, explain
from jupyter_dodas.provision.constraints import Limits
from jupyter_dodas.provision.document import Document, Path
from jupyter_dodas.provision.hygiene import FUNCTIONS, unsafe
from jupyter_dodas.provision.patterns import LONGEST

__all__ = ["Input", "declared", "in_words", "schema"]

_SIZE: Final = "scalar-unit.size"
_LONGEST_TEXT: Final = 4096
_DEEPEST: Final = 8
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
    return {name: _input(document, name, what, bounds.get(name)) for name, what in inputs.items()}


def _input(document: Document, name: str, what: Any, bounds: Sequence[int] | None) -> Input:
    path: Path = ("topology_template", "inputs", name)
    if not isinstance(what, dict) or not isinstance(what.get("type"), str):
        raise document.refused(
            path, f"The input {name} has no type", cause="An input is an object with at least a type.", remedy="Write one."
        )
    if bounds is not None and what["type"] == "integer":
        within = {"in_range": list(bounds)}
        what = {**what, "constraints": [within, *(what.get("constraints") or [])]}
    required = what.get("required", True) is not False
    description = str(what.get("description") or "").strip()
    made = Input(name, description, required, None, what["type"] == _SIZE, _adapter(document, path, what, description))
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


def _adapter(document: Document, path: Path, what: Mapping[str, Any], description: str) -> TypeAdapter[Any]:
    shape = _shape(document, path, what)
    title = path[-1].replace("_", " ").capitalize() if isinstance(path[-1], str) else ""
    annotation: Any = Annotated[shape, Field(title=title, description=description or None)]
    try:
        return TypeAdapter(annotation)
    except Exception as error:
        raise document.refused(
            path,
            f"The input {path[-1]} cannot be checked",
            cause=f"{str(error).splitlines()[0][:200]}.",
            remedy="Correct its type or constraints.",
        ) from error


def _shape(document: Document, path: Path, what: Mapping[str, Any], types: tuple[str, ...] = ()) -> Any:
    """Return what a value of a type has to be, as an annotation."""
    kind = what.get("type")
    inner = what.get("entry_schema", {"type": "any"})
    inner = {"type": inner} if isinstance(inner, str) else inner
    if len(types) > _DEEPEST or not isinstance(kind, str) or not isinstance(inner, dict):
        raise _unusable(document, path, kind)
    limits = Limits.of(document, path, what, sizes=kind == _SIZE)
    if kind in _SIMPLE:
        return _SIMPLE[kind](limits)
    if kind in ("list", "map"):
        of = _shape(document, path, inner, (*types, kind))
        made: Any = list[of] if kind == "list" else dict[_KEY, of]  # type: ignore[valid-type]
        return Annotated[made, *limits.of_length(), AfterValidator(_no_function)]
    return _of_data_type(document, path, kind, types)


def _short_text(limits: Limits) -> Any:
    longest = LONGEST if limits.pattern else _LONGEST_TEXT
    return Annotated[str, *limits.of_text(), AfterValidator(partial(_text, longest=longest))]


def _with_unit(units: str) -> Any:
    return lambda _: Annotated[str, Field(pattern=rf"^[0-9]+(\.[0-9]+)? ?({units})$")]


def _of_data_type(document: Document, path: Path, kind: str, types: tuple[str, ...]) -> Any:
    known = document.content.get("data_types") or {}
    if kind not in known or kind in types:
        raise _unusable(document, path, kind)
    keys: dict[str, Any] = {}
    for name, what in _properties(known, kind):
        if not isinstance(what, dict):
            raise _unusable(document, ("data_types", kind), kind)
        shape: Any = Annotated[
            _shape(document, ("data_types", kind, "properties", name), what, (*types, kind)),
            Field(description=str(what.get("description") or "") or None),
        ]
        optional = what.get("required", True) is False or "default" in what
        keys[name] = NotRequired[shape] if optional else Required[shape]
    make: Any = TypedDict  # made at run time, of which checkers of types know nothing
    made = make(kind.rsplit(".", 1)[-1], keys)
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return Annotated[made, BeforeValidator(partial(_known_keys, known=tuple(keys))), AfterValidator(_no_function)]


def _properties(types: Mapping[str, Any], kind: str | None) -> Iterator[tuple[str, Any]]:
    """Return properties of a data type, those of the types it comes from first. It was seen before that they end."""
    if kind is not None and kind in types:
        yield from _properties(types, types[kind].get("derived_from"))
        yield from (types[kind].get("properties") or {}).items()


def _known_keys(value: Any, known: Sequence[str]) -> Any:
    if isinstance(value, Mapping) and (other := next((key for key in value if key not in known), None)) is not None:
        raise PydanticCustomError(
            "unknown", "{what}", {"what": f"there is no key {str(other)[:40]!r} here, only {', '.join(known)}"}
        )
    return value


def _text(value: str, longest: int) -> str:
    why = f"it has more than {longest} characters" if len(value) > longest else unsafe(value)
    if why:
        raise PydanticCustomError("unsafe", "{why}", {"why": why})
    return value


def _no_function(value: Any) -> Any:
    if isinstance(value, Mapping) and len(value) == 1 and not FUNCTIONS.isdisjoint(value):
        raise PydanticCustomError("unsafe", "it is a function of TOSCA, which would be computed")
    return value


def _arrives(value: float) -> float:
    if "e" in (shown := repr(value)) and "." not in shown:
        raise PydanticCustomError("unsafe", "{why}", {"why": f"it would arrive as a text, {shown}"})
    return value


def _anything(value: JsonValue) -> JsonValue:
    match value:
        case None:
            raise PydanticCustomError("unsafe", "nothing, null, would arrive as the word None")
        case str():
            _text(value, _LONGEST_TEXT)
        case float():
            _arrives(value)
        case dict():
            _no_function(value)
            for key, item in value.items():
                _text(key, LONGEST)
                _anything(item)
        case list():
            for item in value:
                _anything(item)
    return value


def _unusable(document: Document, path: Path, kind: Any) -> TemplateInvalid:
    return document.refused(
        (*path, "type"),
        f"{path[-1]} has a type that no form can ask for: {str(kind)[:60]}",
        cause="Inputs are texts, numbers, booleans, sizes, times, lists and maps of them, and data types of the template.",
        remedy="Use one of these.",
    )


_KEY: Final = Annotated[str, AfterValidator(partial(_text, longest=LONGEST))]

_SIMPLE: Final[Mapping[str, Callable[[Limits], Any]]] = {
    "any": lambda _: Annotated[JsonValue, AfterValidator(_anything)],
    "boolean": lambda _: bool,
    "float": lambda limits: Annotated[float, Field(allow_inf_nan=False), *limits.of_number(), NUMBER, AfterValidator(_arrives)],
    "integer": lambda limits: Annotated[int, *limits.of_number(), WHOLE],
    "json": lambda _: Annotated[JsonValue, AfterValidator(_anything)],
    "scalar-unit.bitrate": _with_unit("[kMGT]?i?[bB]ps"),
    "scalar-unit.frequency": _with_unit("Hz|kHz|MHz|GHz"),
    "scalar-unit.size": lambda limits: Annotated[ByteSize, SIZE, limits.of_size(), AfterValidator(int)],
    "scalar-unit.time": _with_unit("d|h|m|s|ms|us|ns"),
    "string": _short_text,
    "timestamp": _short_text,
    "version": _short_text,
}
