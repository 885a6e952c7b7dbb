"""TOSCA: what the parser of the standard says about a document, and which machines it would make.

The parser is the one that the Infrastructure Manager has, so that what it would say after a request is said before. It is given
nothing that it would fetch, or go round in.
"""

import copy
import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jupyter_dodas.errors import MissingSoftware, TemplateInvalid
from jupyter_dodas.provision.constraints import in_bytes
from jupyter_dodas.provision.document import Document, Path

__all__ = ["Compute", "bounds", "foresee", "input_of", "understand"]

_LONGEST_LINE: Final = 10
_MOST_TYPES: Final = 300
_MOST_COMPARED: Final = 100_000
_VERSIONS: Final = ("tosca_simple_yaml_1_0", "tosca_simple_yaml_1_2", "tosca_simple_yaml_1_3")
_SECTIONS: Final = (
    "artifact_types",
    "capability_types",
    "data_types",
    "group_types",
    "interface_types",
    "node_types",
    "policy_types",
    "relationship_types",
)
# The parser collects what it finds wrong in a place of which there is one in a process.
_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True)
class Compute:
    """Machines of one role.

    Parameters
    ----------
    role
        Name of the node.
    capabilities
        Properties of each, by name: what the node says, else what its type does.
    """

    role: str
    capabilities: Mapping[str, Mapping[str, Any]]

    def value(self, capability: str, *names: str) -> Any:
        """Return the first of these properties that is there: a value, or ``{"get_input": ...}``."""
        found = self.capabilities.get(capability, {})
        return next((found[name] for name in names if found.get(name) is not None), None)


def input_of(value: Any) -> str | None:
    """Return the input that a value is taken from; None if it is another value."""
    match value:
        case {"get_input": str(name)} | {"get_input": [str(name)]}:
            return name
    return None


_FORESEEN: Final[Sequence[tuple[str, str, Sequence[str], Sequence[int] | None]]] = (
    ("scalable", "count", ("integer",), (0, 10_000)),
    ("scalable", "default_instances", ("integer",), (0, 10_000)),
    ("scalable", "min_instances", ("integer",), (0, 10_000)),
    ("host", "num_cpus", ("integer",), (1, 10_000)),
    ("host", "mem_size", ("scalar-unit.size",), None),
    ("host", "disk_size", ("scalar-unit.size",), None),
    ("endpoint", "network_name", ("string",), None),
)
"""Properties of machines that have to be values or inputs: of which capability, of which types, within which bounds."""


def bounds(computes: Sequence[Compute]) -> Mapping[str, Sequence[int]]:
    """Return the fewest and most of what inputs count."""
    return {
        wanted: bound
        for compute in computes
        for capability, name, _, bound in _FORESEEN
        if bound is not None and (wanted := input_of(compute.value(capability, name))) is not None
    }


def foresee(document: Document, computes: Sequence[Compute]) -> None:
    """See that it can be told before which machines there will be.

    Raises
    ------
    TemplateInvalid
    """
    inputs = document.content["topology_template"].get("inputs") or {}
    for compute in computes:
        for capability, name, kinds, _ in _FORESEEN:
            value = compute.value(capability, name)
            path = ("topology_template", "node_templates", compute.role, "capabilities", capability, "properties", name)
            wanted = input_of(value)
            kind = inputs[wanted].get("type") if wanted in inputs else None
            if kind is not None and kind not in kinds:
                raise document.refused(
                    path,
                    f"{name} of {compute.role} is taken from {wanted}, which is of the type {kind}",
                    cause=f"It has to be of the type {kinds[0]}.",
                    remedy=f"Correct the type of the input {wanted}.",
                )
            if kind is None and not _fits(value, kinds):
                raise document.refused(
                    path,
                    f"{name} of {compute.role} is not known before it is made",
                    cause="Which machines there will be is shown before, and compared with what its owner may have.",
                    remedy="Give a value, or take it from an input: {get_input: NAME}.",
                )


def _fits(value: Any, kinds: Sequence[str]) -> bool:
    if value is None or "string" in kinds:
        return not isinstance(value, (dict, list))
    if "integer" in kinds:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    try:
        return in_bytes(value) >= 0
    except ValueError:
        return False


def understand(document: Document) -> Sequence[Compute]:
    """Return which machines a document makes.

    Raises
    ------
    TemplateInvalid
        If it is none of TOSCA.
    """
    try:
        from toscaparser.elements.entity_type import EntityType
        from toscaparser.tosca_template import ToscaTemplate
    except ImportError as error:
        raise MissingSoftware(
            f"{error.name} is not installed",
            cause="Templates are validated with it.",
            remedy='pip install "jupyter-dodas[provision]"',
        ) from error
    content = document.content
    if content.get("tosca_definitions_version") not in _VERSIONS:
        raise document.refused(
            ("tosca_definitions_version",),
            "The template does not say a version of TOSCA that we know",
            cause=f"tosca_definitions_version: {content.get('tosca_definitions_version')!r}"[:200],
            remedy=f"Write one of: {', '.join(_VERSIONS)}.",
        )
    _types(document, {section: frozenset(EntityType.TOSCA_DEF_LOAD_AS_IS.get(section) or ()) for section in _SECTIONS})
    _capabilities_of_all(document)
    _requirements(document)
    with _ONE_AT_A_TIME:
        # What is wrong is raised, and its own lines about it would land in ours.
        logging.getLogger("tosca").setLevel(logging.CRITICAL)
        try:
            parsed = ToscaTemplate(yaml_dict_tpl=copy.deepcopy(content))
            return tuple(
                Compute(node.name, _capabilities(node, content)) for node in parsed.nodetemplates if node.is_derived_from(_COMPUTE)
            )
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        # Of what is put together in unforeseen ways it raises whatever it stumbles over.
        except Exception as error:
            raise _explained(document, error) from error


