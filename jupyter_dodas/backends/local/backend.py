"""The local backend as its users see it: the records, and a keeper that is started when there is something to do."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jupyter_dodas
from jupyter_dodas.backends.base import Connection, Line, Load
from jupyter_dodas.backends.local import allowance, loads, logs
from jupyter_dodas.backends.local.bus import BusClient
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.backends.local.store import LocalStore
from jupyter_dodas.backends.local.surroundings import inherited
from jupyter_dodas.errors import ControllerUnreachable
from jupyter_dodas.limits import Allowance
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Service
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Record

if TYPE_CHECKING:
    from jupyter_dodas.backends.local.nursery import Nursery

__all__ = ["LocalBackend"]


class LocalBackend:
    """Clusters as processes of this machine.

    Parameters
    ----------
    nursery
        Who forks the keeper; by default it is executed.
    """

    name = "local"

    def __init__(self, settings: Settings, nursery: "Nursery | None" = None) -> None:
        self._settings, self._nursery = settings, nursery
        self._layout = Layout.of(settings)

    @cached_property
    def _bus(self) -> BusClient:
        return BusClient(self._layout.controller_socket)

    @cached_property
    def store(self) -> LocalStore:
        """The records of this state root."""
        return LocalStore(self._layout, self._bus)

    @property
    def here(self) -> str:
        """See `Backend.here`."""
        return "127.0.0.1"

    async def _rouse(self, modules: Sequence[str]) -> None:
        """Start the keeper unless it runs; it begins to preload `modules` at once."""
        if self._layout.keeper_runs():
            return
        self._layout.make()
        settings: dict[str, Any] = {
            "state": str(self._layout.state),
            "linger": self._settings.linger,
            "namespaces": self._settings.namespaces,
        }
        argv = [str(self._layout.runtime), sys.executable, json.dumps(settings), ",".join(modules)]
        environment = inherited(os.environ) | self._settings.variables()
        log = self._layout.state / "keeper.log"
        code = None if self._nursery is None else await self._nursery.keeper(argv, environment, log)
        if code is None:
            code = _execute(argv, environment, log)
        if code:
            raise ControllerUnreachable(
                "The keeper could not be started", cause=f"It ended with exit code {code}.", remedy=f"See {log}."
            )

    def check(self, service: Service, asked: Options) -> Options:
        """See `Backend.check`. What instances find here is what this process finds."""
        around = asked.environment
        around.check()
        service.require(asked)
        here = {"folder": around.folder or str(Path.cwd()), "python": around.python or sys.executable}
        return asked.model_copy(update={"environment": around.model_copy(update=here)})

    async def wake(self, cluster: str | None = None, *, expect: Sequence[str] = ()) -> None:
        """See `Backend.wake`."""
        await self._rouse(expect)
        if cluster is not None:
            await self._bus.publish(cluster)

    async def allowance(self) -> Allowance:
        """See `Backend.allowance`."""
        return allowance.read(self._layout.state).within(self._settings.limits)

    async def connection(self, record: Record) -> Connection:
        """See `Backend.connection`."""
        return Connection(record.status.addresses, self.store.secrets_folder(record.name))

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `Backend.logs`."""
        return logs.read(self._layout, cluster, instance, lines=lines)

    def tail(self, cluster: str, wanted: Callable[[str], bool], *, lines: int) -> AsyncGenerator[Sequence[Line], None]:
        """See `Backend.tail`."""
        return logs.tail(self._layout, cluster, wanted, lines=lines)

    def loads(self, *, every: float) -> AsyncGenerator[Mapping[str, Mapping[str, Load]], None]:
        """See `Backend.loads`."""
        return loads.follow(self._layout, every)


def _execute(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Start a keeper, and return its exit code once it is in the background. Blocks for some 15 ms."""
    root = Path(jupyter_dodas.__file__).parent.parent
    start = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from jupyter_dodas.backends.local import keeper; keeper.main(sys.argv[1:])"
    )
    with log.open("a") as output:
        # -I -S: without site-packages it takes 12 MB instead of 18, and nothing installed there can break it.
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-c", start, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment,
            check=False,
        )
    return ended.returncode
