"""Launch clusters, and find those that are there."""

import asyncio
import getpass
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any, Final

from jupyter_dodas import limits, registry, settings, versions
from jupyter_dodas.aio.checking import checked
from jupyter_dodas.aio.cluster import Cluster, Follower
from jupyter_dodas.backends import places
from jupyter_dodas.backends.base import Backend
from jupyter_dodas.errors import (
    AlreadyExists,
    ClusterFailed,
    DamagedRecord,
    InvalidOption,
    LaunchFailed,
    NewerRecord,
    NotFound,
    TimedOut,
)
from jupyter_dodas.options import Options
from jupyter_dodas.services.base import Service
from jupyter_dodas.spec import ClusterSpec, Record, check_name

__all__ = ["connect", "kinds", "launch", "list", "quota", "quota_of", "usually"]

_REMEMBERED: Final = 20


async def launch(
    kind: str,
    *,
    name: str | None = None,
    backend: str | None = None,
    wait: bool = True,
    warm: bool = True,
    timeout: float = 300,
    follower: Follower | None = None,
    **options: Any,
) -> Cluster:
    """Launch a cluster.

    Parameters
    ----------
    kind
        What: ``dask``, ...; see `kinds`.
    name
        What to call it; by default the kind and a number.
    backend
        Where; by default what the settings say.
    wait
        Whether to return only when it is ready.
    warm
        Whether to import meanwhile what `Cluster.client` will need.
    timeout
        Seconds to wait.
    follower
        Is shown each new state while waiting.
    **options
        What the kind can be asked for.

    Raises
    ------
    UnknownKind, UnknownOption, InvalidOption, QuotaExceeded, MissingSoftware, AlreadyExists
        Before anything is started.
    LaunchFailed
        The cluster is kept, with its logs, until it is dismissed with `Cluster.stop`.
    """
    configured = settings.load()
    place = places.backend(configured, backend)
    valid = checked(kind, options, (await place.allowance()).limits)
    service = registry.service(kind)
    valid = place.check(service, valid)
    if name is not None:
        check_name(name)
        if name in service.reserved:
            raise InvalidOption(
                f"{name!r} cannot name a cluster of kind {kind!r}",
                cause="The word has another meaning in the addresses of its pages.",
                remedy=f"For example {f'my-{name}'!r}.",
                retry={"name": f"my-{name}"},
            )
    face = _face(kind)
    await place.wake(expect=service.preload)
    cluster = face(place, await _create(place, configured, kind, name, valid))
    try:
        await place.wake(cluster.name)
        if wait:
            warming = partial(_warm, face, service, valid, place.here) if warm else None
            await _see_up(cluster, warming, timeout, follower)
    except (LaunchFailed, ClusterFailed):
        raise
    except BaseException:
        # Interrupted, or timed out: what was half made is removed, and no second interrupt stops that.
        from anyio import CancelScope  # not for those who are not interrupted

        with CancelScope(shield=True):
            await _remove_half_made(cluster)
        raise
    return cluster


async def _see_up(cluster: Cluster, warm: Callable[[], None] | None, timeout: float, follower: Follower | None) -> None:
    """Wait until it is ready; meanwhile import what its client needs, unless nobody is to."""
    warming = asyncio.get_running_loop().run_in_executor(None, warm) if warm is not None else None
    await cluster.wait(timeout=timeout, follower=follower)
    if warming is not None:
        await warming


def _warm(face: type[Cluster], service: Service, asked: Options, here: str | None) -> None:
    """Do beforehand what the end of a launch and its client would wait for."""
    versions.installed(service.packages)  # it remembers them
    face.warm(asked, here)


async def _remove_half_made(cluster: Cluster) -> None:
    with suppress(NotFound, TimedOut):
        await cluster.stop(timeout=20)


async def _create(place: Backend, configured: settings.Settings, kind: str, name: str | None, options: Options) -> Record:
    def spec(name: str) -> ClusterSpec:
        return ClusterSpec(
            name=name,
            uid=uuid.uuid4().hex[:12],
            kind=kind,
            owner=getpass.getuser(),
            created=time.time(),
            session=configured.session,
            options=options.model_dump(mode="json"),
        )

    if name is not None:
        return await place.store.create(spec(name))
    taken = {record.name for record in await place.store.list()}
    number = 0
    while True:
        number += 1
        if (name := f"{kind}-{number}") in taken:
            continue
        with suppress(AlreadyExists):
            return await place.store.create(spec(name))


async def connect(name: str, *, backend: str | None = None) -> Cluster:
    """Return the cluster of this name, whoever launched it.

    Raises
    ------
    NotFound
    """
    place = places.backend(settings.load(), backend)
    check_name(name)
    try:
        record = await place.store.get(name)
    except (DamagedRecord, NewerRecord):
        # As a list shows it: it can be looked at, and stopped.
        return next(Cluster(place, record) for record in await place.store.list() if record.name == name)
    return _face(record.spec.kind)(place, record)


async def list(*, backend: str | None = None, session: str | None = None) -> Sequence[Cluster]:
    """Return every cluster of the user, by name; those of hidden kinds are left out.

    Parameters
    ----------
    session
        Only those launched through this platform.
    """
    place = places.backend(settings.load(), backend)
    records = await place.store.list()
    return [_face(r.spec.kind)(place, r) for r in _shown(records) if session is None or r.spec.session == session]


def kinds() -> Mapping[str, str]:
    """Return every kind that can be launched, with a sentence about it."""
    services = {kind: registry.service(kind) for kind in registry.kinds()}
    return {kind: service.summary for kind, service in services.items() if not service.hidden}


async def quota(*, backend: str | None = None) -> limits.Quota:
    """Return what may be used and what is used."""
    return await quota_of(places.backend(settings.load(), backend))


async def quota_of(place: Backend) -> limits.Quota:
    """Return what may be used and what is used at a place."""
    allowance = await place.allowance()
    used = sum((limits.held(record.status) for record in _shown(await place.store.list())), limits.NOTHING)
    return limits.Quota(allowance.limits, used, allowance.enforced, allowance.groups)


async def usually(place: Backend) -> Mapping[str, float]:
    """Return the seconds that a launch of each kind usually takes, as the median of the last ones that went well."""
    took: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
    for receipt in await place.store.receipts():
        if receipt.steps and receipt.outcome != "failed":
            took[receipt.kind].append(max(receipt.steps.values()))  # all of them are counted from the beginning
    return {kind: median(seconds) for kind, seconds in took.items()}


def _shown(records: Sequence[Record]) -> Sequence[Record]:
    return [record for record in records if not registry.is_hidden(record.spec.kind)]


def _face(kind: str) -> type[Cluster]:
    return registry.face(kind) or Cluster