_COMPUTE: Final = "tosca.nodes.Compute"


def _capabilities(node: Any, content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return properties of capabilities: the parser puts defaults for inputs, so what the node says itself comes before."""
    said = content["topology_template"]["node_templates"][node.name].get("capabilities") or {}
    return {
        name: {
            **{key: item.value for key, item in capability.get_properties().items()},
            **((said.get(name) or {}).get("properties") or {}),
        }
        for name, capability in node.get_capabilities().items()
    }


def _types(document: Document, standard: Mapping[str, frozenset[str]]) -> None:
    """See that types come from others of their sort and in the end from the standard: the parser would never end otherwise."""
    for section in _SECTIONS:
        types = document.content.get(section) or {}
        if not isinstance(types, dict):
            raise document.refused(
                (section,), f"{section} is no object", cause="It has the names of types as its keys.", remedy="Correct it."
            )
        if len(types) > _MOST_TYPES:
            raise document.refused(
                (section,),
                f"The template has {len(types):,} {section}",
                cause=f"There may be up to {_MOST_TYPES}.",
                remedy="Leave out those that it does not use.",
            )
        for name, what in types.items():
            path: Path = (section, name)
            if not isinstance(what, dict):
                raise document.refused(
                    path, f"The type {name} is no object", cause="It has keys, such as properties.", remedy="Correct it."
                )
            if any(name in known for known in standard.values()):
                raise document.refused(
                    path,
                    f"The template defines {name} anew",
                    cause="That is a type of the standard, which others take for what it is there.",
                    remedy="Give yours a name of its own, and derive it from that one.",
                )
            parent, seen = what.get("derived_from"), {name}
            while parent is not None and not (isinstance(parent, str) and parent in standard[section]):
                if not isinstance(parent, str) or parent not in types or parent in seen:
                    raise document.refused(
                        (*path, "derived_from"),
                        f"The type {name} comes from {'itself' if str(parent) in seen else repr(parent)[:60]}",
                        cause=f"A type comes from another of {section}, here or in the standard.",
                        remedy="Correct derived_from. Types of others have to be written into the template.",
                    )
                seen.add(parent)
                if len(seen) > _LONGEST_LINE:
                    raise document.refused(
                        (*path, "derived_from"),
                        f"The type {name} comes from more than {_LONGEST_LINE} others",
                        cause="Each of them is gone through for each node.",
                        remedy="Derive it from one nearer to the standard.",
                    )
                parent = types[parent].get("derived_from") if isinstance(types[parent], dict) else None


def _capabilities_of_all(document: Document) -> None:
    """See that nodes and capabilities are not many of both: the parser compares those of a node with each other."""
    types = document.content.get("node_types") or {}
    capabilities = sum(len(one) for what in types.values() if isinstance(one := what.get("capabilities"), (dict, list)))
    if len(document.content["topology_template"]["node_templates"]) * capabilities**2 > _MOST_COMPARED:
        raise document.refused(
            ("node_types",),
            f"The template has {capabilities:,} capabilities",
            cause="With as many nodes it would take minutes to look at.",
            remedy="Leave out types that it does not use.",
        )


def _requirements(document: Document) -> None:
    """See that no node needs itself, over however many others."""
    nodes = document.content["topology_template"]["node_templates"]
    needs = {name: tuple(_needed(node)) for name, node in nodes.items()}
    done: set[str] = set()
    for name in nodes:
        _follow(document, name, needs, done)


def _follow(document: Document, first: str, needs: Mapping[str, Iterable[str]], done: set[str]) -> None:
    way: list[tuple[str, list[str]]] = [(first, list(needs[first]))]
    while way:
        name, left = way[-1]
        if name in done or not left:
            done.add(name)
            way.pop()
            continue
        following = left.pop()
        if following in (one for one, _ in way):
            raise document.refused(
                ("topology_template", "node_templates", name, "requirements"),
                f"The node {name} needs {following}, which needs it",
                cause="Nothing could be the first of them.",
                remedy="Take one of the requirements away.",
            )
        if following in needs:
            way.append((following, list(needs[following])))


def _needed(node: Any) -> Iterable[str]:
    found = node.get("requirements") if isinstance(node, dict) else None
    for requirement in found if isinstance(found, list) else ():
        for target in requirement.values() if isinstance(requirement, dict) else ():
            name = target.get("node") if isinstance(target, dict) else target
            if isinstance(name, str):
                yield name


def _explained(document: Document, error: Exception) -> TemplateInvalid:
    from toscaparser.common.exception import ValidationError

    if not isinstance(error, ValidationError):
        return TemplateInvalid(
            "The template is put together in a way that cannot be understood",
            cause=f"The parser of TOSCA gave up: {type(error).__name__}: {str(error)[:200]}",
            remedy="Compare it with one of ours: `dodas template show kubernetes --text`.",
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if re.match(r"\w+(Error|Exception|Version)\b", line)), lines[-1])
    what = re.sub(r"^\w+: ", "", first).rstrip(".")[:300]
    path = _mentioned(document, what)
    place = f" ({document.place(path)})" if path else ""
    return TemplateInvalid(f"The template is not as TOSCA has it{place}", cause=f"{what}.", remedy="Correct it there.")


def _mentioned(document: Document, sentence: str) -> Path:
    """Return the deepest place of which a sentence names the key or the value, preferring one that could be no other."""
    places = [
        [
            path
            for path, value in document.walk()
            if path and (path[-1] == word or (not isinstance(value, (dict, list)) and str(value) == word))
        ]
        for word in re.findall(r'"([^"]+)"', sentence)
    ]
    only = [found[0] for found in places if len(found) == 1]
    return max(only, key=len, default=next((found[0] for found in places if found), ()))
