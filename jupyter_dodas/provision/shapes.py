"""What a value of a type of TOSCA has to be, as an annotation that pydantic checks and describes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, NotRequired, Required

from pydantic import AfterValidator, BeforeValidator, ByteSize, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from jupyter_dodas.errors import TemplateInvalid
from jupyter_dodas.options import NUMBER, SIZE, WHOLE
from jupyter_dodas.provision.constraints import Limits
from jupyter_dodas.provision.document import Document, Path
from jupyter_dodas.provision.hygiene import FUNCTIONS, unsafe
from jupyter_dodas.provision.patterns import LONGEST

__all__ = ["BYTES", "Shapes"]

BYTES: Final = "scalar-unit.size"
_LONGEST_TEXT: Final = 4096
_DEEPEST: Final = 8
_MOST: Final = 500
"""Values that are described, in all: keys of data types among them, each type once."""


@dataclass
class Shapes:
    """Those of one document. Each of its data types is made once, however many there are of it in others."""

    document: Document
    _made: dict[str, Any] = field(default_factory=dict)
    _count: int = 0

    def of(self, path: Path, what: Mapping[str, Any], types: tuple[str, ...] = ()) -> Any:
        """Return that of an input or property.

        Raises
        ------
        TemplateInvalid
            If no form could ask for it.
        """
        self._count += 1
        kind = what.get("type")
        inner = what.get("entry_schema", {"type": "any"})
        inner = {"type": inner} if isinstance(inner, str) else inner
        if self._count > _MOST or len(types) > _DEEPEST or not isinstance(kind, str) or not isinstance(inner, dict):
            raise self._unusable(path, kind)
        limits = Limits.of(self.document, path, what, sizes=kind == BYTES)
        if kind in _SIMPLE:
            return _SIMPLE[kind](limits)
        if kind in ("list", "map"):
            item = self.of(path, inner, (*types, kind))
            made: Any = list[item] if kind == "list" else dict[_KEY, item]  # type: ignore[valid-type]
            return Annotated[made, *limits.of_length(), AfterValidator(_no_function)]
        if kind in types:
            raise self._unusable(path, kind)
        if kind not in self._made:
            self._made[kind] = self._of_data_type(path, kind, types)
        return self._made[kind]

    def _of_data_type(self, path: Path, kind: str, types: tuple[str, ...]) -> Any:
        keys: dict[str, Any] = {}
        for name, what in self._properties(path, kind):
            if not isinstance(what, dict):
                raise self._unusable(("data_types", kind), kind)
            shape: Any = Annotated[
                self.of(("data_types", kind, "properties", name), what, (*types, kind)),
                Field(description=str(what.get("description") or "") or None),
            ]
            optional = what.get("required", True) is False or "default" in what
            keys[name] = NotRequired[shape] if optional else Required[shape]
        make: Any = TypedDict  # made at run time, of which checkers of types know nothing
        made = make(kind.rsplit(".", 1)[-1], keys)
        made.__pydantic_config__ = ConfigDict(extra="forbid")
        return Annotated[made, BeforeValidator(partial(_known_keys, known=tuple(keys))), AfterValidator(_no_function)]

    def _properties(self, path: Path, kind: str) -> Iterator[tuple[str, Any]]:
        """Return properties of a data type, those of the types it comes from first. It was seen before that these end."""
        types = self.document.content.get("data_types") or {}
        properties = types[kind].get("properties") or {} if kind in types else None
        if not isinstance(properties, dict):
            raise self._unusable(path, kind)
        if (parent := types[kind].get("derived_from")) in types:
            yield from self._properties(path, parent)
        yield from properties.items()

    def _unusable(self, path: Path, kind: Any) -> TemplateInvalid:
        return self.document.refused(
            (*path, "type"),
            f"{path[-1]} has a type that no form can ask for: {str(kind)[:60]}",
            cause="Inputs are texts, numbers, booleans, sizes, times, lists and maps of them, and data types of the template, "
            f"which do not hold themselves: up to {_MOST} values in all, lying in each other up to {_DEEPEST} times.",
            remedy="Use one of these.",
        )


def _short_text(limits: Limits) -> Any:
    longest = LONGEST if limits.pattern else _LONGEST_TEXT
    return Annotated[str, *limits.of_text(), AfterValidator(partial(_text, longest=longest))]


def _with_unit(units: str) -> Any:
    return lambda _: Annotated[str, Field(pattern=rf"^[0-9]+(\.[0-9]+)? ?({units})$")]


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
