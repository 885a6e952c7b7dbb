"""The toy's verbs."""

import asyncio
import json
import socket
from typing import Any

from jupyter_dodas import aio

__all__ = ["ToyClient", "ToyCluster"]


class ToyClient:
    """Sends work to a hub."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        self._lines = self._socket.makefile("rb")
        self._socket.sendall(json.dumps({"token": token, "role": "client"}).encode() + b"\n")

    def __enter__(self) -> "ToyClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def submit(self, seconds: float, times: int = 1, does: str = "nap") -> None:
        """Have the drones do something, several times: ``nap``, ``burn`` or ``look``."""
        self._socket.sendall((json.dumps({"does": does, "seconds": seconds}).encode() + b"\n") * times)

    def result(self) -> Any:
        """Wait for the next result: the seconds, or what a drone sees around it."""
        return json.loads(self._lines.readline())

    def look(self) -> Any:
        """Return what a drone sees around it."""
        self.submit(0, does="look")
        return self.result()


class ToyCluster(aio.Cluster):
    """A hub and drones."""

    async def client(self) -> ToyClient:
        connection = await self.connection()
        return await asyncio.to_thread(self._connect, connection)

    def blocking_client(self) -> Any:
        return self._connect(self.connection_now())

    @staticmethod
    def _connect(connection: aio.Connection) -> ToyClient:
        return ToyClient(connection.addresses["hub"], (connection.secrets / "toy.token").read_text())

    async def buzz(self) -> str:
        """Say something; a verb that only this kind has."""
        return f"{self.name} buzzes"
