"""The agent of one user: it works at the place of its user, with that user's rights alone, and does what the hub asks for."""

import asyncio
import json
import os
import socket
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jupyter_dodas.backends.base import Backend
from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.backends.local.layout import explain
from jupyter_dodas.backends.local.nursery import Nursery
from jupyter_dodas.hub.accounts.messages import LONGEST, Reply, Request
from jupyter_dodas.hub.notebooks import Notebook
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Record

__all__ = ["serve"]


def serve(connection: socket.socket) -> None:
    """Do what is asked for, until the hub hangs up. Never returns."""
    try:
        nursery = Nursery.forked()
        asyncio.run(_Agent(nursery).run(connection))
    except BaseException as error:  # noqa: BLE001 - the hub tells of it
        connection.setblocking(True)
        connection.sendall(Reply.refusal(0, Exception(repr(error))).line())
    finally:
        # What was being started stays as it is, as after a kill: the next one finds it.
        os._exit(1)


class _Agent:
    def __init__(self, nursery: Nursery) -> None:
        self._place = lru_cache(maxsize=4)(partial(_place, nursery))  # the same one as long as its settings are the same
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self, connection: socket.socket) -> None:
        reader, self._writer = await asyncio.open_connection(sock=connection, limit=LONGEST)
        while line := await reader.readline():
            request = Request.model_validate_json(line)
            if request.do == "cancel":
                if (task := self._tasks.get(request.number)) is not None:
                    task.cancel()
                continue
            task = self._tasks[request.number] = asyncio.create_task(self._answer(request))
            task.add_done_callback(partial(self._forget, request.number))
        os._exit(0)  # see `serve`; a task that is cancelled would end what it has begun

    def _forget(self, number: int, _: object) -> None:
        del self._tasks[number]

    async def _answer(self, request: Request) -> None:
        try:
            reply = Reply(number=request.number, over=True, **await self._do(request))
        except asyncio.CancelledError:
            reply = Reply(number=request.number, over=True)
        except Exception as error:  # noqa: BLE001 - the hub tells of it
            reply = Reply.refusal(request.number, error)
        self._say(reply)

    def _say(self, reply: Reply) -> None:
        if len(line := reply.line()) <= LONGEST:
            self._writer.write(line)
            return
        self._writer.write(Reply.refusal(reply.number, ValueError("the record is too large")).line())

    async def _do(self, request: Request) -> dict[str, Any]:
        """Do it, and return what the answer says."""
        notebook = Notebook(self._place(request.settings), request.notebook, request.owner)
        match request.do:
            case "record":
                return {"record": await notebook.record()}
            case "start":
                _make_home(Path(request.home))
                options = NotebookOptions.model_validate(request.options)
                return {
                    "variables": await notebook.start(options, request.variables, lambda seen: self._tell(request.number, seen))
                }
            case "handed":
                return {"variables": await notebook.handed()}
            case "entrust":
                await notebook.entrust(request.secrets)
            case "address":
                return {"address": await notebook.address(timeout=request.timeout)}
            case "beside":
                return {"share": await notebook.beside()}
            case "end":
                await notebook.end(timeout=request.timeout)
            case "dismiss":
                await notebook.dismiss()
        return {}

    def _tell(self, number: int, seen: Record) -> None:
        self._say(Reply(number=number, record=seen))


def _place(nursery: Nursery, settings: str) -> Backend:
    return LocalBackend(Settings.model_validate(json.loads(settings)), nursery)


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise explain(home, error) from error
