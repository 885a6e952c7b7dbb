"""Run the command: build it, call it, and turn every end into a sentence and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import jupyter_dodas
from jupyter_dodas.cli import about, iam, infrastructures, launching, logs, models, output, shell, templates, verbs
from jupyter_dodas.cli.exits import Exit, exit_code
from jupyter_dodas.errors import DodasError, InvalidOption, UnknownOption, did_you_mean

__all__ = ["build", "run"]

_TRACEBACK = "--traceback"


class Verbs(TyperGroup):
    """The commands, with our words for one that is not there."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands: the one that comes first in life first."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: name != "launch")

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command.

        Raises
        ------
        InvalidOption
            With the command that may have been meant.
        """
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing:
            names = self.list_commands(ctx)
            raise InvalidOption(
                f"There is no command {cmd_name!r}", cause=did_you_mean(cmd_name, names), remedy=f"Commands: {', '.join(names)}."
            )
        return found


def build() -> typer.Typer:
    """Return the command with all its verbs."""
    app = typer.Typer(cls=Verbs, name="dodas", invoke_without_command=True, pretty_exceptions_enable=False)
    app.callback()(_dodas)
    kinds = typer.Typer(cls=launching.Kinds, invoke_without_command=True, subcommand_metavar="KIND [OPTIONS]")
    kinds.callback()(launching.launch)
    app.add_typer(kinds, name="launch")
    app.command("list")(verbs.list_)
    rest: tuple[Callable[..., None], ...] = (
        *(verbs.show, verbs.scale, verbs.adapt, verbs.keep, logs.logs, shell.shell, verbs.restart, verbs.stop),
        *(models.deploy, models.predict, models.models, models.publish, models.rollback, models.delete),
        *(about.kinds, about.quota, about.doctor),
    )
    for verb in rest:
        app.command()(verb)
    app.add_typer(iam.verbs())
    app.add_typer(templates.verbs())
    app.add_typer(infrastructures.verbs())
    return app


def _dodas(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    _: Annotated[bool, typer.Option(_TRACEBACK, help="Show where an unexpected error happened.")] = False,
) -> None:
    """Launch clusters on demand, and look after them."""
    if version:
        output.text(jupyter_dodas.__version__)
    elif ctx.invoked_subcommand is None:
        output.text(ctx.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run with these arguments, by default those of this process, and return the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without these symbols is no reason to fail
    try:
        ended = typer.main.get_command(build()).main(given, prog_name="dodas", standalone_mode=False)
        sys.stdout.flush()
    except DodasError as error:
        return _tell(error, given)
    except typer.TyperException as error:
        return _tell(_misused(error), given)
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough, as `head` has; the interpreter is not to stumble over it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.UNEXPECTED
    except Exception as error:  # noqa: BLE001 - people get a sentence, whatever happened
        if _TRACEBACK in given:
            traceback.print_exc()
        return _tell(_unexpected(error), given)
    return ended if isinstance(ended, int) else Exit.OK


def _tell(error: DodasError, given: Sequence[str]) -> int:
    if "--json" in given:
        output.data({"error": output.as_data(error)})
    else:
        output.problem(error)
    return exit_code(error)


def _misused(error: typer.TyperException) -> DodasError:
    """Put in our words what the parser says."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "dodas"
    if (option := getattr(error, "option_name", None)) is not None and context is not None and "No such" in error.message:
        known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        return UnknownOption(option, f"`{command}`", known)
    return InvalidOption(error.format_message().rstrip("."), remedy=f"`{command} --help` shows how it is used.")


def _unexpected(error: Exception) -> DodasError:
    return DodasError(
        f"Something unexpected happened: {type(error).__name__}: {error}",
        cause="This is a defect of jupyter-dodas.",
        remedy=f"Please report it, with what `dodas {_TRACEBACK} ...` prints.",
    )
