"""The verbs about signing in: `dodas iam check`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from jupyter_dodas.cli import output, showing
from jupyter_dodas.cli.arguments import AsJson
from jupyter_dodas.cli.exits import Exit
from jupyter_dodas.errors import MissingSoftware

__all__ = ["verbs"]


def verbs() -> typer.Typer:
    """Return the verbs."""
    app = typer.Typer(name="iam", help="See whether a hub can sign people in.", no_args_is_help=True)
    app.callback()(_iam)
    app.command()(check)
    return app


def _iam() -> None:
    """See whether a hub can sign people in."""


def check(
    issuer: Annotated[str, typer.Option(help="Address of the IAM: IAMAuthenticator.issuer.")],
    client_id: Annotated[str, typer.Option(help="The hub's id there: IAMAuthenticator.client_id.")],
    secret_file: Annotated[Path, typer.Option(help="File with its secret: IAMAuthenticator.client_secret_file.")],
    callback: Annotated[str, typer.Option(help="Where people come back to: https://HUB/hub/oauth_callback.")] = "",
    scope: Annotated[
        str, typer.Option(help="What the hub asks for: IAMAuthenticator.scope.")
    ] = "openid profile email offline_access",
    as_json: AsJson = False,
) -> None:
    """Say in words what is wrong with the configuration of a hub. Ends with 1 if nobody could sign in."""
    try:
        from jupyter_dodas.iam.check import examine
    except ImportError as error:
        raise MissingSoftware(
            f"{error.name} is not installed", cause="It comes with the hub.", remedy='pip install "jupyter-dodas[hub]"'
        ) from error
    from jupyter_dodas.checks import Verdict

    found = asyncio.run(examine(issuer=issuer, client=client_id, secret_file=secret_file, callback=callback, scope=scope.split()))
    if as_json:
        output.data(found)
    else:
        output.text(showing.checks(found))
    if any(one.verdict is Verdict.BAD for one in found):
        raise typer.Exit(Exit.UNEXPECTED)
