"""What the controller of a namespace holds: its Lease, and on one machine a lock beside it."""

import fcntl
import hashlib
import logging
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from jupyter_dodas.backends.kubernetes.allowance import Allowances
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.lease import Lease, here
from jupyter_dodas.backends.kubernetes.runner import KubernetesRunner
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.settings import Limits, Settings
from jupyter_dodas.spec import Phase

__all__ = ["KubernetesTenure", "lock_file", "tenure"]

_log = logging.getLogger(__name__)


class KubernetesTenure:
    """See `Tenure`.

    Parameters
    ----------
    allowances
        What somebody has set for the namespace.
    limits
        Those of the settings.
    stays
        Whether it was installed to stay, and never resigns.
    """

    def __init__(
        self, store: KubernetesStore, runner: KubernetesRunner, allowances: Allowances, limits: Limits, *, stays: bool
    ) -> None:
        self.store, self.runner = store, runner
        self._allowances, self._limits, self._stays = allowances, limits, stays

    async def limits(self) -> Limits:
        """See `Tenure.limits`."""
        return (await self._allowances.now()).within(self._limits).limits

    async def resign(self) -> bool:
        """See `Tenure.resign`. A launch that comes now finds the lock free as soon as this process has ended."""
        return not self._stays and all(record.status.phase is Phase.FAILED for record in await self.store.list())


@asynccontextmanager
async def tenure(settings: Settings, arguments: Sequence[str]) -> AsyncGenerator[KubernetesTenure, None]:
    """Take charge of a namespace, once nobody else is.

    Parameters
    ----------
    arguments
        ``--stay`` for a controller that is installed in the namespace; else it is the process of a user, and one is enough.
    """
    api = Api(settings)
    stays = "--stay" in arguments
    lock: IO[str] | None = None
    if not stays and (lock := _lock(lock_file(settings, api))) is None:
        _log.info("There is a controller of %s on this machine", api.namespace)
        sys.exit(0)
    store = KubernetesStore(api, tick=None)
    runner = KubernetesRunner(api, store, settings)
    lease = Lease(api)
    try:
        held = None if stays else await lease.holder()
        if held is not None and held[0] and not held[0].startswith(here()):
            _log.info("%s looks after the namespace %s", held[0], api.namespace)
            sys.exit(0)
        # Whoever held the Lease on this machine has lost the lock, and is dead.
        async with lease.held(take_from=None if stays else here()), store.watch(), runner.connected():
            _log.info("Looking after the namespace %s", api.namespace)
            yield KubernetesTenure(store, runner, Allowances(api), settings.limits, stays=stays)
    finally:
        if lock is not None:
            lock.close()


def lock_file(settings: Settings, api: Api) -> Path:
    """Return the file that the controller of a namespace locks on this machine."""
    which = hashlib.sha256(f"{api.server}/{api.namespace}".encode()).hexdigest()[:12]
    return settings.runtime_folder() / f"kubernetes-{which}.lock"


def _lock(path: Path) -> IO[str] | None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
