"""TOSCA: what the parser of the standard says about a document, and which machines it would make.

The parser is the one that the Infrastructure Manager has, so that what it would say after a request is said before. It is given
nothing that it would fetch, or go round in.
"""

import copy
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jupyter_dodas.errors import MissingSoftware, TemplateInvalid
from jupyter_dodas.provision import rings
from jupyter_dodas.provision.constraints import in_bytes
from jupyter_dodas.provision.document import Document, Path

__all__ = ["Compute", "bounds", "foresee", "input_of", "understand"]

_VERSIONS: Final = ("tosca_simple_yaml_1_0", "tosca_simple_yaml_1_2", "tosca_simple_yaml_1_3")
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
    rings.refuse(document, EntityType.TOSCA_DEF_LOAD_AS_IS)
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
