"""Use a hub as somebody does who has a browser: sign in, start a server, run a notebook on it, stop it, sign out."""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tornado.websocket import WebSocketClientConnection
from visitor import Visitor

from jupyter_dodas.errors import DodasError

__all__ = ["run"]

CELL_WITHIN = 180.0
STOPS_WITHIN = 60.0
LOOK_EVERY = 0.1

# The numbers of the examples are facts of their data; the mass is a range that every honest fit of them meets, as the purity is of
# networks.
EXACT: Final = {"candidates": 2304, "events": 500, "pairs": 500, "in_window": 443}
ENGINES: Final = ("dask", "spark")
Z_MASS: Final = (90.0, 91.5)
CANDIDATES: Final = {"candidates": 3540, "true": 962}
PURITY: Final = {"before": (0.79, 0.88), "after": (0.92, 1.0)}
SAME: Final = 1e-4
SCAN: Final = {"pairs": 500, "fits": 144}
ERRORS: Final = {"statistical": (0.10, 0.18), "systematic": (0.22, 0.36)}
MOST: Final = 0.98


async def run(url: str, user: str, notebooks: Sequence[Path]) -> None:
    """Go all the way from the sign-in to the sign-out, tell how it goes, and print what the last cell of each notebook prints.

    Parameters
    ----------
    url
        The hub.
    user
        Who signs in.
    notebooks
        What is run, one after the other.

    Raises
    ------
    DodasError
        If a step fails, or the numbers are not those that are in the data.
    """
    began = time.monotonic()
    server = f"{url}user/{user}/"
    async with Visitor(url) as browser:
        with step("Sign in at the development IAM"):
            await sign_in(browser, user)
        with step("Start the server"):
            await start(browser, user)
        with step("Open Lab"):
            await open_lab(browser, server)
        outputs = {}
        for notebook in notebooks:
            async with kernel(browser, server, notebook.name) as connection:
                outputs[notebook.stem] = await run_cells(connection, notebook)
        cookies = browser.cookies
        with step("Stop the server"):
            await stop(browser, user)
        with step("Sign out"):
            await browser.open(f"{url}hub/logout")
        with step("See that the old cookie is dead"):
            await see_that_they_are_dead(Visitor(url, cookies), user)
    say(f"      {'all steps':<38}{time.monotonic() - began:6.1f} s\n\n")
    for output in outputs.values():
        print(output.text, flush=True)
    for name, output in outputs.items():
        JUDGES[name](output.data)


# -- the hub ------------------------------------------------------------------------------------------------------------


async def sign_in(browser: Visitor, user: str) -> None:
    """Go from the hub's page over that of the provider back to the hub."""
    page = await browser.open(browser.url)
    page = await browser.open(page.link("oauth_login"))
    page = await browser.submit(page, page.form("user"), user=user)
    if not page.path.startswith("/hub/"):
        raise DodasError("The sign-in did not lead back to the hub", cause=f"It led to {page.url}")


async def start(browser: Visitor, user: str) -> None:
    """Choose what is chosen at first, and follow the steps of the start until the server is there."""
    page = await browser.open("hub/spawn")
    await browser.submit(page, page.form("profile"))
    said: Mapping[str, Any] = {}
    async for said in browser.events(f"hub/api/users/{user}/server/progress"):
        if said.get("failed"):
            break
    if not said.get("ready"):
        raise DodasError("The server did not start", cause=str(said.get("message", "The hub said nothing.")))


async def open_lab(browser: Visitor, server: str) -> None:
    """Open Lab, and see that our extension answers in it."""
    page = await browser.open(f"{server}lab")
    if page.path != f"/user/{server.rsplit('/', 2)[1]}/lab":
        raise DodasError("Lab does not open", cause=f"It led to {page.url}")
    await browser.get(f"{server}dodas/api/v1/quota")


async def stop(browser: Visitor, user: str) -> None:
    """Stop the server, as the button on the hub's page does, and wait until it has."""
    await browser.delete(f"hub/api/users/{user}/server")
    deadline = time.monotonic() + STOPS_WITHIN
    while (await browser.get(f"hub/api/users/{user}"))["servers"]:
        if time.monotonic() > deadline:
            raise DodasError(f"The server did not stop within {STOPS_WITHIN:.0f} seconds")
        await asyncio.sleep(LOOK_EVERY)


async def see_that_they_are_dead(thief: Visitor, user: str) -> None:
    """See that the cookies of a session that has ended open nothing, whoever has a copy."""
    async with thief:
        for address in ("hub/home", "hub/api/user", f"hub/api/users/{user}", f"user/{user}/lab", f"user/{user}/api/sessions"):
            status = await thief.status(address)
            if status < 300:
                raise DodasError("The cookie of a session that has ended still opens something", cause=f"{address}: {status}")


# -- the notebook ---------------------------------------------------------------------------------------------------------


async def run_cells(connection: WebSocketClientConnection, notebook: Path) -> "Output":
    """Run every cell; returns what the last one gave."""
    output = Output()
    for number, (title, source) in enumerate(cells(notebook), start=1):
        with step(title, f"{number:2}"):
            try:
                async with asyncio.timeout(CELL_WITHIN):
                    output = await execute(connection, source)
            except TimeoutError:
                raise DodasError(f"The cell {title!r} did not end within {CELL_WITHIN:.0f} seconds") from None
        say(output.warnings)
        if output.error:
            raise DodasError(f"The cell {title!r} failed", cause=output.error)
    return output


