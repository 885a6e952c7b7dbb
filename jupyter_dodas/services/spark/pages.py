"""What Spark's pages say: the JSON of the master, and of the drivers of its applications by way of the master."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote

from jupyter_dodas.services.base import Endpoint

__all__ = ["Load", "Master", "Pages", "answers_grpc", "load"]

_MOST: Final = 2**24
_PATIENCE: Final = 5.0

_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How a client of HTTP/2 begins: the preface, and settings that change nothing."""


@dataclass(frozen=True)
class Pages:
    """The pages of a master, for someone who may see them."""

    address: Endpoint
    authorization: str

    async def get(self, path: str) -> Any:
        """Read one page of JSON.

        Raises
        ------
        OSError, ValueError
            If there is none.
        """
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(self.address.host, self.address.ports["web"], limit=_MOST)
            try:
                # In version 1.0 the answer ends with the connection, so it comes in one piece.
                writer.write(
                    f"GET {path} HTTP/1.0\r\nHost: {self.address['web']}\r\nAuthorization: {self.authorization}\r\n"
                    "Accept: application/json\r\n\r\n".encode()
                )
                status = await reader.readline()
                if status.split(b" ", 2)[1:2] != [b"200"]:
                    raise ConnectionError(f"{path}: {status.decode('ascii', 'replace').strip()}")
                await reader.readuntil(b"\r\n\r\n")
                return json.loads(await reader.read(_MOST))
            except asyncio.IncompleteReadError as error:
                raise ConnectionError(f"{path}: the answer ends too early") from error
            finally:
                writer.transport.abort()

    async def master(self) -> "Master":
        """Read the state of the master."""
        return Master.of(await self.get("/json/"))

    async def load(self, application: str) -> "Load":
        """Ask an application what it has to do."""
        base = f"/proxy/{quote(application)}/api/v1/applications/{quote(application)}"
        executors, stages = await asyncio.gather(self.get(f"{base}/executors"), self.get(f"{base}/stages?status=active"))
        return load(executors, stages)


@dataclass(frozen=True)
class Master:
    """What a master knows.

    Parameters
    ----------
    alive
        Workers that take executors, by host and port.
    identifiers
        How the master calls its workers, and so do links to their pages.
    used
        Workers of which an application has cores.
    applications
        Those that are registered now, and when each was started, in Unix seconds.
    """

    alive: frozenset[tuple[str, int]] = frozenset()
    identifiers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    used: frozenset[tuple[str, int]] = frozenset()
    applications: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, page: Any) -> Self:
        """Read its page.

        Raises
        ------
        ValueError
            If this is no page of a master.
        """
        try:
            if page["status"] != "ALIVE":
                return cls()  # it takes over from one that was killed, and will soon know more
            workers = [(worker, (str(worker["host"]), int(worker["port"]))) for worker in page["workers"]]
            return cls(
                frozenset(where for worker, where in workers if worker["state"] == "ALIVE"),
                {str(worker["id"]): where for worker, where in workers},
                frozenset(where for worker, where in workers if worker["state"] == "ALIVE" and worker["coresused"]),
                {str(application["id"]): application["starttime"] / 1000 for application in page["activeapps"]},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no page of a master: {error!r}") from error


@dataclass(frozen=True)
class Load:
    """What an application has to do.

    Parameters
    ----------
    tasks
        Tasks that run, or could if there were more cores.
    busy
        Workers, by the master's identifiers, of which an executor runs a task.
    """

    tasks: int = 0
    busy: frozenset[str] = frozenset()

    def workers(self, cores: int) -> int:
        """How many workers of so many cores it could use."""
        return math.ceil(self.tasks / max(cores, 1))


def load(executors: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]) -> Load:
    """Sum up the REST pages of an application: its executors, and its active stages."""
    busy = set()
    for executor in executors:
        if executor["id"] != "driver" and executor["isActive"] and executor["activeTasks"]:
            # Only the address of its logs tells on which worker it is: /proxy/worker-.../logPage/...
            for log in executor["executorLogs"].values():
                _, _, rest = log.partition("/proxy/")
                busy.add(rest.partition("/")[0])
    return Load(sum(max(stage["numTasks"] - stage["numCompleteTasks"], 0) for stage in stages), frozenset(busy))


async def answers_grpc(host: str, port: int) -> bool:
    """Tell whether a server of HTTP/2 answers there, which is what gRPC speaks."""
    with suppress(OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_HELLO)
                return (await reader.readexactly(9))[3] == 4  # settings, which a server sends first
            finally:
                writer.transport.abort()
    return False
