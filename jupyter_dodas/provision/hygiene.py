"""What templates, and values for their inputs, may not do: fetch, read files of others, become code, or ask for nonsense.

Whoever makes infrastructures fetches imports before it asks who one is, takes names of files of its own host for recipes, and runs
what stands in double braces. So nothing of that gets as far.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from jupyter_dodas.provision.document import Document, Path
from jupyter_dodas.provision.patterns import trouble

__all__ = ["FUNCTIONS", "IDENTIFIER", "inspect", "unsafe"]

IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")

FUNCTIONS: Final = frozenset(
    {
        "concat",
        "join",
        "token",
        "get_artifact",
        "get_attribute",
        "get_input",
        "get_nodes_of_type",
        "get_operation_output",
        "get_property",
    }
)
"""Of TOSCA: an object with one of them as its only key is no value."""

_COUNTS: Final = frozenset({"count", "min_instances", "max_instances", "default_instances"})
_MOST_MACHINES: Final = 10_000
_LONGEST: Final = 8_000
_MOST_NAMES: Final = 100
_ROLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(,[A-Za-z0-9._-]+)?")
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9._/:@-]*", re.IGNORECASE)


def unsafe(text: str) -> str:
    """Return why a text may not be the value of an input; empty if it may."""
    if not text.isprintable():
        return "it has a line end, or another character that does not show"
    if any(ord(one) > 0xFFFF for one in text):
        return "it has a character of more than 16 bits, such as an emoji, which would arrive in two halves"
    if found := next((mark for mark in ("'", '"', "`", ";", "\\") if mark in text), None):
        return f"it has {_NAMES[found]}, which those who take it could read as the end of the value"
    if found := next((mark for mark in ("{{", "{%", "{#") if mark in text), None):
        return f"it has {found}, with which an expression begins that machines would compute"
    if word := re.search(r"\b(file|random|access_token)\(", text):
        return f"it has {word[0]}, which whoever makes machines would put something else for"
    if text.startswith("|"):
        return "it begins with |, as a text of several lines does"
    if text != text.strip():
        return "it begins or ends with a space"
    return ""


_NAMES: Final = {"'": "a quote", '"': "a quote", "`": "a quote", ";": "a semicolon", "\\": "a backslash"}


def inspect(document: Document, recipes: Iterable[str]) -> None:
    """See that a template does nothing that it may not do.

    Parameters
    ----------
    recipes
        Names of those that it may use.

    Raises
    ------
    TemplateInvalid
        With the first thing that it does.
    """
    _sections(document)
    _texts_to_match(document)
    known = frozenset(recipes)
    for path, value in document.walk():
        for rule in _RULES:
            rule(document, path, value)
        for at, key in enumerate(path):
            if key in ("interfaces", "interface_types"):
                _operation(document, path, path[at + 1 :], value, known)


def _sections(document: Document) -> None:
    content = document.content
    if "imports" in content:
        raise document.refused(
            ("imports",),
            "The template imports others",
            cause="Those who make infrastructures would fetch what it names, from wherever it says, also from their own files.",
            remedy="Write the types that it needs into it, as our templates do: `dodas template show kubernetes --text`.",
        )
    if "repositories" in content:
        raise document.refused(
            ("repositories",),
            "The template names repositories",
            cause="Recipes are ours, or lie at an address that is written where they are used.",
            remedy="Leave them out, and write the whole address of each recipe as its implementation.",
        )
    topology = content.get("topology_template")
    if not isinstance(topology, dict) or not isinstance(topology.get("node_templates"), dict) or not topology["node_templates"]:
        raise document.refused(
            ("topology_template",),
            "The template makes nothing",
            cause="It has no topology_template with node_templates.",
            remedy="`dodas template show single-node --text` shows the smallest.",
        )
    for section, shape, what in (("node_templates", _NODE, "a node"), ("inputs", IDENTIFIER, "an input")):
        names = topology.get(section) or {}
        if not isinstance(names, dict):
            raise document.refused(
                ("topology_template", section),
                f"{section} of the template is no object",
                cause="It has their names as its keys.",
                remedy="Write one name after the other, each with what it is.",
            )
        if len(names) > _MOST_NAMES:
            raise document.refused(
                ("topology_template", section),
                f"The template has {len(names):,} {section}",
                cause=f"There may be up to {_MOST_NAMES}; machines of one kind are one node, with a count.",
                remedy="Write fewer.",
            )
        for name in names:
            if not shape.fullmatch(name):
                raise document.refused(
                    ("topology_template", section, name),
                    f"{name[:40]!r} cannot name {what}",
                    cause="Names become parts of recipes.",
                    remedy="Use letters, digits and underscores, and begin with a letter.",
                )


def _artifact_function(document: Document, path: Path, value: Any) -> None:
    if isinstance(value, dict) and "get_artifact" in value:
        raise document.refused(
            (*path, "get_artifact"),
            "The template uses get_artifact",
            cause="Whoever makes infrastructures would fetch what it names, also from its own files.",
            remedy="Let a recipe fetch it on the machine.",
        )


def _artifacts(document: Document, path: Path, value: Any) -> None:
    if not path or path[-1] != "artifacts":
        return
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for entry in entries:
        file = entry.get("file") if isinstance(entry, dict) else entry
        if isinstance(entry, dict) and "repository" in entry:
            raise document.refused(
                path,
                "An artifact of the template is in a repository",
                cause="Whoever makes infrastructures would fetch it, from wherever the repository says.",
                remedy="Write its whole address, which begins with https://.",
            )
        kind = str(entry.get("type", "")) if isinstance(entry, dict) else ""
        shape = (
            _ROLE if kind == "tosca.artifacts.AnsibleGalaxy.role" else _IMAGE if kind.endswith("Image.Container.Docker") else None
        )
        if not isinstance(file, str) or not (_is_https(file) or (shape and shape.fullmatch(file))):
            raise document.refused(
                path,
                f"The artifact {_short(file)} may not be used",
                cause="Artifacts are at an address with https://, or are roles of Ansible Galaxy or images of containers.",
                remedy="Write its whole address, which begins with https://.",
            )


def _counts(document: Document, path: Path, value: Any) -> None:
    if not path or path[-1] not in _COUNTS:
        return
    number = value.get("default") if isinstance(value, dict) else value
    if isinstance(number, (int, float)) and (number < 0 or number > _MOST_MACHINES or number != int(number)):
        raise document.refused(
            path,
            f"{path[-1]}: {number} is no number of machines",
            cause="It is taken as it is, and what comes of it has to be cleared away by hand.",
            remedy=f"Give a whole number from 0 to {_MOST_MACHINES:,}.",
        )


def _special_defaults(document: Document, path: Path, value: Any) -> None:
    """Refuse texts that become something else where they are taken: also outside of inputs, since they get there by `get_input`."""
    if isinstance(value, str) and re.search(r"\b(access_token\(\)|random\(\d+\))", value):
        raise document.refused(
            path,
            f"The template has {_short(value)}",
            cause="A token of yours, or a text that changes each time, would be put for it.",
            remedy="Name inputs for which a secret is to be made in `secrets` of the template's metadata.",
        )


def _patterns(document: Document, path: Path, value: Any) -> None:
    if not _is_pattern(path):
        return
    if why := trouble(value) if isinstance(value, str) else "it is no text":
        raise document.refused(
            path,
            "The template has a pattern that may not be used",
            cause=f"{why.capitalize()}.",
            remedy="Write a simpler one, or list the values: valid_values.",
        )


def _is_pattern(path: Path) -> bool:
    return path[-1:] == ("pattern",) and ("constraints" in path or "node_filter" in path)


def _texts_to_match(document: Document) -> None:
    """See that texts are short where there are patterns: more than inputs is matched by those who are sent the template."""
    long, patterns = None, False
    for path, value in document.walk():
        patterns = patterns or _is_pattern(path)
        if isinstance(value, str) and len(value) > _LONGEST and path[-1:] != ("description",):
            long = path
    if patterns and long is not None:
        raise document.refused(
            long,
            f"The template has a text of more than {_LONGEST:,} characters, and patterns",
            cause="To match one with the other may take hours.",
            remedy="Let a recipe fetch what is long, or leave the patterns out.",
        )


_RULES: Final[tuple[Callable[[Document, Path, Any], None], ...]] = (
    _artifact_function,
    _artifacts,
    _counts,
    _patterns,
    _special_defaults,
)


def _operation(document: Document, path: Path, within: Path, value: Any, recipes: frozenset[str]) -> None:
    """See what a value runs that lies within interfaces: below the name of one, of an operation, and of what belongs to that."""
    match within:
        case (*_, "inputs") if isinstance(value, dict):
            for name in value:
                if not IDENTIFIER.fullmatch(name):
                    raise document.refused(
                        (*path, name),
                        f"{name[:40]!r} cannot name a variable of a recipe",
                        cause="It is written into the recipe as it is.",
                        remedy="Use letters, digits and underscores, and begin with a letter.",
                    )
        case (_, "type" | "inputs" | "description" | "derived_from" | "operations" | "version" | "notifications"):
            pass
        case (_, _) | (_, "operations", _) if not isinstance(value, dict):
            _implementation(document, path, value, recipes)
        case (*_, "implementation") if not isinstance(value, dict) or "primary" not in value:
            _implementation(document, path, value, recipes)
        case (*_, "primary"):
            _implementation(document, path, value, recipes)
        case (*_, "dependencies"):
            for one in value if isinstance(value, list) else [value]:
                _implementation(document, path, one, recipes)


def _implementation(document: Document, path: Path, value: Any, recipes: frozenset[str]) -> None:
    if value is None or (isinstance(value, str) and value in recipes):
        return
    if not isinstance(value, str) or not _is_https(value) or not urlsplit(value).path.endswith((".yml", ".yaml")):
        raise document.refused(
            path,
            f"The recipe {_short(value)} may not be used",
            cause="Recipes are ours, by their names, or playbooks (.yml) at an address with https://. Of all others nobody can say "
            "whose file it is, or who has changed it on the way.",
            remedy=f"Ours are: {', '.join(sorted(recipes))}.",
        )


def _is_https(address: str) -> bool:
    if not re.fullmatch(r"https://[\x21-\x7e]+", address) or unsafe(address):
        return False
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    # Names without a dot and addresses in numbers are those of machines near to whoever fetches it.
    _, dot, last = host.rstrip(".").rpartition(".")
    near = not dot or ":" in host or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last) is not None
    return not near and "@" not in parts.netloc and port != 0


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
