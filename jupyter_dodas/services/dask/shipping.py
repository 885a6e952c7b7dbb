"""Laying a user's modules where her tasks run: on the scheduler, which reads task graphs, and on workers, also later ones.

This is sent over by pickle, so both sides import it.
"""

import importlib
import sys
from collections.abc import Mapping
from hashlib import sha256
from logging import getLogger
from pathlib import Path
from typing import Final

from distributed.client import Client
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.scheduler import Scheduler
from distributed.worker import Worker

from jupyter_dodas.services.dask.modules import Bundle

__all__ = ["ModulesOnScheduler", "ModulesOnWorker", "send"]

logger = getLogger(__name__)

_KNOWN: Final[dict[tuple[str, str], str]] = {}
"""What was laid in this process: the hash of each module, by folder and name."""


async def send(client: Client, bundle: Bundle) -> None:
    """Send modules, unless these very ones were sent before."""
    digests = bundle.digests()
    plugins = [made(bundle.root, bundle.files, digests) for made in (ModulesOnScheduler, ModulesOnWorker)]
    note = ["dodas-modules", plugins[0].name]
    # The scheduler keeps the note, so that it forgets it together with the modules.
    if await client.get_metadata(note, default=None) != digests:  # type: ignore[no-untyped-call]
        for plugin in plugins:
            await client.register_plugin(plugin)
        await client.set_metadata(note, digests)  # type: ignore[no-untyped-call]


class _Modules:
    """Modules of one folder, as they were when they were sent.

    Parameters
    ----------
    root
        The folder that they come from.
    files
        Contents by path below it.
    digests
        A hash of each module, by its name.
    """

    def __init__(self, root: str, files: Mapping[str, bytes], digests: Mapping[str, str]) -> None:
        self.name = f"dodas-modules-{sha256(root.encode()).hexdigest()[:12]}"
        self._root, self._files, self._digests = root, dict(files), dict(digests)

    def lay(self, scratch: str) -> None:
        """Make them importable here, and let go of older ones that were imported."""
        changed = [name for name, digest in self._digests.items() if _KNOWN.get((self._root, name)) != digest]
        if not changed:
            return
        folder = self._root if self._is_there() else self._write(scratch)
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
        for module in list(sys.modules):
            if module.partition(".")[0] in changed:
                del sys.modules[module]
        importlib.invalidate_caches()
        _KNOWN.update({(self._root, name): self._digests[name] for name in changed})
        logger.info("New modules: %s", ", ".join(sorted(changed)))

    def _is_there(self) -> bool:
        """Whether this machine has the same folder: then data beside the modules is found as well."""
        try:
            return all(Path(self._root, path).read_bytes() == content for path, content in self._files.items())
        except OSError:
            return False

    def _write(self, scratch: str) -> str:
        # A folder of their own for each state of them: Python tells compiled files by the second.
        state = sha256("".join(sorted(self._digests.values())).encode()).hexdigest()[:12]
        folder = Path(scratch, "modules", self.name, state)
        for path, content in self._files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return str(folder)


class ModulesOnWorker(_Modules, WorkerPlugin):
    """Lays modules on every worker."""

    def setup(self, worker: Worker) -> None:
        """Lay them; called on each worker that there is and on each that comes."""
        self.lay(worker.local_directory)


class ModulesOnScheduler(_Modules, SchedulerPlugin):
    """Lays modules on the scheduler."""

    async def start(self, scheduler: Scheduler) -> None:
        """Lay them."""
        self.lay(scheduler.local_directory)
