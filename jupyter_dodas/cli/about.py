"""The verbs that are not about a single cluster: kinds, quota, doctor."""

import asyncio

import typer

from jupyter_dodas import aio, registry
from jupyter_dodas.cli import output, showing
from jupyter_dodas.cli.arguments import AsJson, Backend
from jupyter_dodas.cli.exits import Exit
from jupyter_dodas.display.quota import table

__all__ = ["doctor", "kinds", "quota"]


def kinds(as_json: AsJson = False) -> None:
    """List the kinds of cluster that can be launched. With --json, with the JSON Schema of their options."""
    found = aio.kinds()
    if as_json:
        services = {kind: registry.service(kind) for kind in found}
        output.data(
            [
                {"kind": kind, "title": it.title, "summary": it.summary, "options": it.Options.model_json_schema()}
                for kind, it in services.items()
            ]
        )
    else:
        output.text(showing.kinds(found))


def quota(backend: Backend = None, as_json: AsJson = False) -> None:
    """Show what you may use, what you use, and whether anybody enforces it."""
    found = asyncio.run(aio.quota(backend=backend))
    if as_json:
        output.data(found)
    else:
        output.text(table(found))


def doctor(as_json: AsJson = False) -> None:
    """Say what is missing on this machine, and how to get it. Ends with 1 if something will not work."""
    from jupyter_dodas.checks import Verdict
    from jupyter_dodas.doctor import examine

    found = asyncio.run(examine())
    if as_json:
        output.data(found)
    else:
        output.text(showing.checks(found))
    if any(check.verdict is Verdict.BAD for check in found):
        raise typer.Exit(Exit.UNEXPECTED)
