"""`dodas shell`: a shell in which the own tools of a cluster's kind work on that cluster."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from jupyter_dodas import aio
from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import Backend, Name
from jupyter_dodas.errors import InvalidOption

__all__ = ["shell"]

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP)
_OF_THE_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
"""What a terminal sends to everybody in the foreground: whoever runs in the shell hears of it without us."""


def shell(
    name: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run; by default your shell.", show_default=False)
    ] = None,
    backend: Backend = None,
) -> None:
    """Open a shell in which the own tools of a cluster's kind work on it, or run a command so. Ends as that does."""

    async def look() -> tuple[aio.Cluster, Mapping[str, str]]:
        cluster = await aio.connect(name, backend=backend)
        await cluster.record()
        return cluster, await cluster.surroundings()

    # It is held until the end: ways to where it runs may go with it.
    cluster, variables = asyncio.run(look())
    if not command:
        output.say(f"In this shell the tools of {cluster.kind} work on {name}; exit leaves it.")
    code = _run(command or [os.environ.get("SHELL") or "/bin/sh"], variables)
    del cluster
    raise typer.Exit(code)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a program in the place of this one, and return the exit code that a shell would."""
    with _outliving() as heard:
        try:
            process = subprocess.Popen(command, env={**os.environ, **variables})
        except OSError as error:
            raise InvalidOption(
                f"{command[0]!r} cannot be run",
                cause=error.strerror or "",
                remedy="Name a program that is on your PATH, or its file.",
            ) from error
        heard(process.send_signal)
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _outliving() -> Iterator[Callable[[Callable[[int], None]], None]]:
    """Outlive a program that runs in our place, whatever this process is told. Whoever is given to what is yielded hears of it."""
    told: list[int] = []
    hear = told.append

    def pass_on(number: int, _: Any) -> None:
        hear(number)

    def leave(number: int, _: Any) -> None:
        """Do nothing."""

    def heard(listener: Callable[[int], None]) -> None:
        nonlocal hear
        hear = listener
        for number in told:
            listener(number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    before |= {number: signal.signal(number, leave) for number in _OF_THE_TERMINAL}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
