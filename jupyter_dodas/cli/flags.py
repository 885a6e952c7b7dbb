"""Flags: command-line options made from the JSON Schema of a kind's options, so that a new kind's options need no edit here.

========================================= ==================================================
in the schema                             on the command line
========================================= ==================================================
a number, a text, a size                  ``--workers 4``, ``--memory "4 GiB"``
yes or no                                 ``--spill`` and ``--no-spill``
may be null                               ``--idle-timeout none``
an object that may be null                ``--adapt 0:10``, or ``--adapt minimum=0,maximum=10``
a list                                    ``--file PATH``, several times
a mapping to texts                        ``--variable NAME=VALUE``, several times
a mapping to objects                      ``--group gpu:workers=1,memory=4GiB``, several times
an object that is always there            its fields, each an option of its own
========================================= ==================================================

Values stay the words that were typed; the model judges them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final

from pydantic import JsonValue

from jupyter_dodas.display.words import size
from jupyter_dodas.errors import InvalidOption

__all__ = ["Flag", "Shape", "assemble", "flags"]

_NOTHING: Final = frozenset({"none", "null", "never"})

Schema = Mapping[str, Any]


class Shape(Enum):
    """How a value is written."""

    WORD = auto()
    SWITCH = auto()
    OBJECT = auto()
    LIST = auto()
    MAPPING = auto()


@dataclass(frozen=True)
class Flag:
    """One option of the command line.

    Parameters
    ----------
    path
        Where its value goes: ``("environment", "variables")``.
    name
        ``--variable``.
    fields
        The fields of an object in the order of the schema, or of each object of a mapping; empty for plain values.
    """

    path: tuple[str, ...]
    name: str
    shape: Shape
    help: str
    metavar: str
    default: str = ""
    choices: tuple[str, ...] = ()
    nullable: bool = False
    fields: Mapping[str, "Flag"] | None = None

    def value(self, given: Any) -> JsonValue:
        """Return what was typed, in the shape that the model expects.

        Raises
        ------
        InvalidOption
            If it cannot be taken apart.
        """
        match self.shape:
            case Shape.SWITCH:
                return bool(given)
            case Shape.LIST:
                return list(given)
            case Shape.MAPPING:
                return dict(self._entry(item) for item in given)
            case Shape.OBJECT:
                return None if self.nullable and given.lower() in _NOTHING else self._object(given)
        return None if self.nullable and given.lower() in _NOTHING else str(given)

    def _entry(self, given: str) -> tuple[str, JsonValue]:
        name, separator, rest = given.partition(":" if self.fields else "=")
        if not separator:
            raise self._unreadable(given)
        return name, self._object(rest) if self.fields else rest

    def _object(self, given: str) -> JsonValue:
        """Read ``a=1,b=2``, or ``1:2`` in the order of the fields."""
        fields = self.fields or {}
        if "=" not in given:
            words = given.split(":")
            if len(words) > len(fields):
                raise self._unreadable(given)
            return dict(zip(fields, words, strict=False))
        found: dict[str, JsonValue] = {}
        for part in given.split(","):
            name, separator, word = part.partition("=")
            if not separator:
                raise self._unreadable(given)
            key = name.strip().replace("-", "_")
            # A field that is not there is for the model to refuse, with what may have been meant.
            found[key] = fields[key].value(word) if key in fields and fields[key].shape is not Shape.SWITCH else word
        return found

    def _unreadable(self, given: str) -> InvalidOption:
        return InvalidOption(
            f"{self.name} {given!r} cannot be read", cause=self.help, remedy=f"Write it as: {self.name} {self.metavar}"
        )


def flags(schema: Schema) -> tuple[Flag, ...]:
    """Return the command-line options for a JSON Schema."""
    made = list(_flags(schema, schema, ()))
    names: dict[tuple[str, ...], str] = {}
    for flag in sorted(made, key=lambda flag: len(flag.path)):
        # Of two fields of one name, the one further down has the names above it in front.
        long = f"--{'-'.join(flag.path).replace('_', '-')}"
        names[flag.path] = long if flag.name in names.values() else flag.name
    return tuple(replace(flag, name=names[flag.path]) for flag in made)


def assemble(made: Sequence[Flag], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, nested as the model has them.

    Parameters
    ----------
    given
        Values by the name of the flag; those that were not given are None or empty.
    """
    options: dict[str, Any] = {}
    for flag in made:
        value = given.get(flag.name)
        if value is None or value == []:
            continue
        place = options
        for part in flag.path[:-1]:
            place = place.setdefault(part, {})
        place[flag.path[-1]] = flag.value(value)
    return options


