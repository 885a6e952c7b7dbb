"""Templates: TOSCA documents with inputs, read and checked before anything is sent to anybody."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from jupyter_dodas.errors import InvalidOption, TemplateInvalid, UnknownOption, did_you_mean
from jupyter_dodas.provision import document, hygiene, inputs, tosca
from jupyter_dodas.provision.constraints import in_bytes
from jupyter_dodas.provision.tosca import Compute, input_of

if TYPE_CHECKING:
    from jupyter_dodas.provision.base import Machine

__all__ = ["Template", "load", "names", "recipe", "recipes"]

_FOLDER: Final = Path(__file__).parent / "templates"
_RECIPES: Final = Path(__file__).parent / "recipes"
_SECRETS: Final = ("metadata", "secrets")


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
        self._document = document.read(text)
        hygiene.inspect(self._document, recipes())
        self._computes = tosca.understand(self._document)
        tosca.foresee(self._document, self._computes)
        self._inputs = inputs.declared(self._document, tosca.bounds(self._computes))
        self._secrets = self._found_secrets()
        self._scaling = {what: tuple(self._found_scaling(what)) for what in ("count", "removal_list")}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the template in a file."""
        try:
            if not path.is_file():
                raise TemplateInvalid(
                    f"There is no file {str(path)!r}", remedy="Give the path of a template, or a name of one of ours."
                )
            with path.open("rb") as file:
                found = file.read(document.LARGEST + 1)
            text = found.decode(errors="strict" if len(found) <= document.LARGEST else "replace")
        except UnicodeDecodeError as error:
            raise TemplateInvalid(
                f"{path.name} is not a text", cause=f"Its byte {error.start} is none of UTF-8.", remedy="Save it as UTF-8."
            ) from error
        except (OSError, ValueError) as error:
            raise TemplateInvalid(f"{path.name} cannot be read", cause=f"{error}.", remedy="See that you may read it.") from error
        return cls(path.stem, text)

    @cached_property
    def digest(self) -> str:
        """Tells versions apart."""
        return _digest(self.text)

    @property
    def title(self) -> str:
        """Its name for people."""
        return str(self._metadata.get("title") or self.name)

    @property
    def description(self) -> str:
        """What it makes, in a sentence."""
        return str(self._document.content.get("description") or "").strip()

    @property
    def _metadata(self) -> Mapping[str, Any]:
        found = self._document.content.get("metadata")
        return found if isinstance(found, dict) else {}

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of its inputs."""
        return inputs.schema(self.title, self.description, self._offered)

    @property
    def _offered(self) -> Sequence[inputs.Input]:
        hidden = {*self._secrets, *self._scaling["removal_list"]}
        return [one for name, one in self._inputs.items() if name not in hidden]

    def check(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return all inputs, defaults among them, sizes in bytes. Those that may be left out, and are, are not among them.

        Raises
        ------
        InvalidOption
            With the input in `option`.
        """
        offered = self._offered
        known = {one.name for one in offered}
        if (other := next((name for name in inputs if name not in known), None)) is not None:
            raise UnknownOption(other, self.name, known)
        checked = {one.name: one.check(inputs.get(one.name)) for one in offered}
        return {name: value for name, value in checked.items() if value is not None}

    @property
    def scalable(self) -> str | None:
        """The input that says how many workers there are; None if nothing scales."""
        return next(iter(self._scaling["count"]), None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Inputs that nobody chooses: made at random for each infrastructure."""
        return self._secrets

    def machines(self, inputs: Mapping[str, Any]) -> "tuple[Machine, ...]":
        """Return what it makes with these inputs, which were checked."""
        from jupyter_dodas.provision.base import Machine

        return tuple(
            Machine(
                role=compute.role,
                count=_whole(self._value(compute, inputs, "scalable", "count", "default_instances", "min_instances"), 1),
                cores=_whole(self._value(compute, inputs, "host", "num_cpus"), 1),
                memory=_bytes(self._value(compute, inputs, "host", "mem_size")),
                disk=_bytes(self._value(compute, inputs, "host", "disk_size")),
                public="PUBLIC" in str(self._value(compute, inputs, "endpoint", "network_name") or ""),
            )
            for compute in self._computes
        )

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
        filled = copy.deepcopy(self._document.content)
        filled["metadata"] = {"infra_name": name}
        topology = filled["topology_template"]
        given = {**inputs, **{one: list(removal) for one in self._scaling["removal_list"]}}
        absent = {one for one in self._inputs if given.get(one) is None}
        if secret := next((one for one in self._secrets if one in absent), ""):
            raise InvalidOption(f"{secret} is missing", option=secret, cause="It is a secret.", remedy="Make one at random.")
        _leave_out(filled, absent)
        outputs = topology.get("outputs") or {}
        for one in [one for one, what in outputs.items() if "value" not in what]:
            del outputs[one]
        for one in absent:
            del topology["inputs"][one]
        for one in self._inputs.keys() - absent:
            topology["inputs"][one]["default"] = _as_tosca(self._inputs[one], given[one])
        _address(filled, recipes.rstrip("/"))
        return document.dump(filled)

    def _value(self, compute: Compute, given: Mapping[str, Any], capability: str, *names: str) -> Any:
        value = compute.value(capability, *names)
        return value if (name := input_of(value)) is None else given.get(name)

    def _found_scaling(self, what: str) -> Iterator[str]:
        for compute in self._computes:
            if (name := input_of(compute.value("scalable", what))) is not None and name in self._inputs:
                yield name

    def _found_secrets(self) -> tuple[str, ...]:
        found = tuple(str(self._metadata.get("secrets") or "").replace(",", " ").split())
        kinds = {name: what.get("type") for name, what in (self._document.content["topology_template"].get("inputs") or {}).items()}
        if (other := next((name for name in found if kinds.get(name) != "string"), None)) is not None:
            raise self._document.refused(
                _SECRETS,
                f"There is no text {other!r} among the inputs, for which a secret is to be made",
                cause=did_you_mean(other, self._inputs),
                remedy="Name inputs of the type string.",
            )
        return found


def _whole(value: Any, default: int) -> int:
    return default if value is None else int(value)


def _bytes(size: Any) -> int:
    return 0 if size is None else in_bytes(size)


def _as_tosca(known: inputs.Input, value: Any) -> Any:
    return inputs.in_words(value) if known.in_bytes and isinstance(value, int) else value


def _leave_out(part: Any, absent: set[str]) -> None:
    """Leave out what takes an input that is not given."""
    # From the end, since what stands behind moves up.
    for key, value in reversed(list(part.items() if isinstance(part, dict) else enumerate(part))):
        if isinstance(value, dict) and input_of(value) in absent:
            del part[key]
        elif isinstance(value, (dict, list)):
            _leave_out(value, absent)


def _address(part: Any, address: str, *, within: bool = False) -> None:
    """Write addresses of our recipes for their names: within interfaces, but not in what recipes are told."""
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        if isinstance(value, (dict, list)):
            _address(value, address, within=(within or key in ("interfaces", "interface_types")) and key != "inputs")
        elif within and isinstance(value, str) and value in recipes():
            part[key] = f"{address}/{recipe(value)[0]}/{value}"


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
            f"There is no template {name!r}", cause=did_you_mean(name, names()), remedy=f"Templates: {', '.join(names())}."
        )
    return Template.read(_FOLDER / f"{name}.yaml")


@cache
def recipes() -> Mapping[str, Path]:
    """Return the files of the recipes of this package, by their names."""
    return {file.name: file for file in sorted(_RECIPES.glob("*.yml"))}


def recipe(name: str) -> tuple[str, str]:
    """Return digest and text of a recipe of this package.

    Raises
    ------
    TemplateInvalid
        If there is none of this name.
    """
    if name not in recipes():
        raise TemplateInvalid(
            f"There is no recipe {name!r}", cause=did_you_mean(name, recipes()), remedy=f"Recipes: {', '.join(recipes())}."
        )
    text = recipes()[name].read_text(encoding="utf-8")
    return _digest(text), text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
