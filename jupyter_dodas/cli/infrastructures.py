"""The verbs about infrastructures: `dodas infrastructure create` and the others. The service of the hub does all of it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import typer

from jupyter_dodas import settings
from jupyter_dodas.cli import output
from jupyter_dodas.cli.arguments import AsJson, Timeout, number, whole
from jupyter_dodas.cli.machines import details, plan_lines, table, told
from jupyter_dodas.errors import InfrastructureNotFound, InvalidOption, MissingSoftware, ProvisionFailed, TimedOut
from jupyter_dodas.spec import Phase

__all__ = ["asked", "infrastructures", "verbs"]

T = TypeVar("T")

_KEY: Final = "JUPYTERHUB_API_TOKEN"

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Name of the infrastructure.")]
Inputs: TypeAlias = Annotated[
    list[str] | None, typer.Option("--set", metavar="INPUT=VALUE", help="An input of the template; several times.")
]


def verbs() -> typer.Typer:
    """Return the verbs."""
    from jupyter_dodas.cli import clouds

    app = typer.Typer(name="infrastructure", help="Make clusters at clouds, and look after them.", no_args_is_help=True)
    app.callback()(_infrastructure)
    app.command("list")(list_)
    for verb in (show, create, scale, delete, log, kubeconfig):
        app.command()(verb)
    app.add_typer(clouds.verbs())
    return app


def _infrastructure() -> None:
    """Make clusters at clouds, and look after them."""


def infrastructures() -> Any:
    """Return what asks the service of the hub.

    Raises
    ------
    InvalidOption
        If it is not known where that is, or as whom to ask.
    """
    try:
        from jupyter_dodas.provision.client import Infrastructures
    except ImportError as error:
        raise MissingSoftware(
            f"{error.name} is not installed", cause="It comes with provisioning.", remedy='pip install "jupyter-dodas[provision]"'
        ) from error
    address, key = settings.load().infrastructures, os.environ.get(_KEY, "")
    if not address or not key:
        raise InvalidOption(
            "No hub is known here that makes infrastructures",
            cause="Its address (DODAS_INFRASTRUCTURES) is not set." if not address else f"There is no token ({_KEY}).",
            remedy="In a terminal of a notebook of the hub both are; elsewhere set them: its page Token makes a token.",
        )

    async def token() -> str:
        return key

    return Infrastructures(address, token)


def asked(what: Callable[[Any], Awaitable[T]]) -> T:
    """Ask the service for something."""

    async def ask() -> T:
        async with infrastructures() as service:
            return await what(service)

    return asyncio.run(ask())


def list_(as_json: AsJson = False) -> None:
    """List your infrastructures, whoever asked for them: a notebook's start, a screen, this command."""
    found = asked(lambda it: it.list())
    if as_json:
        output.data(found)
    else:
        output.text(table(found))


def show(name: Name, as_json: AsJson = False) -> None:
    """Show all there is about one."""
    found = asked(lambda it: it.get(name))
    if as_json:
        output.data(found)
    else:
        output.text(details(found))


def create(
    name: Name,
    template: Annotated[str, typer.Option("--template", metavar="NAME", help="What of; by default what the hub says.")] = "",
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="A template of your own instead.")] = None,
    inputs: Inputs = None,
    provisioner: Annotated[str, typer.Option("--provisioner", metavar="NAME", help="By whom; by default the first.")] = "",
    cloud: Annotated[str, typer.Option("--cloud", metavar="NAME", help="With which credentials; by default the first.")] = "",
    linger: Annotated[
        str, typer.Option("--linger", metavar="SECONDS|never", help="How long it stays when nobody uses it.")
    ] = "never",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be made.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return at once.")] = False,
    timeout: Timeout = 3600,
    as_json: AsJson = False,
) -> None:
    """Make one, and wait until it is ready. Ctrl-C stops the waiting only."""
    wanted = {
        "name": name,
        "template": template,
        "text": _read(file) if file is not None else "",
        "inputs": dict(_input(one) for one in inputs or ()),
        "provisioner": provisioner,
        "cloud": cloud,
        "linger": None if linger == "never" else number("linger", linger),
    }
    if plan:
        found = asked(lambda it: it.plan(_wanted(wanted)))
        output.data(found) if as_json else output.text(plan_lines(found))
        return

    async def make(service: Any) -> Any:
        made = await service.create(_wanted(wanted))
        return made if no_wait else await _ready(service, name, timeout)

    found = asked(make)
    _tell(found, as_json=as_json)
    if found.phase is Phase.FAILED and found.problem is not None:
        raise ProvisionFailed(found.problem.message, cause=found.problem.cause, remedy=found.problem.remedy)


