"""A cluster as its user holds it."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from logging import getLogger
from typing import Any, Final, Self, TypeAlias

from pydantic import JsonValue

from jupyter_dodas import blocking, registry, settings, versions
from jupyter_dodas.aio.checking import checked
from jupyter_dodas.backends.base import Backend, Connection, Line, Load
from jupyter_dodas.display import cells
from jupyter_dodas.errors import (
    ClusterFailed,
    DamagedRecord,
    InvalidOption,
    LaunchFailed,
    NewerRecord,
    NotFound,
    NotSupported,
    StaleGeneration,
    TimedOut,
    UnknownOption,
)
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.work import Observer
from jupyter_dodas.spec import ClusterSpec, Condition, Intent, Phase, Problem, Receipt, Record

__all__ = ["Cluster", "Connection", "Follower", "Load", "load_of"]

Follower: TypeAlias = Callable[[Record], None]
"""Is shown each new state of a cluster that somebody waits for."""

_ATTEMPTS: Final = 5
_GLANCE: Final = 0.5
_PAUSE: Final = 0.05

logger = getLogger(__name__)


class Cluster:
    """A cluster, held by its name. It keeps nothing: what it tells it has just read, and closing it closes nothing.

    A kind's own verbs are in a subclass of this. A verb that must run in the caller's own thread when used from blocking code has
    a twin with the prefix ``blocking_``.
    """

    def __init__(self, backend: Backend, record: Record) -> None:
        self._backend = backend
        self._uid = record.spec.uid
        self._compared = False
        self.name = record.name
        self.kind = record.spec.kind

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(NotFound):
            await self.stop()

    async def record(self) -> Record:
        """Read what was asked and what is.

        Raises
        ------
        NotFound
            If it has stopped.
        """
        record = await self._backend.store.get(self.name)
        if record.spec.uid != self._uid:
            raise NotFound(self.name)
        return record

    async def phase(self) -> Phase:
        """Tell where it is in its life; a cluster that is gone has stopped."""
        try:
            return (await self.record()).status.phase
        except NotFound:
            return Phase.STOPPED

    async def scale(self, workers: int, group: str = "worker") -> None:
        """Ask for a number of workers, and no longer for adapting.

        Parameters
        ----------
        group
            Which workers, if the cluster has several groups.

        Raises
        ------
        InvalidOption, QuotaExceeded, ClusterFailed
        """
        await self._change_group(group, {"workers": workers, "adapt": None})

    async def adapt(self, minimum: int, maximum: int, group: str = "worker") -> None:
        """Let the number of workers follow the work.

        Raises
        ------
        InvalidOption, QuotaExceeded, ClusterFailed
        """
        await self._change_group(group, {"adapt": [minimum, maximum]})

    async def keep(self, *, hours: float) -> None:
        """Do not stop it for idleness before `hours` from now.

        Raises
        ------
        InvalidOption
            If the number is not between 0 and 8760.
        """
        if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 <= hours <= 8760:
            raise InvalidOption(f"hours={hours!r} will not do", cause="A number between 0 and 8760 (a year) is needed.", remedy="")
        until = time.time() + hours * 3600
        await self._change(lambda spec: spec.model_copy(update={"keep_until": until}))

    async def restart(self, *, wait: bool = True, timeout: float = 300, follower: Follower | None = None) -> None:
        """End all that runs of it and start it again, with the options that it has; also after a failure.

        Parameters
        ----------
        wait
            Whether to return only when it is ready again.
        timeout
            Seconds to wait until it is ready.
        follower
            Is shown each new state while waiting.
        """
        await self._change(
            lambda spec: spec.model_copy(update={"restarts": spec.restarts + 1, "intent": Intent.RUN}), failed_too=True
        )
        if wait:
            await self.wait(timeout=timeout, follower=follower)

    async def stop(self, *, timeout: float = 60) -> Receipt | None:
        """End it, and forget it: its name is free again. Returns what it took, also if it had ended before; None if nobody knows.

        Parameters
        ----------
        timeout
            Seconds to wait until it is gone.
        """
        await self._settle()
        try:
            await self._change(lambda spec: spec.model_copy(update={"intent": Intent.STOP}), failed_too=True)
            async with self._deadline(timeout, "be gone"), aclosing(self.follow()) as states:
                async for _ in states:
                    pass
        except NotFound:
            pass  # it was gone, or went between two looks
        except (DamagedRecord, NewerRecord):
            await self._backend.store.remove(self.name, "")
            await self._backend.wake(self.name)  # nothing may run without a record
            return None
        receipts = await self._backend.store.receipts()
        return next((receipt for receipt in reversed(receipts) if receipt.uid == self._uid), None)

    def _may_show_work(self) -> bool:
        """Whether somebody would see what is given to `_show_work`."""
        return cells.in_notebook() and settings.load().progress

    def _show_work(self, observer: Observer) -> None:
        """Show, below the cells of this notebook, what this cluster does for a client."""
        cells.observe(observer, self.name, self._uid)

    async def _settle(self) -> None:
        """Take a last look at what it does, before it stops and nobody can tell."""
        await asyncio.to_thread(cells.settle, self._uid)

    async def wait(self, *, timeout: float = 300, follower: Follower | None = None) -> None:
        """Wait until it is ready, with all workers that were asked for.

        Raises
        ------
        LaunchFailed, ClusterFailed
            With the cause, as soon as it has failed.
        TimedOut
        NotFound
            If it was stopped meanwhile.
        """
        async with self._deadline(timeout, "be ready"), aclosing(self.follow()) as states:
            async for record in states:
                if follower is not None:
                    follower(record)
                status = record.status
                caught_up = status.observed_generation >= record.spec.generation and status.restarts == record.spec.restarts
                if status.phase is Phase.FAILED and (caught_up or status.observed_generation == 0):
                    raise _failure(record)
                if status.phase is Phase.READY and caught_up and _complete(record):
                    return self._compare(record)
        raise NotFound(self.name)

    async def follow(self) -> AsyncGenerator[Record, None]:
        """Yield its state now, and whenever it has changed, until it is gone."""
        async with self._backend.store.watch() as hints:
            last: Record | None = None
            try:
                last = await self.record()
                yield last
                async for hint in hints:
                    if hint not in ("", self.name):
                        continue
                    record = await self.record()
                    if hint == "" and _is_waited_for(record):
                        await self._backend.wake()  # in case whoever is to serve it has ended
                    if record != last:
                        last = record
                        yield record
            except NotFound:
                if last is None:
                    raise

    async def logs(self, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """Return the last lines of what its instances wrote, by their names.

        Parameters
        ----------
        instance
            One instance, ``worker-2``, or all of a role or group, ``worker``; None for all.
        lines
            At most so many of each.
        """
        found = await self._backend.logs(self.name, lines=lines)
        return {name: text for name, text in found.items() if _is_of(name, instance)}

    async def tail(self, instance: str | None = None, *, lines: int = 200) -> AsyncGenerator[Sequence[Line], None]:
        """Yield the last lines of what its instances wrote, then what is new, until it is gone: pairs of an instance and a line.

        Parameters
        ----------
        instance, lines
            See `logs`; `lines` are those to begin with.
        """
        async with aclosing(self._backend.tail(self.name, lambda name: _is_of(name, instance), lines=lines)) as said:
            async for new in said:
                yield new

    async def usage(self) -> Load | None:
        """Measure for half a second what its workers use: cores that compute, and memory. None where nobody can tell."""
        async with aclosing(self._backend.loads(every=_GLANCE)) as looks:
            async for loads in looks:
                return load_of(await self.record(), loads.get(self.name, {}))
        return None

    async def connection(self) -> Connection:
        """Return what a client needs to reach it.

        Raises
        ------
        ClusterFailed
            If there is nothing to reach.
        """
        return await self._connection_of(await self.record())

    async def _connection_of(self, record: Record) -> Connection:
        if not record.status.addresses:
            raise _failure(record) if record.status.phase is Phase.FAILED else _not_up(record)
        self._compare(record)
        return await self._backend.connection(record)

    def connection_now(self) -> Connection:
        """See `connection`; blocks."""
        return blocking.run(self.connection)

    async def surroundings(self) -> Mapping[str, str]:
        """Return the variables of a shell in which the own tools of its kind work on it.

        None is a secret. Files that they name last as long as this process.
        """
        return {"DODAS_CLUSTER": self.name}

    async def client(self) -> Any:
        """Return the object that this kind's community works with.

        Raises
        ------
        NotSupported
            If this kind has none.
        """
        raise self._no_client()

    def blocking_client(self) -> Any:
        """See `client`; for blocking code."""
        raise self._no_client()

    def _no_client(self) -> NotSupported:
        return NotSupported(
            f"A cluster of kind {self.kind!r} has no client", cause="", remedy="Its addresses are in .connection()."
        )

    @classmethod
    def warm(cls, asked: Options, here: str | None) -> None:
        """Import what `client` of a cluster with these options will need; called in a thread while a launch waits.

        Parameters
        ----------
        here
            The address at which instances reach this process; None if they cannot.
        """

    def _compare(self, record: Record) -> None:
        """Warn, once, if its workers have other versions than this process."""
        there = record.status.versions
        if self._compared or not there:
            return
        self._compared = True
        here = versions.installed(registry.service(self.kind).packages)
        if found := versions.differences(there, here):
            words = "%s has other versions than this process: %s. What is sent between them may not be understood.\nhint: %s"
            logger.warning(words, self.name, ", ".join(found), versions.remedy(there, here))

    def _deadline(self, timeout: float, what: str) -> "_Deadline":
        return _Deadline(timeout, self.name, what)

    async def _change_group(self, group: str, change: Mapping[str, JsonValue]) -> None:
        """Change the options of a group, checked as a launch checks them."""
        bounds = (await self._backend.allowance()).limits

        def change_it(spec: ClusterSpec) -> ClusterSpec:
            options: dict[str, Any] = dict(spec.options)
            if group == "worker":
                options |= change
            elif group in (groups := dict(options.get("groups", {}))):
                options["groups"] = {**groups, group: {**groups[group], **change}}
            else:
                raise UnknownOption(group, f"{self.name!r}", ["worker", *groups])
            valid = checked(spec.kind, options, bounds)
            return spec.model_copy(update={"options": valid.model_dump(mode="json")})

        await self._change(change_it)

    async def _change(self, change: Callable[[ClusterSpec], ClusterSpec], *, failed_too: bool = False) -> None:
        """Write a change of the spec; look again and repeat it if somebody else wrote meanwhile."""
        for attempt in range(_ATTEMPTS):
            record = await self.record()
            if record.status.phase is Phase.FAILED and not failed_too:
                raise _failure(record)
            try:
                await self._backend.store.change(change(record.spec))
            except StaleGeneration:
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311 - so that two do not meet again
            else:
                return await self._backend.wake(self.name)
        return None


class _Deadline:
    """A timeout that says what did not happen."""

    def __init__(self, seconds: float, name: str, what: str) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._seconds, self._name, self._what = seconds, name, what

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exception: Any) -> None:
        try:
            await self._timeout.__aexit__(*exception)
        except TimeoutError as error:
            raise TimedOut(
                f"{self._name!r} did not come to {self._what} within {self._seconds:g} s",
                cause="It goes on by itself; only the waiting has ended.",
                remedy=f"`dodas show {self._name}` tells where it is.",
            ) from error


def load_of(record: Record, loads: Mapping[str, Load]) -> Load:
    """Add up what the workers of a cluster use, as `limits.held` adds up what they hold."""
    workers = (name for name, instance in record.status.instances.items() if instance.group is not None)
    return sum((loads[name] for name in workers if name in loads), Load())


def _is_of(name: str, instance: str | None) -> bool:
    """Whether an instance is the one that is asked for, or of the role or group."""
    return instance is None or name == instance or name.rpartition("-")[0] == instance


def _is_waited_for(record: Record) -> bool:
    """Whether a controller has something to do for it; a failed cluster needs nobody."""
    spec, status = record.spec, record.status
    return status.phase is not Phase.FAILED or spec.intent is Intent.STOP or spec.restarts != status.restarts


def _complete(record: Record) -> bool:
    """Whether every group has what was asked for, and nobody is on the way out."""
    service = registry.service(record.spec.kind)
    groups = validate(service.Options, record.spec.kind, record.spec.options).all_groups()
    for group, options in groups.items():
        own = [i for i in record.status.instances.values() if i.group == group]
        ready = sum(i.condition is Condition.READY for i in own)
        if ready != len(own) or ready < options.bounds()[0]:
            return False
        if options.adapt is None and ready != options.workers:
            return False
    return True


def _failure(record: Record) -> LaunchFailed | ClusterFailed:
    problem = record.status.problem or Problem(code="cluster-failed", message=f"{record.name!r} has failed")
    kind = LaunchFailed if record.status.ready_at is None else ClusterFailed
    return kind(problem.message, cause=problem.cause, remedy=problem.remedy, retry=problem.retry)


def _not_up(record: Record) -> ClusterFailed:
    return ClusterFailed(
        f"{record.name!r} is {record.status.phase} and cannot be reached yet",
        cause=record.status.problem.message if record.status.problem else "",
        remedy=f'Wait for it: dodas.connect("{record.name}").wait().',
    )
