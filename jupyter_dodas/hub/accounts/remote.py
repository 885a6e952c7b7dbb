"""The hub's side of agents: one for each user who is at work, asked for what `Notebook` does.

An agent belongs to its user, who may kill it, freeze it, or have something else answer in its place. So it is started again when it
is gone, given up when it is silent, and believed only what fits; and whatever it says is about its own user alone.
"""

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from jupyter_dodas.aio.cluster import Follower
from jupyter_dodas.backends.local.title import ROOM
from jupyter_dodas.errors import ClusterFailed, ControllerUnreachable
from jupyter_dodas.hub.accounts.cgroups import Fence
from jupyter_dodas.hub.accounts.machine import Account
from jupyter_dodas.hub.accounts.messages import LONGEST, Order, Reply, Request, Verb
from jupyter_dodas.limits import Share
from jupyter_dodas.services.notebook.handover import TOKEN
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Record

__all__ = ["Agents", "RemoteNotebook", "User"]

_START: Final = 60.0
"""Seconds in which an agent must be there, and before the first one the process that makes them."""

_TRIES: Final = 3
"""How often something is asked for whose agent is gone."""

_STATES, _BYTES = 1000, 4 * LONGEST
"""What one request may be answered with: states on the way, and bytes in all."""


class User:
    """A user, as agents need to know them.

    Parameters
    ----------
    account
        Whose the agent is.
    environment
        The variables that everything of this user begins with.
    fence
        What it runs in.
    """

    def __init__(self, account: Account, environment: Mapping[str, str], fence: Fence) -> None:
        self.account, self.environment, self.fence = account, environment, fence


