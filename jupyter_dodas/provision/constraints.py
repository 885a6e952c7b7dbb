"""Constraints that TOSCA puts on values, as pydantic checks them and JSON Schema says them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from pydantic import AfterValidator, ByteSize, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from jupyter_dodas.provision.document import Document, Path

__all__ = ["Limits", "in_bytes"]

_LARGEST: Final = 2**62


@dataclass(frozen=True)
class Limits:
    """Constraints of one type: bounds that both hold, a choice, a pattern."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choice: tuple[Any, ...] | None = None
    pattern: str = ""
    shortest: int | None = None
    longest: int | None = None

    @classmethod
    def of(cls, document: Document, path: Path, what: Mapping[str, Any], *, sizes: bool) -> Self:
        """Return those of a property or input; those of sizes in bytes.

        Raises
        ------
        TemplateInvalid
        """
        found: dict[str, Any] = {}
        constraints = what.get("constraints") or []
        try:
            for constraint in constraints:
                ((name, value),) = constraint.items()
                for key, bound in _LIMITS[name](_sizes(value) if sizes else value):
                    if bound is not None:
                        found[key] = _STRICTER.get(key, _last)(found.get(key, bound), bound)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise document.refused(
                (*path, "constraints"),
                f"The constraints of {path[-1]} are none that we know",
                cause=f"A constraint is one of {', '.join(_LIMITS)}, with what it needs.",
                remedy="Correct them.",
            ) from error
        return cls(**found)

    def of_number(self) -> Iterator[Any]:
        """Return what pydantic checks of a number."""
        yield Field(ge=self.least, le=self.most, gt=self.above, lt=self.below)
        yield from self._choice()

    def of_size(self) -> Any:
        """Return what pydantic checks of a size in bytes."""
        least = int(max(self.least or 0, 0 if self.above is None else self.above + 1))
        most = int(min(_LARGEST if self.most is None else self.most, _LARGEST if self.below is None else self.below - 1))
        return Field(ge=least, le=most, json_schema_extra={"format": "memory", "minimum": least, "maximum": most})

    def of_text(self) -> Iterator[Any]:
        """Return what pydantic checks of a text."""
        pattern = self.pattern.removeprefix("^").removesuffix("$")
        yield Field(pattern=f"^(?:{pattern})$" if pattern else None, min_length=self.shortest, max_length=self.longest)
        yield from self._choice()

    def of_length(self) -> Iterator[Any]:
        """Return what pydantic checks of a list or map."""
        yield Field(min_length=self.shortest, max_length=self.longest)

    def _choice(self) -> Iterator[Any]:
        if self.choice is not None:
            yield AfterValidator(partial(_chosen, among=self.choice))
            yield Field(json_schema_extra={"enum": list(self.choice)})


def _chosen(value: Any, among: Sequence[Any]) -> Any:
    if value not in among:
        raise PydanticCustomError("enum", "{why}", {"why": f"it should be one of {', '.join(map(str, among))}"})
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return value


def _range(value: Any) -> Iterator[tuple[str, Any]]:
    low, high = value
    yield "least", None if low == "UNBOUNDED" else _number(low)
    yield "most", None if high == "UNBOUNDED" else _number(high)


def _lengths(*keys: str) -> Any:
    def of(value: Any) -> Iterator[tuple[str, Any]]:
        if _number(value) != int(value) or value < 0:
            raise ValueError
        for key in keys:
            yield key, int(value)

    return of


def _choices(value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, list) or not value or any(isinstance(one, (dict, list)) for one in value):
        raise TypeError
    yield "choice", tuple(value)


def _one_number(key: str) -> Any:
    return lambda value: ((key, _number(value)),)


def _pattern(value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, str):
        raise TypeError
    yield "pattern", value


_LIMITS: Final[Mapping[str, Any]] = {
    "equal": lambda value: _choices([value]),
    "valid_values": _choices,
    "in_range": _range,
    "greater_than": _one_number("above"),
    "greater_or_equal": _one_number("least"),
    "less_than": _one_number("below"),
    "less_or_equal": _one_number("most"),
    "length": _lengths("shortest", "longest"),
    "min_length": _lengths("shortest"),
    "max_length": _lengths("longest"),
    "pattern": _pattern,
}


def _last(_: Any, bound: Any) -> Any:
    return bound


_STRICTER: Final[Mapping[str, Any]] = {
    "least": max,
    "above": max,
    "shortest": max,
    "most": min,
    "below": min,
    "longest": min,
}


def _sizes(value: Any) -> Any:
    if isinstance(value, list):
        return [_sizes(one) for one in value]
    return value if value == "UNBOUNDED" else in_bytes(value)


_BYTES: Final = TypeAdapter(ByteSize)


def in_bytes(size: Any) -> int:
    """Return a size such as ``"4 GiB"`` in bytes; ValueError if it is none."""
    return int(_BYTES.validate_python(size))
