"""An infrastructure as a server of the hub has it: asked for, held, let go. It may share it with other servers of its user."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Protocol, TypeVar

from jupyter_dodas.errors import DodasError, InfrastructureExists, InfrastructureNotFound, ProvisionerUnreachable, ProvisionFailed
from jupyter_dodas.hub.audit import Log
from jupyter_dodas.hub.grounds.base import See
from jupyter_dodas.hub.story import in_words
from jupyter_dodas.provision.views import Change, InfrastructureView, Wanted
from jupyter_dodas.spec import Phase

__all__ = ["Client", "Service", "Tenancy"]

_T = TypeVar("_T")

_WORKERS: Final = "workers"
"""The input that says how many there are, in all templates that can have more or fewer."""
_ROUNDS: Final = 5
"""How often one that has gone meanwhile is asked for again."""
_AWAY: Final = 60.0
"""Seconds for which the service may be away: the hub starts it again."""
_PAUSE: Final = 1.0
_SOON: Final = 5.0
"""Seconds that whoever cancels waits until that is noted."""
_TAKING_BACK: Final = 1800.0
"""Seconds for which something is taken back from a service that is away. After that, the service sees to it itself."""
_REPORTED: Final = 20_000
"""Letters of a log in a report."""


class Client(Protocol):
    """What is used of `Infrastructures`."""

    async def get(self, name: str, *, newer_than: int | None = None) -> InfrastructureView:
        """See `Infrastructures.get`."""

    def follow(self, name: str) -> AsyncIterator[InfrastructureView]:
        """See `Infrastructures.follow`."""

    async def kubeconfig(self, name: str) -> str:
        """See `Infrastructures.kubeconfig`."""

    async def log(self, name: str) -> str:
        """See `Infrastructures.log`."""

    async def create(self, wanted: Wanted) -> InfrastructureView:
        """See `Infrastructures.create`."""

    async def change(self, name: str, change: Change) -> InfrastructureView:
        """See `Infrastructures.change`."""

    async def delete(self, name: str) -> InfrastructureView:
        """See `Infrastructures.delete`."""

    async def hold(self, name: str, holder: str) -> None:
        """See `Infrastructures.hold`."""

    async def release(self, name: str, holder: str) -> None:
        """See `Infrastructures.release`."""


Service = Callable[[], AbstractAsyncContextManager[Client]]
"""Opens connections to the service, in the name of the user."""


class Tenancy:
    """See above.

    Parameters
    ----------
    wanted
        What is asked for, and its name.
    holder
        The server, as ``user/server``.
    """

    def __init__(self, service: Service, wanted: Wanted, holder: str, log: Log) -> None:
        self._service, self.wanted, self._holder, self._log = service, wanted, holder, log
        self._began = False  # it was not there before this server asked for it
        self._taking_back: asyncio.Task[None] | None = None

    # -- asking --------------------------------------------------------------------------------------------------------

    async def have(self, see: See) -> tuple[InfrastructureView, str]:
        """See that it is there, hold it, and return it with its kubeconfig as soon as it is ready.

        Raises
        ------
        ProvisionFailed
            With a report in its notes.
        InfrastructureExists
            If another server holds one of this name that is another.
        ProvisionerUnreachable
        """
        self._stop_taking_back()
        name = self.wanted.name
        async with self._service() as service:
            for _ in range(_ROUNDS):
                try:
                    found = await self._held(service, see)
                    if found.phase is Phase.FAILED:
                        raise await _failure(service, found)
                    return found, await _patiently(lambda: service.kubeconfig(name))
                except InfrastructureNotFound:
                    see((), ["It was deleted meanwhile, and is made anew."])
            raise ProvisionFailed(
                f"The infrastructure {name!r} is deleted again and again",
                cause="Somebody, or something, deletes it while this notebook waits for it.",
                remedy="Find out who does; start again then.",
            )

    async def _held(self, service: Client, see: See) -> InfrastructureView:
        """Return it once it is ready or has failed, held by this server."""
        name = self.wanted.name
        before = ""
        with suppress(InfrastructureNotFound):
            before = (await _patiently(lambda: service.get(name))).uid
        self._began = self._began or not before
        try:
            found = await _wholly(_patiently(lambda: service.create(self.wanted)))
        except InfrastructureExists:
            await self._make_room(service)
            found = await _wholly(_patiently(lambda: service.create(self.wanted)))
        self._began = self._began or found.uid != before
        self._log.info("%s waits for the infrastructure %s, %s", self._holder, found.name, found.uid)
        await _patiently(lambda: service.hold(name, self._holder))
        await self._resize(service, found)
        async for found in service.follow(name):
            see(found.steps, [in_words(found.problem)] if found.problem is not None else [])
            if found.wanted == "present" and found.phase in (Phase.READY, Phase.DEGRADED, Phase.FAILED):
                return found
        raise InfrastructureNotFound(name)

    async def _resize(self, service: Client, found: InfrastructureView) -> None:
        """Have it as large as was asked. While others hold it, it does not become smaller."""
        asked = self.wanted.inputs.get(_WORKERS)
        if not isinstance(asked, int) or found.workers is None or found.workers == asked:
            return
        if asked > found.workers or not [holder for holder in found.holders if holder != self._holder]:
            await _patiently(lambda: service.change(self.wanted.name, Change(workers=asked)))

    async def _make_room(self, service: Client) -> None:
        """See that one that is not what is wanted goes, if nobody needs it. It may go while the next one is made."""
        name = self.wanted.name
        found = await _patiently(lambda: service.get(name))
        if others := [holder for holder in found.holders if holder != self._holder]:
            verb = "runs" if len(others) == 1 else "run"
            error = InfrastructureExists(
                name, f"It was made with other inputs ({_inputs(found)}), and {_and(others)} {verb} on it."
            )
            error.remedy = f"Choose these inputs, or stop {_and(others)} first."
            raise error
        with suppress(InfrastructureNotFound):
            await _patiently(lambda: service.delete(name))

    # -- afterwards ----------------------------------------------------------------------------------------------------

    async def look(self) -> InfrastructureView:
        """Return it as it is now.

        Raises
        ------
        InfrastructureNotFound, ProvisionerUnreachable
        """
        async with self._service() as service:
            return await service.get(self.wanted.name)

    async def release(self) -> None:
        """Let go of it; how long it stays is for the service to say. Raises nothing."""
        self._began = False
        await self._take_back()

    async def abandon(self) -> None:
        """Let go of it, and delete it if it was begun for this server and no other holds it. Raises nothing."""
        await self._take_back()

    async def _take_back(self) -> None:
        """Begin to, and wait a moment. It goes on while the service is away."""
        self._stop_taking_back()
        self._taking_back = asyncio.ensure_future(self._taken_back())
        await asyncio.wait([self._taking_back], timeout=_SOON)

    def _stop_taking_back(self) -> None:
        if self._taking_back is not None:
            self._taking_back.cancel()
            self._taking_back = None

    async def _taken_back(self) -> None:
        name = self.wanted.name
        try:
            async with self._service() as service:
                await _patiently(lambda: service.release(name, self._holder), _TAKING_BACK)
                if self._began and not (await _patiently(lambda: service.get(name), _TAKING_BACK)).holders:
                    await _patiently(lambda: service.delete(name), _TAKING_BACK)
        except InfrastructureNotFound:
            pass
        except DodasError as error:
            self._log.warning("%s does not let go of the infrastructure %s: %s", self._holder, name, error)
            return
        self._began = False


async def _patiently(ask: Callable[[], Coroutine[Any, Any, _T]], patience: float = _AWAY) -> _T:
    """Return an answer of a service that may be away for a while."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        try:
            return await ask()
        except ProvisionerUnreachable:
            if loop.time() > until:
                raise
        await asyncio.sleep(_PAUSE)


