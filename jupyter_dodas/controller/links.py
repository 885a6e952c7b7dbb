"""The controller's connections to running clusters, and the drains under way on them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence

from jupyter_dodas.backends.base import Runner
from jupyter_dodas.services.base import Endpoint, Link, Report, Service, Site
from jupyter_dodas.spec import ClusterStatus, Record

__all__ = ["Links"]

_log = logging.getLogger(__name__)


class _Open:
    """One connection."""

    def __init__(self, uid: str, site: Site) -> None:
        self.uid = uid
        self.site = site
        self.link: Link
        self.drained: set[str] = set()
        self.draining: asyncio.Task[None] | None = None
        self.asked: frozenset[str] = frozenset()


class Links:
    """One link for each cluster that runs.

    Parameters
    ----------
    enqueue
        Called with a cluster's name when its service has something new to say.
    """

    def __init__(self, runner: Runner, enqueue: Callable[[str], None]) -> None:
        self._runner, self._enqueue = runner, enqueue
        self._open: dict[str, _Open] = {}

    async def site(self, record: Record, status: ClusterStatus) -> Site:
        """Where the instances of a status are, as they see it themselves."""
        endpoints = {name: Endpoint(i.host, i.ports) for name, i in status.instances.items()}
        secrets, kept = await self._runner.secrets_folder(record.name), await self._runner.kept_folder(record.name)
        return Site(record.name, endpoints, secrets, self._runner.listen, kept=kept)

    async def open(self, record: Record, service: Service, status: ClusterStatus | None = None) -> None:
        """Connect, or tell the connection where the instances are now; one to where they no longer are is made anew."""
        site = await self._runner.reach(await self.site(record, status or record.status))
        known = self._open.get(record.name)
        if known is not None and (known.uid != record.spec.uid or _moved(known.site, site)):
            await self.close(record.name)
            known = None
        if known is None:
            known = self._open[record.name] = _Open(record.spec.uid, site)
            opened = known
            known.link = service.link(lambda: opened.site, lambda: self._enqueue(record.name))
        known.site = site

    async def report(self, name: str) -> Report:
        """Return what a cluster says of itself; an empty report if it cannot be asked."""
        known = self._open.get(name)
        return await known.link.report() if known is not None else Report()

    def drain(self, name: str, instances: Sequence[str]) -> None:
        """Have instances freed of work, in the background; `drained` tells which are."""
        known = self._open.get(name)
        if known is None:
            return
        known.drained &= set(instances)
        known.asked = frozenset(instances) - known.drained
        if known.asked and known.draining is None:
            known.draining = asyncio.create_task(self._drain(name, known))

    async def _drain(self, name: str, known: _Open) -> None:
        try:
            while known.asked:
                freed = await known.link.drain(sorted(known.asked))
                known.drained |= set(freed)
                known.asked -= known.drained
                if freed:
                    self._enqueue(name)
                elif known.asked:
                    await asyncio.sleep(0.5)
        except (OSError, EOFError, TimeoutError) as error:
            _log.warning("%s cannot be drained now: %s", name, error, extra={"cluster": name})
        finally:
            known.draining = None

    def drained(self, name: str) -> Collection[str]:
        """Instances that hold no work any more."""
        known = self._open.get(name)
        return frozenset(known.drained) if known is not None else frozenset()

    async def close(self, name: str) -> None:
        """Disconnect."""
        known = self._open.pop(name, None)
        if known is None:
            return
        if known.draining is not None:
            known.draining.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await known.draining
        await known.link.close()

    async def close_all(self) -> None:
        """Disconnect from everything."""
        for name in list(self._open):
            await self.close(name)


def _moved(before: Site, now: Site) -> bool:
    """Whether an instance is no longer where it was; somebody else may listen there."""
    return any(
        name in now.endpoints and endpoint.ports and now.endpoints[name] != endpoint for name, endpoint in before.endpoints.items()
    )
