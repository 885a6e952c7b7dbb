"""How workers of Dask reach an endpoint: a plugin that has its addresses and its token, in the memory of scheduler and workers."""

import hashlib
from typing import Any

from distributed import Client as DaskClient
from distributed import WorkerPlugin, get_worker

from jupyter_dodas.errors import PlaceUnreachable
from jupyter_dodas.services.tfaas.client import Client, Reach

__all__ = ["open_at", "opened"]


class _Door(WorkerPlugin):
    """An endpoint as a worker reaches it.

    Parameters
    ----------
    addresses
        Those at which it may be reached, the likelier first: from a pod it has another one than from a notebook elsewhere.
    """

    def __init__(self, name: str, addresses: tuple[str, ...], token: str | None) -> None:
        self.name, self._addresses, self._token = name, addresses, token
        self.client: Client | None = None

    idempotent = True
    """Whoever goes through it is not to find it closed because somebody else opens it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "client": None}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def setup(self, worker: Any) -> None:
        """Begin: connections come with the first task."""
        self.client = Client(self._find)

    def teardown(self, worker: Any) -> None:
        """Close what is kept."""
        if self.client is not None:
            self.client.close()

    def _find(self) -> Reach:
        """Return the first address at which somebody answers."""
        token = self._token
        reaches = [Reach(address, (lambda: token) if token is not None else None) for address in self._addresses]
        for reach in reaches[:-1]:
            with Client(lambda reach=reach: reach, timeout=5) as one:  # type: ignore[misc]
                try:
                    one.get("/v2/health/live")
                except PlaceUnreachable:
                    continue
                return reach
        return reaches[-1]


def open_at(dask: DaskClient, reach: Reach) -> str:
    """Have all workers know an endpoint, also those that come later; returns the name of it there."""
    token = reach.token() if reach.token is not None else None
    addresses = tuple(dict.fromkeys((*reach.inner, reach.address)))
    # Another token or address is another door: whoever goes through the old one is not to find it closed.
    name = f"dodas-tfaas-{hashlib.sha256(repr((addresses, token)).encode()).hexdigest()[:16]}"
    dask.register_plugin(_Door(name, addresses, token), name=name)
    return name


def opened(name: str) -> Client:
    """Return, in a task, the client for an endpoint."""
    door = get_worker().plugins[name]
    assert isinstance(door, _Door)
    assert door.client is not None
    return door.client
