"""What a user holds of a Dask cluster: all that any cluster can, and Dask's own verbs.

Users of `distributed` find what they know: ``distributed.Client(cluster)``, ``get_client``, ``wait_for_workers``,
``dashboard_link``, ``close``. Importing this is cheap: `distributed` comes with the first client, or with `DaskCluster.warm`.
"""

import asyncio
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from importlib import import_module
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from jupyter_dodas import aio, blocking
from jupyter_dodas.aio import Connection
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import DodasError, NotFound, TimedOut
from jupyter_dodas.options import Options
from jupyter_dodas.services.dask.modules import Bundle, folders, named, nearby
from jupyter_dodas.services.dask.signin import DASHBOARD, Purpose, make
from jupyter_dodas.services.work import Observer
from jupyter_dodas.spec import Condition, Phase, Record

if TYPE_CHECKING:
    from distributed import Client
    from distributed.core import Status
    from distributed.security import Security

__all__ = ["DaskCluster"]

logger = getLogger(__name__)

_STATUS: Final = {
    Phase.PENDING: "created",
    Phase.STARTING: "starting",
    Phase.READY: "running",
    Phase.DEGRADED: "running",
    Phase.STOPPING: "closing",
    Phase.STOPPED: "closed",
    Phase.FAILED: "failed",
}
"""What `distributed` calls our phases."""