async def _wholly(asking: Coroutine[Any, Any, _T]) -> _T:
    """Return an answer. Cancelled, it waits a moment for what is under way: else it would come true after it was taken back."""
    task = asyncio.ensure_future(asking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_SOON)
        task.cancel()
        raise


async def _failure(service: Client, found: InfrastructureView) -> ProvisionFailed:
    """Return why one has failed, with a report for whoever is to help."""
    problem = found.problem
    error = ProvisionFailed(
        problem.message if problem else f"The infrastructure {found.name!r} has failed",
        cause=problem.cause if problem else "",
        remedy=(problem.remedy if problem else "") or "Start again; if it comes back, give the report to an administrator.",
    )
    try:
        log = await service.log(found.name)
    except DodasError as missing:
        log = f"(cannot be had: {missing.message})"
    about = {
        "Infrastructure": f"{found.name} ({found.uid}, {found.identifier or 'never created'}) at {found.provisioner} {found.cloud}",
        "Template": f"{found.template}, version {found.digest[:12]}",
        "Inputs": _inputs(found),
        "Phases": ", ".join(f"{one.name} {one.ended - one.started:.0f} s" if one.ended else f"{one.name} …" for one in found.steps),
        "Problem": f"{problem.code}: {in_words(problem)}" if problem else "",
    }
    lines = [f"{what}: {said}".rstrip() for what, said in about.items() if said]
    error.add_note("\n".join([*lines, "", log[-_REPORTED:].strip()]).strip())
    return error


def _inputs(found: InfrastructureView) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(found.inputs.items())) or "none"


def _and(names: list[str]) -> str:
    return " and ".join(names)
