"""`dodas logs`: what the instances of a cluster wrote, and what they go on to write."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from jupyter_dodas import aio
from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import AsJson, Backend, Instance, Name
from jupyter_dodas.display import Logs
from jupyter_dodas.errors import InvalidOption, did_you_mean

__all__ = ["logs"]


def logs(
    name: Name,
    instance: Instance = None,
    lines: Annotated[int, typer.Option("--lines", min=1, help="At most so many of each instance.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the cluster has stopped, or Ctrl-C.")] = False,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Print what the instances of a cluster wrote last, also of a cluster that has failed.

    With --json it is an object of texts by instance; with --follow as well, an object for each line.
    """

    async def look() -> None:
        cluster = await aio.connect(name, backend=backend)
        found = await cluster.logs(instance, lines=lines)
        if instance is not None and not found:
            known = await cluster.logs(lines=1)
            raise InvalidOption(
                f"{name!r} has no instance {instance!r}",
                cause=did_you_mean(instance, known),
                remedy=f"Instances: {', '.join(known) or 'none has written anything'}.",
            )
        if follow:
            await _follow(cluster, instance, lines, as_json=as_json)
        elif as_json:
            output.data(found)
        elif instance is not None and instance in found:
            output.text(found[instance].rstrip("\n"))
        else:
            output.text(repr(Logs(found)))

    asyncio.run(look())


async def _follow(cluster: aio.Cluster, instance: str | None, lines: int, *, as_json: bool) -> None:
    async with aclosing(cluster.tail(instance, lines=lines)) as said:
        async for new in said:
            for name, line in new:
                if as_json:
                    output.line({"instance": name, "line": line})
                else:
                    output.text(line if name == instance else f"{name}  {line}")
