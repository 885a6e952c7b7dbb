"""YAML of people we do not know, read without doing what it says: it cannot fill the memory, hide lines or make objects.

It is read event by event, and every bound holds before what is beyond it has been made.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jupyter_dodas.errors import MissingSoftware, TemplateInvalid

__all__ = ["LARGEST", "Document", "Path", "dump", "read"]

LARGEST: Final = 1 << 20
"""Bytes of a document. The largest that we know of has 60 kB."""
_DEEPEST: Final = 48
_MOST: Final = 20_000
"""Values in it, those of anchors as often as they are named."""
_LONGEST_NUMBER: Final = 64
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """What was read.

    Parameters
    ----------
    content
        Objects, lists, texts, numbers, booleans, dates and nothing else. Parts that are named by an anchor are there once.
    """

    content: Any
    _lines: Mapping[int, Mapping[str | int, int]]

    def line(self, path: Path) -> int:
        """Return where the value at a path begins, or the last one on the way that is there."""
        found, part = 1, self.content
        for key in path:
            here = self._lines.get(id(part), {})
            if key not in here:
                break
            found, part = here[key], part[key]
        return found

    def place(self, path: Path) -> str:
        """Return the place of a value in words."""
        return f"line {self.line(path)}: {'.'.join(map(str, path))}" if path else "line 1"

    def refused(self, path: Path, what: str, *, cause: str, remedy: str) -> TemplateInvalid:
        """Return an error about the value at a path."""
        return TemplateInvalid(f"{what} ({self.place(path)})", cause=cause, remedy=remedy)

    def walk(self) -> Iterator[tuple[Path, Any]]:
        """Return all values with their paths, from the top down."""
        return _walk((), self.content)


def _walk(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _walk((*path, key), item)


def read(text: str) -> Document:
    """Return what a text holds.

    Raises
    ------
    TemplateInvalid
        If it is no YAML, is too large, or uses what we do not read.
    """
    yaml = _yaml()
    size = len(text.encode(errors="replace"))
    if size > LARGEST:
        raise TemplateInvalid(
            f"The template is too large: it has {size / 2**20:.1f} MiB",
            cause=f"Templates have up to {LARGEST // 2**20} MiB, since all of one is kept and sent again with every change.",
            remedy="Let its recipes fetch what is large.",
        )
    try:
        return _Reader(yaml.CSafeLoader(text)).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise TemplateInvalid(f"The template is not YAML{where}", cause=f"{what}.", remedy="Correct it there.") from error
    except UnicodeError as error:
        raise TemplateInvalid(
            "The template is not a text", cause="It has characters that no file can hold.", remedy="Save it as UTF-8."
        ) from error


def dump(content: Any) -> str:
    """Return content as YAML, in which nothing refers to something else."""
    yaml = _yaml()

    class Dumper(yaml.CSafeDumper):  # type: ignore[name-defined, misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text: str = yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingSoftware(
            f"{error.name} is not installed",
            cause="Templates are read with it.",
            remedy='pip install "jupyter-dodas[provision]"',
        ) from error
    return yaml


@dataclass
class _Open:
    """An object or a list of which the end has not come yet."""

    value: dict[str, Any] | list[Any]
    lines: dict[str | int, int]
    anchor: str | None
    before: int
    """How many values there were before it."""
    height: int = 1
    """How deep values lie in each other within it."""
    key: str | None = None
    key_line: int = 0


@dataclass
class _Reader:
    """Makes values of the events of a loader. It calls itself nowhere: a document may be as deep as it likes to be refused."""

    loader: Any
    lines: dict[int, dict[str | int, int]] = field(default_factory=dict)
    anchors: dict[str, tuple[Any, int, int]] = field(default_factory=dict)
    """Values by their names, with how many they hold, and how deep these lie in each other."""
    stack: list[_Open] = field(default_factory=list)
    count: int = 0
    roots: list[Any] = field(default_factory=list)

    def document(self) -> Document:
        import yaml

        while self.loader.check_event():
            event = self.loader.get_event()
            line = event.start_mark.line + 1
            match event:
                case yaml.ScalarEvent():
                    self._refuse_tag(event.tag, line)
                    self._scalar(event, line)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._refuse_tag(event.tag, line)
                    self._open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor, line)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close()
                case yaml.AliasEvent():
                    self._alias(event.anchor, line)
                case yaml.DocumentStartEvent() if self.roots:
                    raise _refused(
                        "The text holds two documents", line, "A template is one.", "Write the second to a file of its own."
                    )
        if len(self.roots) != 1 or not isinstance(self.roots[0], dict):
            raise TemplateInvalid(
                "The template holds no document of TOSCA",
                cause="It has to begin with keys, such as tosca_definitions_version and topology_template.",
                remedy="`dodas template show kubernetes --text` shows one.",
            )
        return Document(self.roots[0], self.lines)

    def _refuse_tag(self, tag: str | None, line: int) -> None:
        if tag is not None:
            raise _refused(
                f"The template has the tag {tag[:60]!r}", line, "Tags make objects of what they stand before.", "Leave it out."
            )

    def _scalar(self, event: Any, line: int) -> None:
        value = self._value(event, line)
        if self._awaits_key:
            self._key(value, event.value, line)
            return
        self._count(1, line)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1, 1)
        self._put(value, line, 1)

    def _value(self, event: Any, line: int) -> Any:
        import yaml

        tag = self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == "tag:yaml.org,2002:str":
            return event.value
        if tag == "tag:yaml.org,2002:merge":
            return event.value
        try:
            return self._object(tag, event.value)
        except (ValueError, OverflowError, KeyError) as error:
            raise _refused(
                f"{event.value[:40]!r} is no value that a template can have",
                line,
                "It is no number or date that exists.",
                "Write it in quotes.",
            ) from error

    def _object(self, tag: str, text: str) -> Any:
        import yaml

        if tag in _NUMBERS and len(text) > _LONGEST_NUMBER:
            raise ValueError
        value = self.loader.yaml_constructors[tag](self.loader, yaml.ScalarNode(tag, text))
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value

    @property
    def _awaits_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def _key(self, value: Any, text: str, line: int) -> None:
        here = self.stack[-1]
        assert isinstance(here.value, dict)
        if text == "<<":
            raise _refused(
                "The template merges an object into another", line, "Others read such keys in other ways.", "Write it out."
            )
        if not isinstance(value, str):
            raise _refused(
                f"The key {text[:40]!r} is no text", line, "YAML takes it for a number, a date, yes or no.", "Write it in quotes."
            )
        if value in here.value:
            raise _refused(
                f"The key {value[:60]!r} is there twice",
                line,
                f"The first is in line {here.lines[value]}; which of the two counts differs from reader to reader.",
                "Leave one out.",
            )
        here.key, here.key_line = value, line

    def _open(self, value: dict[str, Any] | list[Any], anchor: str | None, line: int) -> None:
        if self._awaits_key:
            raise _refused("A key of the template is no text", line, "It is an object or a list.", "Use names as keys.")
        self._count(1, line)
        if anchor is not None:
            self.anchors.pop(anchor, None)  # not yet whole: naming it within itself would have no end
        lines: dict[str | int, int] = {}
        self._put(value, line, 1)
        self.lines[id(value)] = lines
        self.stack.append(_Open(value, lines, anchor, self.count))

    def _close(self) -> None:
        done = self.stack.pop()
        if done.anchor is not None:
            self.anchors[done.anchor] = (done.value, self.count - done.before + 1, done.height)
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, done.height + 1)

    def _alias(self, anchor: str | None, line: int) -> None:
        if self._awaits_key:
            raise _refused("A key of the template is no text", line, "It refers to something else.", "Use names as keys.")
        if anchor is None or anchor not in self.anchors:
            raise _refused(
                f"*{anchor} refers to nothing that is whole",
                line,
                "It comes before, or within, what it refers to.",
                "Write it out.",
            )
        value, size, height = self.anchors[anchor]
        self._count(size, line)
        self._put(value, line, height)

    def _put(self, value: Any, line: int, height: int) -> None:
        if len(self.stack) + height > _DEEPEST:
            raise _refused(
                "The template is too deep", line, f"Values lie in each other up to {_DEEPEST} times.", "Make it flatter."
            )
        if not self.stack:
            self.roots.append(value)
            return
        here = self.stack[-1]
        here.height = max(here.height, height + 1)
        if isinstance(here.value, list):
            here.lines[len(here.value)] = line
            here.value.append(value)
        else:
            assert here.key is not None
            here.lines[here.key] = here.key_line
            here.value[here.key] = value
            here.key = None

    def _count(self, more: int, line: int) -> None:
        self.count += more
        if self.count > _MOST:
            raise _refused(
                f"The template has more than {_MOST:,} values",
                line,
                "What an anchor names counts as often as it is named.",
                "Write fewer, or fewer names for many.",
            )


def _refused(what: str, line: int, cause: str, remedy: str) -> TemplateInvalid:
    return TemplateInvalid(f"{what} (line {line})", cause=cause, remedy=remedy)