def judge(result: Mapping[str, Any]) -> None:
    """Compare a result with what is known of the data.

    Raises
    ------
    DodasError
        With what differs.
    """
    wrong = [
        f"{name} is {counts.get(name)} with {engine}, not {number}"
        for engine, counts in ((engine, result.get(engine, {})) for engine in ENGINES)
        for name, number in EXACT.items()
        if counts.get(name) != number
    ]
    if not result.get("same_pairs"):
        wrong.append("the engines chose different pairs")
    mass = result.get("z_mass")
    if not isinstance(mass, float) or not Z_MASS[0] <= mass <= Z_MASS[1]:
        wrong.append(f"z_mass is {mass}, not in {Z_MASS[0]} to {Z_MASS[1]} GeV")
    if wrong:
        raise DodasError("The numbers are not those of the data", cause="; ".join(wrong))


def judge_kaons(result: Mapping[str, Any]) -> None:
    """Compare what the network found with what is known of the data.

    Raises
    ------
    DodasError
        With what differs.
    """
    wrong = [f"{name} is {result.get(name)}, not {number}" for name, number in CANDIDATES.items() if result.get(name) != number]
    purity = result.get("purity", {})
    for when, (low, high) in PURITY.items():
        if not low <= purity.get(when, 0.0) <= high:
            wrong.append(f"the purity {when} the cut is {purity.get(when)}, not in {low} to {high}")
    if not result.get("difference", 1.0) < SAME:
        wrong.append(f"the endpoint and the kernel differ by {result.get('difference')}")
    if wrong:
        raise DodasError("The numbers are not those of the data", cause="; ".join(wrong))


def judge_scan(result: Mapping[str, Any]) -> None:
    """Compare what the jobs of the scan found with what is known of the data.

    Raises
    ------
    DodasError
        With what differs.
    """
    wrong = [f"{name} is {result.get(name)}, not {number}" for name, number in SCAN.items() if result.get(name) != number]
    for name, (low, high) in {"peak": Z_MASS, **ERRORS}.items():
        if not low <= result.get(name, 0.0) <= high:
            wrong.append(f"{name} is {result.get(name)}, not in {low} to {high} GeV")
    if not result.get("converged", 0) >= MOST * SCAN["fits"]:
        wrong.append(f"{result.get('converged')} fits converged")
    if "peak" not in result.get("counts", ()):
        wrong.append("the shape of the peak does not count")
    if wrong:
        raise DodasError("The numbers are not those of the data", cause="; ".join(wrong))


JUDGES: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {"z-boson": judge, "k0s": judge_kaons, "batch": judge_scan}


def cells(notebook: Path) -> Iterator[tuple[str, str]]:
    """Yield the code cells, each with the heading above it."""
    title = notebook.name
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield title, source
        elif source.startswith("#"):
            title = source.partition("\n")[0].lstrip("# ")


@contextlib.asynccontextmanager
async def kernel(browser: Visitor, server: str, path: str) -> AsyncIterator[WebSocketClientConnection]:
    """Start a session, as opening a notebook does, and connect to its kernel; end it afterwards."""
    wanted = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    with step("Start a kernel"):
        session = await browser.post(f"{server}api/sessions", wanted)
    try:
        channels = f"{server}api/kernels/{session['kernel']['id']}/channels?session_id={uuid.uuid4().hex}"
        async with browser.socket(channels) as connection:
            yield connection
    finally:
        with contextlib.suppress(DodasError):  # the server may be gone; its kernels end with it
            await browser.delete(f"{server}api/sessions/{session['id']}")


@dataclass
class Output:
    """What a cell gave."""

    text: str = ""
    warnings: str = ""
    error: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    """The last thing of type application/json that it displayed."""


async def execute(connection: WebSocketClientConnection, source: str) -> Output:
    """Run one cell and gather its output until the kernel is idle again."""
    request = {
        "channel": "shell",
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": "",
            "date": datetime.now(UTC).isoformat(),
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": source, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True},
    }
    await connection.write_message(json.dumps(request))
    output = Output()
    while True:
        frame = await connection.read_message()
        if frame is None:
            raise DodasError("The server closed the connection to the kernel")
        message = json.loads(frame)
        content = message["content"]
        # Nobody asked for this one: the kernel died, and the server says so.
        if content.get("execution_state") in {"restarting", "autorestarting", "dead"}:
            raise DodasError("The kernel died")
        if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:  # type: ignore[index]
            continue
        match message["msg_type"]:
            case "stream" if content["name"] == "stdout":
                output.text += content["text"]
            case "stream":
                output.warnings += content["text"]
            case "error":
                output.error = f"{content['ename']}: {content['evalue']}"
            case "display_data" | "execute_result":
                output.data = content["data"].get("application/json", output.data)
            case "status" if content["execution_state"] == "idle":
                return output


# -- telling --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def step(title: str, number: str = "") -> Iterator[None]:
    """Tell what is being done, and how long it took."""
    say(f"  {number:>2}  {title:<38}")
    began = time.monotonic()
    try:
        yield
    finally:
        say(f"{time.monotonic() - began:6.1f} s\n")


def say(text: str) -> None:
    """Tell people how it goes."""
    print(text, end="", file=sys.stderr, flush=True)