def _flags(root: Schema, schema: Schema, path: tuple[str, ...]) -> Iterator[Flag]:
    for name, field in schema.get("properties", {}).items():
        resolved, nullable = _resolve(root, field)
        if resolved.get("type") == "object" and "properties" in resolved and not nullable:
            yield from _flags(root, resolved, (*path, name))
        else:
            yield _flag(root, field, (*path, name))


def _flag(root: Schema, field: Schema, path: tuple[str, ...]) -> Flag:
    resolved, nullable = _resolve(root, field)
    shape, fields, metavar = _shape(root, resolved, path[-1])
    plain = path[-1].replace("_", "-")
    choices = tuple(map(str, resolved.get("enum", ())))
    if nullable and shape is Shape.WORD and field.get("default") is not None:
        metavar += "|none"
    return Flag(
        path=path,
        name=f"--{_singular(plain) if shape in (Shape.LIST, Shape.MAPPING) else plain}",
        shape=shape,
        help=field.get("description", ""),
        metavar="|".join(choices) or metavar,
        default=_default(resolved, field.get("default")),
        choices=choices,
        nullable=nullable,
        fields=fields,
    )


def _shape(root: Schema, resolved: Schema, name: str) -> tuple[Shape, Mapping[str, Flag] | None, str]:
    match resolved.get("type"):
        case "boolean":
            return Shape.SWITCH, None, ""
        case "array":
            return Shape.LIST, None, _singular(name).upper()
        case "object" if "properties" in resolved:
            fields = _fields(root, resolved)
            return Shape.OBJECT, fields, ":".join(fields).upper()
        case "object":
            inner, _ = _resolve(root, resolved.get("additionalProperties") or {})
            if "properties" in inner:
                fields = _fields(root, inner)
                example = ",".join(f"{key}={flag.metavar}" for key, flag in list(fields.items())[:1])
                return Shape.MAPPING, fields, f"NAME:{example},..."
            return Shape.MAPPING, None, "NAME=VALUE"
        case "integer":
            return Shape.WORD, None, "N"
        case "number":
            return Shape.WORD, None, "NUMBER"
    return Shape.WORD, None, "SIZE" if _is_size(resolved) else "TEXT"


def _fields(root: Schema, schema: Schema) -> Mapping[str, Flag]:
    return {name: _flag(root, field, (name,)) for name, field in schema["properties"].items()}


def _resolve(root: Schema, field: Schema) -> tuple[Schema, bool]:
    """Follow references, and tell whether the value may be null."""
    if "$ref" in field:
        return _resolve(root, root["$defs"][field["$ref"].rpartition("/")[2]])
    options = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
    nullable = len(options) < len(field.get("anyOf", ()))
    if len(options) == 1:
        return _resolve(root, options[0])[0], nullable
    return field, nullable


def _is_size(resolved: Schema) -> bool:
    """Whether it is an amount of memory: a number, or words that begin with one."""
    kinds = {option.get("type") for option in resolved.get("anyOf", ())}
    return kinds == {"string", "integer"}


def _default(resolved: Schema, default: Any) -> str:
    if default in (None, [], {}):
        return ""
    if _is_size(resolved):
        return size(default)
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    return default if isinstance(default, str) else json.dumps(default)


def _singular(name: str) -> str:
    return name.removesuffix("s")
