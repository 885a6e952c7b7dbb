"""The verbs for clusters that are there: list, show, scale, adapt, keep, restart, stop."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import typer

from jupyter_dodas import aio
from jupyter_dodas.cli import output, showing
from jupyter_dodas.cli.arguments import AsJson, Backend, Group, Name, Names, Timeout, number, records, whole
from jupyter_dodas.cli.exits import exit_code
from jupyter_dodas.cli.launching import run_shown
from jupyter_dodas.cli.output import as_data
from jupyter_dodas.display.progress import Follower
from jupyter_dodas.display.words import count
from jupyter_dodas.errors import DamagedRecord, DodasError, InvalidOption, NewerRecord
from jupyter_dodas.spec import Receipt, Record

__all__ = ["adapt", "keep", "list_", "restart", "scale", "show", "stop"]


def list_(backend: Backend = None, as_json: AsJson = False) -> None:
    """List your clusters, whoever launched them: Python, a notebook, this command."""
    found = asyncio.run(records(backend))
    if as_json:
        output.data(found)
    else:
        output.text(showing.table(found))


def show(name: Name, backend: Backend = None, as_json: AsJson = False) -> None:
    """Show all there is about a cluster."""

    async def look() -> Record:
        return await (await aio.connect(name, backend=backend)).record()

    record = asyncio.run(look())
    if as_json:
        output.data(record)
    else:
        output.text(showing.details(record))


def scale(
    name: Name,
    workers: Annotated[str, typer.Argument(metavar="N", help="How many workers it is to have.")],
    group: Group = "worker",
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Give a cluster a number of workers. Those that go finish what they do first."""
    number = whole("workers", workers)
    workers_of = count(number, "worker") + _of(group)
    _change(name, backend, lambda it: it.scale(number, group), lambda _: f"{name} is to have {workers_of}.", as_json=as_json)


def adapt(
    name: Name,
    minimum: Annotated[str, typer.Argument(metavar="MIN", help="Never fewer workers than this.")],
    maximum: Annotated[str, typer.Argument(metavar="MAX", help="Never more workers than this.")],
    group: Group = "worker",
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Let the number of workers follow the work, between two bounds."""
    low, high = whole("minimum", minimum), whole("maximum", maximum)
    said = f"{name} is to have {low} to {high} workers{_of(group)}, as the work needs."
    _change(name, backend, lambda it: it.adapt(low, high, group), lambda _: said, as_json=as_json)


def keep(
    name: Name,
    hours: Annotated[str, typer.Option("--hours", metavar="NUMBER", help="For how long, from now.")] = "1",
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Do not stop a cluster for idleness for some hours."""
    span = number("hours", hours)
    _change(name, backend, lambda it: it.keep(hours=span), showing.kept, as_json=as_json)


def _of(group: str) -> str:
    return "" if group == "worker" else f" in the group {group}"


def _change(
    name: str,
    backend: str | None,
    change: Callable[[aio.Cluster], Coroutine[Any, Any, None]],
    said: Callable[[Record], str],
    *,
    as_json: bool,
) -> None:
    """Ask for a change, and say what is going to be."""

    async def make() -> Record:
        cluster = await aio.connect(name, backend=backend)
        await change(cluster)
        return await cluster.record()

    record = asyncio.run(make())
    if as_json:
        output.data(record)
    else:
        output.text(said(record))


def restart(name: Name, timeout: Timeout = 300, backend: Backend = None, as_json: AsJson = False) -> None:
    """End all that runs of a cluster and start it again, also after it has failed."""

    async def again(follower: Follower | None) -> Record:
        cluster = await aio.connect(name, backend=backend)
        await cluster.restart(timeout=timeout, follower=follower)
        return await cluster.record()

    record = run_shown(again, interrupted="it goes on by itself")
    if as_json:
        output.data(record)
    elif not output.both_are_seen():
        output.text(showing.cluster_line(record))


def stop(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Every cluster.")] = False,
    timeout: Timeout = 60,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Stop clusters and forget them, and print what they took: core-hours, CPU and peak memory."""
    if bool(names) == every:
        raise InvalidOption("Say which clusters to stop", remedy="Give their names, or --all for every one.")
    ended = asyncio.run(_stop(names or [], backend, timeout))
    errors = [error for _, _, error in ended if error is not None]
    if as_json:
        output.data([{"name": name, "receipt": receipt, "error": as_data(error)} for name, receipt, error in ended])
    else:
        for name, receipt, error in ended:
            if error is None:
                output.text(showing.receipt(name, receipt))
        if not ended:
            output.say("Nothing runs.")
        for error in errors:
            output.problem(error)
    if errors:
        raise typer.Exit(exit_code(errors[0]))


async def _stop(names: Sequence[str], backend: str | None, timeout: float) -> list[tuple[str, Receipt | None, DodasError | None]]:
    """Stop some clusters, or all of them if none is named, at the same time."""

    async def one(name: str) -> tuple[str, Receipt | None, DodasError | None]:
        try:
            return name, await (await _any_cluster(name, backend)).stop(timeout=timeout), None
        except DodasError as error:
            return name, None, error

    wanted = dict.fromkeys(names) or [record.name for record in await records(backend)]
    return await asyncio.gather(*map(one, wanted))


async def _any_cluster(name: str, backend: str | None) -> aio.Cluster:
    """Return a cluster, even if its record cannot be read: stopping is how one gets rid of that."""
    try:
        return await aio.connect(name, backend=backend)
    except (DamagedRecord, NewerRecord):
        return next(cluster for cluster in await aio.list(backend=backend) if cluster.name == name)
