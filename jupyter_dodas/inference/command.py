"""The command ``dodas-tfaas``: one inference server, until it is told to end."""

import asyncio
import contextlib
import gc
import inspect
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
import uvicorn
from pydantic.fields import FieldInfo

from jupyter_dodas.errors import DodasError, InvalidSetting, StateNotWritable, StoreFull
from jupyter_dodas.inference.http.lane import Lane
from jupyter_dodas.inference.server import serving
from jupyter_dodas.inference.settings import Settings, load

__all__ = ["Exit", "main", "run"]

logger = logging.getLogger(__name__)

_GENERATIONS: Final = (50_000, 20, 100)
"""When Python looks for garbage: requests leave none in circles, so it need not look while there are some."""


class Exit(IntEnum):
    """How the command ends; the numbers are those of `dodas`."""

    OK = 0
    UNEXPECTED = 1
    INVALID = 2
    UNREACHABLE = 7
    INTERRUPTED = 130


def main() -> None:
    """Run the command of this process."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run with these arguments, by default those of this process, and return the exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_command())
    try:
        ended = typer.main.get_command(app).main(arguments, prog_name="dodas-tfaas", standalone_mode=False)
    except DodasError as error:
        typer.echo(f"error: {error}", err=True)
        return Exit.UNREACHABLE if isinstance(error, StateNotWritable | StoreFull) else Exit.INVALID
    except typer.TyperException as error:
        typer.echo(f"error: {error.format_message()}\nhint: `dodas-tfaas --help` lists every setting.", err=True)
        return Exit.INVALID
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    return ended if isinstance(ended, int) else Exit.OK


def _command() -> Callable[..., int]:
    """Return the function behind the command, with an option for each setting."""

    def command(config: Path | None = None, **flags: Any) -> int:
        """Serve models: they go in as files and come out as predictions, by TFaaS's protocol and by the Open Inference Protocol.

        Everything can stand in a TOML file, too, by the names of the options without dashes in front and with _ in between.
        """
        settings = load(config, **{name: value for name, value in flags.items() if value not in (None, (), [])})
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(_serve(settings))
        return Exit.OK

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(
            "config", keyword, default=None, annotation=Annotated[Path | None, typer.Option(help="TOML file with settings.")]
        )
    ]
    for name, field in Settings.model_fields.items():
        parameters.append(inspect.Parameter(name, keyword, default=None, annotation=_annotation(field)))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _annotation(field: FieldInfo) -> Any:
    """Return the type of an option for a setting; its value is checked with the others."""
    many = field.annotation == tuple[str, ...]
    default = field.get_default()
    words = str(field.description)
    if default not in {None, "", ()} and not field.is_required():
        words += f" [default: {default}]"
    return Annotated[(list[str] if many else str) | None, typer.Option(help=words, show_default=False)]


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


async def _serve(settings: Settings) -> None:
    """Serve until told to end, then let requests under way end."""
    with _listening(settings) as listener:
        async with serving(settings) as server:
            config = uvicorn.Config(
                server.app,
                http=Lane,
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, round(settings.grace)),
                ssl_certfile=settings.certificate,
                ssl_keyfile=settings.key,
            )
            front = _Front(config, settings, listener)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, front.end)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GENERATIONS)
            try:
                await front.serve(sockets=[listener])
            finally:
                gc.unfreeze()
                if settings.port_file is not None:
                    settings.port_file.unlink(missing_ok=True)


class _Front(uvicorn.Server):
    """Uvicorn, which leaves signals to us, and is given connections that end when nothing comes."""

    def __init__(self, config: uvicorn.Config, settings: Settings, listener: socket.socket) -> None:
        super().__init__(config)
        self._settings, self._listener = settings, listener

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _tell(self._settings, self._listener.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Take no more connections, and end once what is under way has ended; at once if asked twice."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look after slow connections once a second, and say whether to end."""
        if counter % 10 == 0:
            before = time.monotonic() - self._settings.timeout
            for connection in list(self.server_state.connections):
                cast("Lane", connection).hurry(before)
        return await super().on_tick(counter)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise InvalidSetting(
                f"{settings.host}:{settings.port} cannot be listened on",
                cause=str(error),
                remedy="Give another --host or --port, or stop who listens there.",
            ) from None
        yield listener


def _tell(settings: Settings, port: int) -> None:
    """Say that it is ready, and where."""
    if settings.port_file is not None:
        new = settings.port_file.with_name(f"{settings.port_file.name}.new")
        new.write_text(f"{port}\n")
        new.replace(settings.port_file)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "http" if settings.certificate is None else "https"
    typer.echo(f"Ready at {scheme}://{host}:{port}{settings.base}/", err=settings.log == "-")
