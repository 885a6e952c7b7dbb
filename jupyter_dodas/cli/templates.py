"""The verbs about templates of infrastructures: `dodas template list`, `show`, `validate`, `plan`. They ask nobody."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import AsJson
from jupyter_dodas.display import text
from jupyter_dodas.display.words import count, size
from jupyter_dodas.errors import InvalidOption

# Imported where they are used: most commands have nothing to do with templates.
if TYPE_CHECKING:
    from jupyter_dodas.provision.base import Machine
    from jupyter_dodas.provision.template import Template
    from jupyter_dodas.provision.views import TemplateView

__all__ = ["chosen", "machines", "verbs"]

Which: TypeAlias = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Name of one of ours, or a file.")]
Chosen: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="INPUT=VALUE", help="Value of an input; lists and objects as JSON.")
]


def verbs() -> typer.Typer:
    """Return the verbs."""
    app = typer.Typer(name="template", help="Look at templates of infrastructures.", no_args_is_help=True)
    app.callback()(_template)
    app.command("list")(list_)
    for verb in (show, validate, plan):
        app.command()(verb)
    return app


def _template() -> None:
    """Look at templates of infrastructures: which there are, what they ask, what they would make."""


def list_(as_json: AsJson = False) -> None:
    """List the templates that come with the package."""
    from jupyter_dodas.provision import template

    found = [template.load(name) for name in template.names()]
    if as_json:
        output.data([_view(one) for one in found])
    else:
        output.text("\n".join(text.columns([("TEMPLATE", "MAKES"), *((one.name, one.description) for one in found)])))


def show(
    template: Which,
    as_text: Annotated[bool, typer.Option("--text", help="The document itself, as YAML.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a template makes, and what it asks for."""
    found = _find(template)
    if as_text:
        output.text(found.text.rstrip("\n"))
    elif as_json:
        output.data(_view(found))
    else:
        output.text("\n".join(_shown(found)))


def validate(template: Which, as_json: AsJson = False) -> None:
    """Say whether a template can be used, and if not, why and where."""
    found = _find(template)
    if as_json:
        output.data(_view(found))
    else:
        inputs = count(len(found.schema()["properties"]), "input")
        output.text(f"{found.name} can be used. It asks for {inputs}; its digest is {found.digest}.")


def plan(template: Which, given: Chosen = None, as_json: AsJson = False) -> None:
    """Show which machines would be made, before any are. It asks no cloud: a hub also tells the quota there."""
    from jupyter_dodas.provision.base import Plan

    found = _find(template)
    planned = Plan(machines=found.machines(found.check(chosen(found, given or ()))))
    if as_json:
        output.data(planned)
    else:
        output.text("\n".join(machines(planned.machines)))


def chosen(template: "Template", given: Iterable[str]) -> Mapping[str, Any]:
    """Return what was written as ``INPUT=VALUE``, in the shape that the template expects; it is not checked.

    Raises
    ------
    InvalidOption
    """
    properties = template.schema()["properties"]
    return dict(_entry(one, properties) for one in given)


def _entry(given: str, properties: Mapping[str, Any]) -> tuple[str, Any]:
    name, separator, value = given.partition("=")
    name = name.strip()
    if not separator or not name:
        raise InvalidOption(f"--set {given!r} cannot be read", remedy="Write it as: --set INPUT=VALUE")
    if _types(properties.get(name, {})) & {"array", "object"}:
        try:
            return name, json.loads(value)
        except ValueError as error:
            raise InvalidOption(
                f"--set {name} cannot be read",
                option=name,
                cause=f"{error}.",
                remedy=f"Lists and objects are written as JSON: --set '{name}=[...]'",
            ) from error
    return name, None if value == "null" and "null" in _types(properties.get(name, {})) else value


def machines(planned: "Sequence[Machine]") -> Iterable[str]:
    """Return a table of machines, and their sums, in lines."""
    rows = [("MACHINES", "NUMBER", "CORES", "MEMORY", "DISK", "ADDRESS")]
    for one in planned:
        address = "public" if one.public else "private"
        rows.append((one.role, str(one.count), str(one.cores), size(one.memory), size(one.disk), address))
    rows.append(
        (
            "together",
            str(sum(one.count for one in planned)),
            str(sum(one.count * one.cores for one in planned)),
            size(sum(one.count * one.memory for one in planned)),
            size(sum(one.count * one.disk for one in planned)),
            "",
        )
    )
    return text.columns(rows)


def _find(which: str) -> "Template":
    from jupyter_dodas.provision import template

    path = Path(which)
    is_file = path.suffix in (".yaml", ".yml") or len(path.parts) != 1
    return template.Template.read(path) if is_file else template.load(which)


def _view(template: "Template") -> "TemplateView":
    from jupyter_dodas.provision.views import TemplateView

    return TemplateView.of(template)


def _shown(template: "Template") -> Iterable[str]:
    schema = template.schema()
    yield template.title
    yield template.description
    yield ""
    rows = [("INPUT", "DEFAULT", "VALUES", "WHAT IT IS")]
    for name, what in schema["properties"].items():
        rows.append((name, _default(what, required=name in schema["required"]), _values(what), what.get("description", "")))
    yield from text.columns(rows)
    if usual := _view(template).machines:
        yield ""
        yield from machines(usual)


def _default(what: Mapping[str, Any], *, required: bool) -> str:
    value = what.get("default")
    if required or value is None:
        return "needed" if required else "-"
    if what.get("format") == "memory":
        return size(value)
    return value if isinstance(value, str) else json.dumps(value)


def _values(what: Mapping[str, Any]) -> str:
    branch = next((one for one in what.get("anyOf", ()) if one.get("type") != "null" and "format" not in what), what)
    if "enum" in branch:
        return " or ".join(map(str, branch["enum"]))
    low, high = branch.get("minimum"), branch.get("maximum")
    if low is not None and high is not None:
        return f"{size(low)} to {size(high)}" if branch.get("format") == "memory" else f"{low} to {high}"
    return {"string": "text", "integer": "number", "array": "JSON", "object": "JSON"}.get(str(branch.get("type")), "")


def _types(what: Mapping[str, Any]) -> set[str]:
    return {str(one.get("type")) for one in (what, *what.get("anyOf", ()))}
