"""`dodas launch KIND`: a command for each kind that is installed, made from the kind's own options when it is named."""

import asyncio
import inspect
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar

import typer
from typer.core import TyperGroup

from jupyter_dodas import aio, registry
from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import AsJson, Backend, Timeout
from jupyter_dodas.cli.flags import Flag, Shape, assemble, flags
from jupyter_dodas.cli.showing import cluster_line
from jupyter_dodas.display.progress import Follower, Lines, Screen, progress
from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.spec import Record

__all__ = ["Kinds", "launch", "run_shown"]

T = TypeVar("T")

_OWN_PANEL: Final = "What to launch"


class Kinds(TyperGroup):
    """The kinds, each a command."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the kinds that can be launched."""
        return list(aio.kinds())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command for a kind.

        Raises
        ------
        UnknownKind
            With the kind that may have been meant.
        """
        if ctx.resilient_parsing and cmd_name not in registry.kinds():
            return None  # a shell asks for completions of something half typed
        return _command(cmd_name)


def launch(ctx: typer.Context) -> None:
    """Launch a cluster: say what, never how."""
    if ctx.invoked_subcommand is None:
        kinds = list(aio.kinds())
        raise InvalidOption(
            "Say which kind of cluster to launch",
            cause=f"Kinds: {', '.join(kinds)}." if kinds else "No kind is installed.",
            remedy=f"dodas launch {kinds[0]} --workers 2" if kinds else 'pip install "jupyter-dodas[dask]"',
        )


def _command(kind: str) -> Any:
    service = registry.service(kind)
    made = flags(service.Options.model_json_schema())

    def call(*, name: str | None, wait: bool, timeout: float, backend: str | None, as_json: bool, **given: Any) -> None:
        options = assemble(made, {flag.name: given[_key(flag)] for flag in made})
        follow = _launch(kind, name=name, wait=wait, timeout=timeout, backend=backend, options=options)
        record = run_shown(follow)
        if as_json:
            output.data(record)
        elif not (wait and output.both_are_seen()):
            output.text(cluster_line(record))

    common = inspect.signature(_common).parameters.values()
    parameters = [*common, *map(_parameter, made)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False)
    app.command(kind, help=service.summary)(call)
    return typer.main.get_command(app)


def _common(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; by default the kind and a number.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return only when it is ready.")] = True,
    timeout: Timeout = 300,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Hold the options that a launch has whatever the kind."""


def _parameter(flag: Flag) -> inspect.Parameter:
    said = f"{flag.help} Default: {flag.default}." if flag.default else flag.help
    settings: dict[str, Any] = {"help": said.replace("[", r"\["), "rich_help_panel": _OWN_PANEL}  # brackets are markup to rich
    kind: Any = str | None
    names = flag.name
    match flag.shape:
        case Shape.SWITCH:
            kind, names = bool | None, f"{flag.name}/--no-{flag.name.removeprefix('--')}"
        case Shape.LIST | Shape.MAPPING:
            kind = list[str] | None
    if flag.shape is not Shape.SWITCH:
        settings["metavar"] = flag.metavar
    if flag.choices:
        settings["autocompletion"] = lambda incomplete: [c for c in flag.choices if c.startswith(incomplete)]
    return inspect.Parameter(
        _key(flag),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, typer.Option(names, **settings)],
    )


def _key(flag: Flag) -> str:
    """Return the name of a flag's parameter, which no common one has."""
    return f"of_{flag.name.removeprefix('--').replace('-', '_')}"


def _launch(kind: str, *, options: dict[str, Any], **common: Any) -> Callable[[Follower | None], Coroutine[Any, Any, Record]]:
    async def follow(follower: Follower | None) -> Record:
        cluster = await aio.launch(kind, warm=False, follower=follower, **common, **options)
        return await cluster.record()

    return follow


def run_shown(work: Callable[[Follower | None], Coroutine[Any, Any, T]], *, interrupted: str = "it was removed") -> T:
    """Run something that waits for a cluster, and show how it goes.

    Parameters
    ----------
    interrupted
        What becomes of the cluster on Ctrl-C.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after `work` has cleaned up.
    """

    async def shown() -> T:
        with progress(None, otherwise=Lines, interrupted=interrupted) as screen, _interruptible(screen):
            return await work(screen)

    try:
        return asyncio.run(shown())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def _interruptible(screen: Follower | None) -> Generator[None, None, None]:
    """Let Ctrl-C cancel the work, and say so at once; a second one does not wait for the cleaning up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        if isinstance(screen, Screen):
            screen.note("Interrupted; cleaning up ...")
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
