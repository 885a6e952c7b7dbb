"""The verbs about credentials for clouds: what is secret is read from a file or typed unseen, and never an argument."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import AsJson
from jupyter_dodas.display import text
from jupyter_dodas.errors import InvalidOption

__all__ = ["verbs"]


def verbs() -> typer.Typer:
    """Return the verbs."""
    app = typer.Typer(name="cloud", help="Credentials for clouds.", no_args_is_help=True)
    app.callback()(_cloud)
    app.command("list")(list_)
    app.command()(add)
    app.command()(remove)
    return app


def _cloud() -> None:
    """Credentials for clouds, which the hub keeps encrypted."""


def list_(as_json: AsJson = False) -> None:
    """List credentials, your own and those of your groups, without what is secret in them."""
    from jupyter_dodas.cli.infrastructures import asked

    found = asked(lambda it: it.clouds())
    if as_json:
        output.data(found)
    elif not found:
        output.text("There are no credentials.")
    else:
        rows = [(one.name, one.kind, one.group and f"of {one.group}", " ".join(one.public.values())) for one in found]
        output.text("\n".join(text.columns([("NAME", "KIND", "WHOSE", ""), *rows])))


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call them.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="ec2, openstack, kubernetes or dummy.")],
    fields: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="What is not secret, such as host=...; several times.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="JSON with the fields, instead of typing what is secret.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have the hub keep credentials, encrypted, instead of any of this name. What is secret is asked for."""
    from pydantic import SecretStr, TypeAdapter, ValidationError

    from jupyter_dodas.cli.infrastructures import asked
    from jupyter_dodas.provision import clouds

    known = {
        one.model_fields["kind"].default: one for one in (clouds.Ec2, clouds.OpenStack, clouds.KubernetesCloud, clouds.DummyCloud)
    }
    if kind not in known:
        raise InvalidOption(f"There is no kind of cloud {kind!r}", option="kind", remedy=f"Kinds: {', '.join(known)}.")
    model: Any = known[kind]
    secret = {field for field, about in model.model_fields.items() if about.annotation is SecretStr}
    values: dict[str, Any] = _from(file) if file is not None else {}
    for given in fields or ():
        field, _, value = given.partition("=")
        if field in secret:
            raise InvalidOption(
                f"{field} is secret",
                option=field,
                cause="Everybody on this machine sees arguments.",
                remedy="Leave it out: it is asked for.",
            )
        values[field] = value
    for field, about in model.model_fields.items():
        if field not in {"kind", "name", *values} and about.is_required():
            values[field] = typer.prompt(about.title or field, hide_input=field in secret, err=True)
    try:
        cloud: Any = TypeAdapter(model).validate_python({**values, "kind": kind, "name": name})
    except ValidationError as error:
        detail = error.errors(include_input=False, include_context=False)[0]
        where = ".".join(map(str, detail["loc"]))
        raise InvalidOption(f"{where} will not do: {detail['msg']}", option=where) from None
    found = asked(lambda it: it.add_cloud(cloud))
    output.data(found) if as_json else output.text(f"{found.name} is kept.")


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which credentials.")],
    as_json: AsJson = False,
) -> None:
    """Have the hub forget credentials."""
    from jupyter_dodas.cli.infrastructures import asked

    asked(lambda it: it.remove_cloud(name))
    output.data({"removed": name}) if as_json else output.text(f"{name} is forgotten.")


def _from(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise InvalidOption(f"{file} holds no JSON object", option="file", remedy='Write it as {"username": ..., "password": ...}.')
    return found
