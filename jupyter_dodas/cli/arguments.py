"""What several commands take: a name, a backend, `--json`; with the words that a shell can complete."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from jupyter_dodas import registry, settings
from jupyter_dodas.backends import places
from jupyter_dodas.errors import DodasError, InvalidOption
from jupyter_dodas.spec import Record

__all__ = ["AsJson", "Backend", "Endpoint", "Group", "Instance", "Name", "Names", "Timeout", "number", "records", "whole"]


async def records(backend: str | None = None) -> Sequence[Record]:
    """Return the record of every cluster, also of those that cannot be read; those of hidden kinds are left out."""
    found = await places.backend(settings.load(), backend).store.list()
    return [record for record in found if not registry.is_hidden(record.spec.kind)]


def whole(what: str, given: str) -> int:
    """Return a whole number.

    Raises
    ------
    InvalidOption
        In the same words as for an option of a launch.
    """
    try:
        return int(given)
    except ValueError:
        raise InvalidOption(f"{what}={given!r} will not do: a whole number is needed", remedy="Give a whole number.") from None


def number(what: str, given: str) -> float:
    """Return a number.

    Raises
    ------
    InvalidOption
        If it is none.
    """
    try:
        return float(given)
    except ValueError:
        raise InvalidOption(f"{what}={given!r} will not do: a number is needed", remedy="Give a number.") from None


def _names(incomplete: str) -> list[tuple[str, str]]:
    return [(r.name, f"{r.spec.kind}, {r.status.phase}") for r in _records() if r.name.startswith(incomplete)]


def _endpoints(incomplete: str) -> list[str]:
    return [r.name for r in _records() if r.spec.kind == "tfaas" and r.name.startswith(incomplete)]


def _instances(context: typer.Context, incomplete: str) -> list[str]:
    return [i for r in _meant(context) for i in r.status.instances if i.startswith(incomplete)]


def _groups(context: typer.Context, incomplete: str) -> list[str]:
    return sorted({g for r in _meant(context) for g in r.status.targets if g.startswith(incomplete)})


def _meant(context: typer.Context) -> Sequence[Record]:
    """Return the cluster that the command names; all of them while a half-typed command names none."""
    name = context.params.get("name")
    return [record for record in _records() if name in (None, record.name)]


def _records() -> Sequence[Record]:
    try:
        return asyncio.run(records())
    except (DodasError, OSError):
        return []  # whoever presses Tab wants a word, not an error


AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Backend: TypeAlias = Annotated[
    str | None, typer.Option("--backend", metavar="NAME", help="Where; by default what the settings say.")
]
Endpoint: TypeAlias = Annotated[
    str, typer.Argument(metavar="ENDPOINT", help="Name of the TFaaS endpoint.", autocompletion=_endpoints)
]
Group: TypeAlias = Annotated[
    str, typer.Option("--group", metavar="GROUP", help="Which workers, if there are several groups.", autocompletion=_groups)
]
Instance: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="INSTANCE", help="One instance, or all of a role or group.", autocompletion=_instances)
]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Name of the cluster.", autocompletion=_names)]
Names: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Names of the clusters.", autocompletion=_names)]
Timeout: TypeAlias = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait.")]
