"""Types and nodes that lead back to themselves, or are so many, that whoever goes through them would not come to an end."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jupyter_dodas.provision.document import Document, Path

__all__ = ["refuse"]

_LONGEST_LINE: Final = 10
_MOST_TYPES: Final = 300
_MOST_COMPARED: Final = 100_000
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


def refuse(document: Document, standard: Mapping[str, Any]) -> None:
    """Refuse a document that the parser of TOSCA would go round in.

    Parameters
    ----------
    standard
        The definitions of TOSCA itself, by sections and names.

    Raises
    ------
    TemplateInvalid
    """
    _types(document, {section: frozenset(standard.get(section) or ()) for section in _SECTIONS})
    _capabilities_of_all(document)
    _requirements(document)


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
