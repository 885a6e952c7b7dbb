"""Templates: TOSCA documents with inputs, read and checked before anything is sent to anybody."""

import copy
import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import ByteSize, TypeAdapter

from jupyter_dodas.errors import InvalidOption, TemplateInvalid, UnknownOption, did_you_mean

if TYPE_CHECKING:
    from jupyter_dodas.provision.base import Machine

__all__ = ["Template", "load", "names", "recipe"]

_FOLDER: Final = Path(__file__).parent / "templates"
_RECIPES: Final = Path(__file__).parent / "recipes"
_SIZE: Final = "scalar-unit.size"
_COMPUTE: Final = "tosca.nodes.indigo.Compute"


class Template:
    """One document.

    Parameters
    ----------
    name
        Of the file, without its suffix.
    text
        YAML of the TOSCA Simple Profile, with all types inline.

    Raises
    ------
    TemplateInvalid
        If it is not one, or does what templates may not do.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self._document = _parse(text)
        self._topology: Mapping[str, Any] = self._document["topology_template"]
        self._inputs: Mapping[str, Any] = self._topology.get("inputs") or {}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the template in a file."""
        return cls(path.stem, path.read_text(encoding="utf-8"))

    @cached_property
    def digest(self) -> str:
        """Tells versions apart."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """Its name for people."""
        return str(self._metadata.get("title", self.name))

    @property
    def description(self) -> str:
        """What it makes, in a sentence."""
        return str(self._document.get("description", "")).strip()

    @property
    def _metadata(self) -> Mapping[str, Any]:
        return self._document.get("metadata") or {}

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of its inputs."""
        return {
            "type": "object",
            "title": self.title,
            "description": self.description,
            "additionalProperties": False,
            "properties": {name: _schema(self._inputs[name]) for name in self._offered},
            "required": [
                name for name in self._offered if "default" not in self._inputs[name] and self._inputs[name].get("required", True)
            ],
        }

    @property
    def _offered(self) -> list[str]:
        return [name for name in self._inputs if name not in {*self.secrets, *self._internal}]

    def check(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return all inputs, defaults among them.

        Raises
        ------
        InvalidOption
            With the input in `option`.
        """
        for name in inputs:
            if name not in self._offered:
                raise UnknownOption(name, self.name, self._offered)
        checked = {}
        for name in self._offered:
            declared = self._inputs[name]
            value = inputs.get(name, declared.get("default"))
            if value is None:
                if declared.get("required", True):
                    raise InvalidOption(f"{name} will not do: it is missing", option=name, cause=declared.get("description", ""))
                continue
            checked[name] = _bytes(value) if declared["type"] == _SIZE else value
        return checked

    @property
    def scalable(self) -> str | None:
        """The input that says how many workers there are; None if nothing scales."""
        return next((name for name in self._scaling("count")), None)

    @property
    def _internal(self) -> tuple[str, ...]:
        return tuple(self._scaling("removal_list"))

    def _scaling(self, what: str) -> Iterator[str]:
        for node in self._computes.values():
            match _properties(node, "scalable").get(what):
                case {"get_input": str(name)}:
                    yield name

    @property
    def _computes(self) -> Mapping[str, Any]:
        return {name: node for name, node in self._topology["node_templates"].items() if node.get("type") == _COMPUTE}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Inputs that nobody chooses: made at random for each infrastructure."""
        return tuple(str(self._metadata.get("secrets", "")).replace(",", " ").split())

    def machines(self, inputs: Mapping[str, Any]) -> "tuple[Machine, ...]":
        """Return what it makes with these inputs, which were checked."""
        from jupyter_dodas.provision.base import Machine

        def of(role: str, node: Mapping[str, Any]) -> Machine:
            def look(capability: str, name: str, default: Any) -> Any:
                value = _properties(node, capability).get(name, default)
                match value:
                    case {"get_input": str(wanted)}:
                        value = inputs.get(wanted, default)
                return value

            return Machine(
                role=role,
                count=look("scalable", "count", 1),
                cores=look("host", "num_cpus", 1),
                memory=_bytes(look("host", "mem_size", 0)),
                disk=_bytes(look("host", "disk_size", 0)),
                public="PUBLIC" in str(look("endpoint", "network_name", "")),
            )

        return tuple(of(role, node) for role, node in self._computes.items())

    def fill(self, inputs: Mapping[str, Any], *, name: str, recipes: str, removal: tuple[str, ...] = ()) -> str:
        """Return the document with these inputs, as it is sent.

        Parameters
        ----------
        inputs
            All of them, which were checked, and the secrets.
        name
            What the provisioner is to call it.
        recipes
            Address of our recipes, which stand in it by their names.
        removal
            Machines that go first when it shrinks.
        """
        import yaml

        filled = copy.deepcopy(dict(self._document))
        filled["metadata"] = {"infra_name": name}
        given = {**inputs, **{one: list(removal) for one in self._internal}}
        declared = filled["topology_template"].get("inputs") or {}
        absent = [one for one in declared if given.get(one) is None]
        for one in absent:
            del declared[one]
        for one, input_ in declared.items():
            input_["default"] = _words(given[one]) if input_["type"] == _SIZE else given[one]
        _rewrite(filled["topology_template"], absent, recipes)
        text: str = yaml.dump(filled, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        return text


def names() -> tuple[str, ...]:
    """Return the names of the templates of this package."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


def load(name: str) -> Template:
    """Return a template of this package.

    Raises
    ------
    TemplateInvalid
        If there is none of this name.
    """
    if name not in names():
        raise TemplateInvalid(
            f"There is no template {name!r}",
            cause=did_you_mean(name, names()),
            remedy=f"Templates: {', '.join(names())}.",
        )
    return Template.read(_FOLDER / f"{name}.yaml")


def recipe(name: str) -> tuple[str, str]:
    """Return digest and text of a recipe of this package.

    Raises
    ------
    TemplateInvalid
        If there is none of this name.
    """
    known = {file.name: file for file in _RECIPES.glob("*.yml")}
    if name not in known:
        raise TemplateInvalid(
            f"There is no recipe {name!r}", cause=did_you_mean(name, known), remedy=f"Recipes: {', '.join(known)}."
        )
    text = known[name].read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:16], text


def _parse(text: str) -> Mapping[str, Any]:
    import yaml

    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise TemplateInvalid("The template is not YAML", cause=str(error), remedy="Correct it there.") from error
    if not isinstance(document, dict):
        raise TemplateInvalid("The template is not a document of TOSCA", remedy="See `dodas template show kubernetes`.")
    return dict(document)


def _schema(declared: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {_SIZE: "integer", "list": "array", "map": "object", "float": "number"}
    schema = {"type": kinds.get(declared["type"], declared["type"]), "description": declared.get("description", "")}
    if declared["type"] == _SIZE:
        schema["format"] = "memory"
    if "default" in declared:
        schema["default"] = _bytes(declared["default"]) if declared["type"] == _SIZE else declared["default"]
    return schema


def _properties(node: Mapping[str, Any], capability: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = node.get("capabilities", {}).get(capability, {}).get("properties", {})
    return found


def _bytes(size: Any) -> int:
    return int(TypeAdapter(ByteSize).validate_python(size))


def _words(size: int) -> str:
    for unit, of in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if size % of == 0:
            return f"{size // of} {unit}"
    return f"{size} B"


def _rewrite(part: Any, absent: list[str], recipes: str) -> None:
    """Leave out what takes an input that is not given, and write addresses of our recipes for their names."""
    if isinstance(part, list):
        for one in part:
            _rewrite(one, absent, recipes)
    if not isinstance(part, dict):
        return
    for key, value in list(part.items()):
        if key == "implementation" and isinstance(value, str) and "/" not in value:
            part[key] = f"{recipes.rstrip('/')}/{recipe(value)[0]}/{value}"
        elif isinstance(value, dict) and value.keys() == {"get_input"} and value["get_input"] in absent:
            del part[key]
        else:
            _rewrite(value, absent, recipes)