class DaskCluster(aio.Cluster):
    """A Dask cluster.

    Tasks can choose among groups of workers: ``client.submit(train, resources={"gpu": 1})`` runs in the group ``gpu``, since each
    worker offers its threads under the name of its group, and its GPUs as ``GPU``.
    """

    _reached: Connection | None = None
    """What is known while a client connects, which asks for each part of it."""

    @classmethod
    def warm(cls, asked: Options, here: str | None) -> None:  # noqa: ARG003 - it needs the same for all of them
        """Import what `client` needs: a second of computing, to be spent while the cluster starts."""
        import_module("jupyter_dodas.services.dask.security")
        import_module("distributed.versions").get_versions()

    async def client(self) -> "Client":
        """Return a client, on this loop; modules beside the notebook or script come along, see `ship`."""
        from distributed import Client  # a second

        record = await self.record()
        with self._reading(await self._connection_of(record)):
            client: Client = await Client(self, asynchronous=True)  # type: ignore[no-untyped-call]
        try:
            await _send(client, _nearby(record))
        except BaseException:
            await client.close()  # type: ignore[no-untyped-call]
            raise
        if self._may_show_work() and (observer := await self._observer(client)) is not None:
            self._show_work(observer)
        return client

    def blocking_client(self) -> "Client":
        """See `client`; for blocking code."""
        from distributed import Client  # a second

        record = blocking.run(self.record)
        with self._reading(blocking.run(self._connection_of, record)):
            client = Client(Cluster(self))  # type: ignore[no-untyped-call]
        try:
            client.sync(_send, client, _nearby(record))  # type: ignore[no-untyped-call]
        except BaseException:
            client.close()  # type: ignore[no-untyped-call]
            raise
        if self._may_show_work():
            observer: Observer | None = client.sync(self._observer, client)  # type: ignore[no-untyped-call]
            if observer is not None:
                self._show_work(observer)
        return client

    async def _observer(self, client: "Client") -> "Observer | None":
        try:
            observer: Observer = await import_module("jupyter_dodas.services.dask.work").begin(client)
        except Exception:
            # A scheduler with another version of this package, for one; nothing depends on it.
            logger.debug("The work of %r will not be shown", self.name, exc_info=True)
            return None
        return observer

    @contextmanager
    def _reading(self, connection: Connection) -> Iterator[None]:
        self._reached = connection
        try:
            yield
        finally:
            self._reached = None

    async def get_client(self) -> "Client":
        """See `client`; the name that Dask's own clusters have for it."""
        return await self.client()

    def blocking_get_client(self) -> "Client":
        """See `client`."""
        return self.blocking_client()

    async def ship(self, *paths: str | Path) -> None:
        """Send modules or packages to the scheduler and all workers, also later ones; a changed one replaces the older.

        Parameters
        ----------
        *paths
            ``.py`` files and folders with an ``__init__.py``; none for what `client` sends: those beside the notebook or script.

        Raises
        ------
        InvalidOption
            If one is no module, or too large.
        """
        from distributed import Client  # a second

        bundles = [named(Path(path)) for path in paths] or _look_around()
        async with Client(self, asynchronous=True, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            await _send(client, bundles)

    async def wait_for_workers(self, n_workers: int, timeout: float | None = None) -> None:
        """Wait until so many workers answer.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.

        Raises
        ------
        TimedOut, ClusterFailed, NotFound
        """
        ready = 0
        try:
            async with asyncio.timeout(timeout), aclosing(self.follow()) as states:
                async for record in states:
                    if (ready := _workers(record)) >= n_workers:
                        return
                    if record.status.phase is Phase.FAILED:
                        await self.connection()  # raises, with the cause
        except TimeoutError as error:
            raise TimedOut(
                f"{self.name!r} has {ready} of {n_workers} workers after {timeout:g} s",
                cause="They may still come; only the waiting has ended.",
                remedy=f"`dodas show {self.name}` tells how it is; scale() and adapt() set how many there are to be.",
            ) from error
        raise NotFound(self.name)

    async def dashboard(self) -> str:
        """Return an address that opens the dashboard in a browser: once, within a minute. The browser then stays signed in."""
        connection = await self.connection()
        return f"{connection.addresses['dashboard']}/login?code={_code(connection.secrets)}"

    @property
    def dashboard_link(self) -> str:
        """Address of the dashboard, without a key: for a browser that has signed in with `dashboard`."""
        return f"{self.connection_now().addresses['dashboard']}/status"

    @property
    def scheduler_address(self) -> str:
        """Where clients connect."""
        return (self._reached or self.connection_now()).addresses["scheduler"]

    @property
    def security(self) -> "Security":
        """The certificates that clients need."""
        from jupyter_dodas.services.dask.security import security  # a second

        return security((self._reached or self.connection_now()).secrets)

    @property
    def status(self) -> "Status":
        """Its phase in the words of `distributed`, whose client asks for it."""
        from distributed.core import Status  # a second

        if self._reached is not None:
            return Status.running
        try:
            return Status[_STATUS[blocking.run(self.phase)]]
        except DodasError:
            return Status.undefined

    async def close(self) -> None:
        """Stop it; the name that Dask's own clusters have for it."""
        await self.stop()

    def blocking_close(self) -> "_Done":
        """See `close`; can be awaited, as `distributed.Client.shutdown` does."""
        blocking.run(self.close)
        return _Done()

    def __await__(self) -> Generator[Any, None, Self]:
        """Do nothing: `distributed.Client` awaits a cluster before it connects."""
        return self
        yield


class _Done:
    """Something to await that is over."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield

    def _ipython_display_(self) -> None:
        """Show nothing under a cell."""


def _workers(record: Record) -> int:
    return sum(i.group is not None and i.condition is Condition.READY for i in record.status.instances.values())


def _code(secrets: Path) -> str:
    return make((secrets / DASHBOARD).read_bytes().strip(), Purpose.CODE, time.time())


def _nearby(record: Record) -> list[Bundle]:
    return _look_around() if record.spec.options.get("ship", True) else []


def _look_around() -> list[Bundle]:
    main = getattr(sys.modules["__main__"], "__file__", None)
    return [nearby(folder, sys.modules) for folder in folders(sys.path, main)]


async def _send(client: "Client", bundles: Iterable[Bundle]) -> None:
    """Send modules, unless these very ones were sent before."""
    for bundle in bundles:
        for name, why in bundle.left_out.items():
            # What nobody has imported is probably not needed.
            log = logger.warning if name in sys.modules else logger.info
            log("The module %s of %s is not sent to the workers: %s", name, bundle.root, why)
        if bundle.files:
            await import_module("jupyter_dodas.services.dask.shipping").send(client, bundle)