class Agents:
    """The agents of a hub, and the process that makes them.

    Parameters
    ----------
    patience
        Seconds after which an agent is given up that does not say what it could say at once.
    idle
        Seconds after which one ends that nobody asked anything.
    every
        Seconds between two looks for what can be let go.
    """

    def __init__(self, *, patience: float = 15.0, idle: float = 60.0, every: float = 10.0) -> None:
        self._patience, self._idle, self._every = patience, idle, every
        self._prepared: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._ordering = asyncio.Lock()
        self._desks: dict[int, _Desk] = {}
        self._keeping_house: asyncio.Task[None] | None = None

    async def ask(self, user: User, request: Request, *, takes: float | None = 0.0, follower: Follower | None = None) -> Reply:
        """Ask the agent of a user, and return the last answer.

        Parameters
        ----------
        takes
            Seconds that it may take beyond what anything may; None to wait until cancelled, which cancels what is being done.

        Raises
        ------
        DodasError
            What the agent says; `ControllerUnreachable` if it does not answer.
        """
        desk = self._desks.setdefault(user.account.uid, _Desk(user))
        desk.user = user
        desk.visitors += 1
        try:
            return await self._ask(desk, request, None if takes is None else takes + self._patience, follower)
        finally:
            desk.visitors -= 1
            desk.left = time.monotonic()

    async def _ask(self, desk: "_Desk", request: Request, timeout: float | None, follower: Follower | None) -> Reply:
        request = request.model_copy(update={"number": next(self._numbers)})
        why: Exception = ConnectionError("it ended")
        for _ in range(_TRIES):
            connection: _Connection | None = None
            try:
                # Its user has no hand in this. Whoever is cancelled meanwhile leaves the agent to who comes next.
                async with asyncio.timeout(_START):
                    connection = await asyncio.shield(asyncio.create_task(self._connected(desk)))
                async with asyncio.timeout(timeout):
                    reply = await connection.ask(request, follower)
            except TimeoutError as error:
                self._give_up(desk, connection)
                raise _silent(desk.user, "It said nothing for too long.") from error
            except asyncio.CancelledError:
                await self._cancel(desk, connection, request)
                raise
            except OSError as error:
                why = error
                continue  # asking again does no harm
            if (told := reply.error()) is not None:
                raise told
            return reply
        raise _silent(desk.user, f"{why}.") from why

    async def _cancel(self, desk: "_Desk", connection: "_Connection | None", request: Request) -> None:
        """Have the agent end what it has begun; one that does not is ended."""
        if connection is not None:
            try:
                async with asyncio.timeout(self._patience):
                    await connection.cancel(request.number)
            except (TimeoutError, OSError):
                self._give_up(desk, connection)

    async def _connected(self, desk: "_Desk") -> "_Connection":
        async with desk.lock:
            if desk.connection is not None and desk.connection.open:
                return desk.connection
            self._give_up(desk, desk.connection)
            user = desk.user
            user.fence.stand()
            order = Order(
                uid=user.account.uid, gid=user.account.gid, environment=user.environment, groups=tuple(map(str, user.fence.members))
            )
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    pid = await self._fork(order, theirs)
                except OSError:
                    ours.close()
                    raise
            reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST)
            desk.connection = _Connection(pid, reader, writer)
            if self._keeping_house is None or self._keeping_house.done():
                self._keeping_house = asyncio.create_task(self._keep_house())
            return desk.connection

    async def _fork(self, order: Order, connection: socket.socket) -> int:
        async with self._ordering:
            if self._orders is None or self._prepared is None or self._prepared.poll() is not None:
                self._orders = self._prepare()
            try:
                # Short, and nobody but us fills the buffer.
                socket.send_fds(self._orders, [order.line()], [connection.fileno()])
                answer = await asyncio.get_running_loop().sock_recv(self._orders, LONGEST)
            except OSError:
                answer = b""
            if not answer:
                self._orders = None
                raise ConnectionResetError("the process that makes agents has ended")
        if not answer.isdigit():
            raise OSError(answer.decode("utf-8", "replace"))
        return int(answer)

    def _prepare(self) -> socket.socket:
        if self._orders is not None:
            self._orders.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # -P: nothing that lies where it is started is imported.
        command = [sys.executable, "-P", "-m", "jupyter_dodas.hub.accounts.prepared", ROOM]
        with theirs:
            self._prepared = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "_": ROOM},
            )
        return ours

    def _give_up(self, desk: "_Desk", connection: "_Connection | None") -> None:
        """Let go of an agent, unless there is another one meanwhile, and see that it ends, also if it is frozen."""
        if connection is not None and desk.connection is connection:
            desk.connection = None
            connection.close()
            with suppress(OSError):
                if self._orders is not None:
                    self._orders.send(str(connection.pid).encode())

    async def _keep_house(self) -> None:
        """End agents that have nothing to do, and remove groups in which nothing runs any more."""
        while self._desks:
            await asyncio.sleep(self._every)
            for uid, desk in list(self._desks.items()):
                if desk.visitors or (desk.connection is not None and time.monotonic() < desk.left + self._idle):
                    continue
                self._give_up(desk, desk.connection)
                if desk.user.fence.clear():
                    del self._desks[uid]


def _silent(user: User, cause: str) -> ControllerUnreachable:
    return ControllerUnreachable(
        f"The place of {user.account.name} cannot be looked at",
        cause=f"The hub's process for that account does not answer as it should. {cause}",
        remedy="Try again; an administrator of the hub finds more in its log.",
    )


