"""Run a notebook as a client of a Jupyter server, over REST and the kernel's websocket, and judge its result."""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyter_dodas.errors import DodasError

__all__ = ["run"]

CELL_WITHIN = 180.0

# The numbers of the example are facts of its data, the mass a range that every honest fit of them meets.
EXACT: Final = {"candidates": 2304, "events": 500, "pairs": 500, "in_window": 443}
ENGINES: Final = ("dask", "spark")
Z_MASS: Final = (90.0, 91.5)


async def run(url: str, token: str, notebook: Path) -> None:
    """Run `notebook` on the server at `url`, tell how it goes, and print what its last cell prints.

    Raises
    ------
    DodasError
        If a cell fails, or the numbers are not those that are in the data.
    """
    began = time.monotonic()
    output = Output()
    async with kernel(url, token, notebook.name) as connection:
        for number, (title, source) in enumerate(cells(notebook), start=1):
            print(f"  {number:2}  {title:<38}", end="", file=sys.stderr, flush=True)
            cell_began = time.monotonic()
            try:
                async with asyncio.timeout(CELL_WITHIN):
                    output = await execute(connection, source)
            except TimeoutError:
                raise DodasError(f"The cell {title!r} did not end within {CELL_WITHIN:.0f} seconds") from None
            finally:
                print(f"{time.monotonic() - cell_began:6.1f} s", file=sys.stderr, flush=True)
            print(output.warnings, end="", file=sys.stderr, flush=True)
            if output.error:
                raise DodasError(f"The cell {title!r} failed", cause=output.error)
    print(f"      {'all cells':<38}{time.monotonic() - began:6.1f} s\n", file=sys.stderr, flush=True)
    print(output.text, flush=True)
    judge(output.data)


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
async def kernel(url: str, token: str, path: str) -> AsyncIterator[WebSocketClientConnection]:
    """Start a session, as opening a notebook does, and connect to its kernel; end it afterwards."""
    headers = {"Authorization": f"token {token}"}
    client = AsyncHTTPClient()
    wanted = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
    try:
        reply = await client.fetch(
            f"{url}api/sessions", method="POST", headers=headers, body=json.dumps(wanted), request_timeout=60
        )
    except (HTTPClientError, OSError) as error:
        raise DodasError("The server would not start a kernel", cause=str(error)) from error
    session = json.loads(reply.body)
    channels = f"{url.replace('http', 'ws', 1)}api/kernels/{session['kernel']['id']}/channels?session_id={uuid.uuid4().hex}"
    try:
        connection = await websocket_connect(HTTPRequest(channels, headers=headers), max_message_size=64 * 2**20)
        try:
            yield connection
        finally:
            connection.close()
    finally:
        with contextlib.suppress(HTTPClientError, OSError):  # the server may be gone; its kernels end with it
            await client.fetch(f"{url}api/sessions/{session['id']}", method="DELETE", headers=headers, request_timeout=60)


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