def scale(
    name: Name,
    workers: Annotated[str, typer.Argument(metavar="N", help="How many workers it is to have.")],
    as_json: AsJson = False,
) -> None:
    """Give one a number of workers."""
    from jupyter_dodas.provision.views import Change

    count = whole("workers", workers)
    if count < 0:
        raise InvalidOption(f"workers={count} will not do", option="workers", remedy="Give a number from 0.")
    _tell(asked(lambda it: it.change(name, Change(workers=count))), as_json=as_json)


def delete(
    name: Name,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return at once.")] = False,
    timeout: Timeout = 3600,
    as_json: AsJson = False,
) -> None:
    """Delete one, and wait until its provisioner has nothing left of it."""

    async def end(service: Any) -> Any:
        found = await service.delete(name)
        try:
            async with asyncio.timeout(None if no_wait else timeout):
                while not no_wait and found.wanted == "absent":
                    found = await service.get(name, newer_than=found.generation)
        except InfrastructureNotFound:
            return found.model_copy(update={"phase": Phase.STOPPED})
        except TimeoutError:
            raise _late(name, timeout, "It is deleted all the same, later.") from None
        return found

    _tell(asked(end), as_json=as_json)


def log(name: Name, as_json: AsJson = False) -> None:
    """Print what was said while it was made."""
    found = asked(lambda it: it.log(name))
    output.data({"log": found}) if as_json else output.text(found.rstrip("\n"))


def kubeconfig(name: Name, as_json: AsJson = False) -> None:
    """Print the secret with which its Kubernetes cluster is reached. Keep it to yourself."""
    found = asked(lambda it: it.kubeconfig(name))
    output.data({"kubeconfig": found}) if as_json else output.text(found.rstrip("\n"))


async def _ready(service: Any, name: str, timeout: float) -> Any:
    said = ""

    def tell(found: Any) -> None:
        nonlocal said
        if (line := told(found)) != said:
            said = line
            output.say(line)

    try:
        async with asyncio.timeout(timeout):
            return await service.ready(name, tell)
    except TimeoutError:
        raise _late(name, timeout, "It goes on by itself.") from None


def _late(name: str, timeout: float, cause: str) -> TimedOut:
    return TimedOut(
        f"{name!r} took longer than {timeout:g} s", cause=cause, remedy=f"`dodas infrastructure show {name}` says how far it is."
    )


def _tell(found: Any, *, as_json: bool) -> None:
    if as_json:
        output.data(found)
    else:
        output.text(told(found))


def _wanted(fields: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError

    from jupyter_dodas.provision.views import Wanted

    try:
        return Wanted.model_validate(dict(fields))
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise InvalidOption(f"{where} will not do: {detail['msg']}", option=where) from None


def _input(given: str) -> tuple[str, Any]:
    """Read ``workers=2``: a number, true or false where it reads as one."""
    import json

    name, separator, word = given.partition("=")
    if not separator or not name:
        raise InvalidOption(f"--set {given!r} cannot be read", remedy="Write it as: --set INPUT=VALUE")
    try:
        value = json.loads(word)
    except ValueError:
        return name, word
    return name, value if isinstance(value, int | float | bool | list | dict) else word


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"{file} cannot be read", option="file", cause=str(error)) from None