class _Desk:
    """What there is for one user."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.visitors, self.left = 0, 0.0
        self.lock = asyncio.Lock()
        self.connection: _Connection | None = None


class _Asked:
    """A request that is not answered yet."""

    def __init__(self, follower: Follower | None) -> None:
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.follower, self.states, self.bytes = follower, 0, 0


class _Connection:
    """The hub's end of the connection to one agent."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid, self._reader, self._writer = pid, reader, writer
        self._asked: dict[int, _Asked] = {}
        self._listening = asyncio.create_task(self._listen())

    @property
    def open(self) -> bool:
        """Whether there is somebody at the other end."""
        return not self._listening.done()

    async def ask(self, request: Request, follower: Follower | None) -> Reply:
        """Return the last answer to a request."""
        if not self.open:
            raise ConnectionResetError("it ended")
        asked = self._asked[request.number] = _Asked(follower)
        self._writer.write(request.line())
        try:
            # A cancelled request is still to be answered.
            return await asyncio.shield(asked.answer)
        except asyncio.CancelledError:
            asked.follower = None
            raise
        finally:
            if asked.answer.done():
                self._asked.pop(request.number, None)

    async def cancel(self, number: int) -> None:
        """Cancel a request, and wait until that is done."""
        if (asked := self._asked.get(number)) is not None:
            self._writer.write(Request(number=number, do="cancel").line())
            try:
                await asked.answer
            finally:
                self._asked.pop(number, None)

    def close(self) -> None:
        """Hang up."""
        self._listening.cancel()
        self._writer.close()
        self._end("the hub hung up")

    async def _listen(self) -> None:
        why = "it ended"
        try:
            while line := await self._reader.readline():
                self._hear(Reply.model_validate_json(line), len(line))
                await asyncio.sleep(0)  # whoever talks without a pause must not keep the hub from others
        except ConnectionResetError as error:
            why = str(error)
        except (OSError, ValueError) as error:
            why = f"it said what it may not say ({type(error).__name__})"
        finally:
            self._writer.close()
            self._end(why)

    def _hear(self, reply: Reply, size: int) -> None:
        asked = self._asked.get(reply.number)
        if reply.number == 0 and reply.problem is not None:
            raise ConnectionResetError(f"it ended: {reply.problem.message[:500]}")
        if asked is None:
            raise ValueError("nobody asked")
        asked.states, asked.bytes = asked.states + 1, asked.bytes + size
        if asked.states > _STATES or asked.bytes > _BYTES:
            raise ValueError("too much")
        if not reply.over:
            if asked.follower is not None and reply.record is not None:
                asked.follower(reply.record)
        elif not asked.answer.done():
            asked.answer.set_result(reply)

    def _end(self, why: str) -> None:
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_exception(ConnectionResetError(why))
                asked.answer.exception()  # it may be that nobody waits any more
        self._asked.clear()


class RemoteNotebook:
    """A notebook in the hands of the agent of its user. See `Notebook`, whose face it has.

    Parameters
    ----------
    name, owner
        See `Notebook`.
    settings
        Returns those of the place, as they are now.
    user
        Returns whose it is; None as long as there is no such account.
    """

    def __init__(
        self, agents: Agents, name: str, owner: str, settings: Callable[[], Settings], user: Callable[[], User | None]
    ) -> None:
        self._agents, self.name, self._owner, self._settings, self._user = agents, name, owner, settings, user

    async def record(self) -> Record | None:
        """See `Notebook.record`."""
        return (await self._ask("record")).record

    async def start(self, options: NotebookOptions, variables: Mapping[str, str], follower: Follower) -> Mapping[str, str]:
        """See `Notebook.start`."""
        asked = {"options": options.model_dump(mode="json"), "variables": variables}
        handed = (await self._ask("start", takes=None, follower=follower, **asked)).variables or {}
        if TOKEN not in handed:
            raise ClusterFailed(
                f"{self.name!r} has no token", cause="The record of it says so.", remedy="Stop it, and start it again."
            )
        return handed

    async def handed(self) -> Mapping[str, str] | None:
        """See `Notebook.handed`."""
        handed = (await self._ask("handed")).variables
        return handed if handed is not None and TOKEN in handed else None

    async def entrust(self, secrets: Mapping[str, bytes]) -> None:
        """See `Notebook.entrust`."""
        await self._ask("entrust", secrets=secrets)

    async def address(self, *, timeout: float) -> str | None:
        """See `Notebook.address`."""
        return (await self._ask("address", takes=timeout, timeout=timeout)).address

    async def beside(self) -> Share:
        """See `Notebook.beside`."""
        return (await self._ask("beside")).share

    async def end(self, *, timeout: float = 60) -> None:
        """See `Notebook.end`."""
        await self._ask("end", takes=timeout, timeout=timeout)

    async def dismiss(self) -> None:
        """See `Notebook.dismiss`."""
        await self._ask("dismiss")

    async def _ask(self, do: Verb, *, takes: float | None = 0.0, follower: Follower | None = None, **more: Any) -> Reply:
        if (user := self._user()) is None:
            return Reply(over=True)  # without an account there is nothing
        where = {
            "settings": self._settings().model_dump_json(),
            "notebook": self.name,
            "owner": self._owner,
            "home": str(user.account.home),
        }
        request = Request(do=do, **where, **more)
        return await self._agents.ask(user, request, takes=takes, follower=follower)
