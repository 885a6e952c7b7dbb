"""What handlers do with clusters, without a word of HTTP: read, launch, change, stop."""

import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import Any, Final

from jupyter_dodas import aio, registry, settings
from jupyter_dodas.aio.checking import checked
from jupyter_dodas.aio.cluster import load_of
from jupyter_dodas.aio.launching import quota_of, usually
from jupyter_dodas.backends import places
from jupyter_dodas.backends.base import Backend
from jupyter_dodas.errors import (
    ClusterFailed,
    DamagedRecord,
    DodasError,
    InvalidOption,
    NewerRecord,
    StaleGeneration,
    UnknownOption,
)
from jupyter_dodas.limits import Quota
from jupyter_dodas.settings import Limits
from jupyter_dodas.spec import ClusterSpec, Intent, Phase, Receipt, Record, check_name
from jupyter_dodas.views import (
    ClusterPatch,
    ClusterRequest,
    ClusterView,
    GroupPatch,
    KindList,
    KindView,
    LoadView,
    UsageView,
)

__all__ = ["Clusters", "patched", "written"]

_ATTEMPTS: Final = 5
_YEAR: Final = 8760 * 3600.0


class Clusters:
    """The clusters of the place that the settings name."""

    def __init__(self) -> None:
        # The last body of each record, so that a list writes out only those that have changed.
        self._written: dict[str, tuple[Record, bytes]] = {}
        # What was asked here and no controller has taken in yet.
        self._asked: dict[str, ClusterSpec] = {}

    @cached_property
    def backend(self) -> Backend:
        """Where they are; one object, since a store remembers what it has read.

        Raises
        ------
        InvalidSetting, InvalidOption
            If the configuration names none.
        """
        return places.backend(settings.load())

    async def kinds(self) -> KindList:
        """Describe what can be launched, with what a launch usually takes here, if that is known."""
        try:
            took = await usually(self.backend)
        except DodasError:
            took = {}  # what the place has to say is said where clusters are asked for
        return KindList(kinds=[KindView.of(kind).model_copy(update={"usually": took.get(kind)}) for kind in aio.kinds()])

    async def list(self) -> bytes:
        """Return a `ClusterList`, written out."""
        records = [record for record in await self.backend.store.list() if not registry.is_hidden(record.spec.kind)]
        known, self._written = self._written, {}
        for record in records:
            before = known.get(record.name)
            body = before[1] if before is not None and before[0] is record else written(record)
            self._written[record.name] = (record, body)
        return b'{"clusters":[' + b",".join(body for _, body in self._written.values()) + b"]}"

    async def get(self, name: str) -> Record:
        """Read one."""
        return await self.backend.store.get(check_name(name))

    async def held(self, name: str) -> aio.Cluster:
        """Return one as Python holds it."""
        return aio.Cluster(self.backend, await self.get(name))

    async def launch(self, request: ClusterRequest) -> Record:
        """Write a new record and return it; whether it comes up, its status tells.

        Raises
        ------
        UnknownKind, UnknownOption, InvalidOption, QuotaExceeded, AlreadyExists
        """
        checked(
            request.kind, request.options, (await self.backend.allowance()).limits
        )  # by itself, since an option could have the name of an argument
        options: dict[str, Any] = dict(request.options)
        cluster = await aio.launch(request.kind, name=request.name, wait=False, **options)
        record = await cluster.record()
        self._asked[record.name] = record.spec
        return record

    async def change(self, name: str, patch: ClusterPatch, tags: Sequence[str] | None = None) -> Record:
        """Change what is asked.

        Parameters
        ----------
        tags
            Only if the cluster is still at one of these. Without, the change is made on whatever stands there now, and made again
            if somebody else writes meanwhile.

        Raises
        ------
        StaleGeneration
            If it is at none of `tags`.
        """
        bounds = (await self.backend.allowance()).limits
        for attempt in range(_ATTEMPTS):
            record = await self.get(name)
            _check(record, tags)
            if record.status.phase is Phase.FAILED and not patch.restart:
                raise _failed(record)
            spec = patched(record.spec, patch, time.time(), bounds)
            if spec == record.spec:
                return record
            try:
                record = await self.backend.store.change(spec)
            except StaleGeneration:
                if tags is not None or attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        await self._see_to(record.spec)
        return record

    async def stop(self, name: str, tags: Sequence[str] | None = None) -> Record | None:
        """Ask for its end and return it; None if it could not be read, so that only its remains were to be removed."""
        for attempt in range(_ATTEMPTS):
            try:
                record = await self.get(name)
            except (DamagedRecord, NewerRecord):
                await self.backend.store.remove(name, "")
                await self.backend.wake(name)  # nothing may run without a record
                return None
            _check(record, tags)
            if record.spec.intent is Intent.STOP:
                break
            try:
                record = await self.backend.store.change(record.spec.model_copy(update={"intent": Intent.STOP}))
            except StaleGeneration:
                if tags is not None or attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        await self._see_to(record.spec)
        return record

    async def _see_to(self, spec: ClusterSpec) -> None:
        self._asked[spec.name] = spec
        await self.backend.wake(spec.name)

    async def remind(self, records: Mapping[str, Record]) -> None:
        """Wake a controller for what was asked here and is still not taken in: the last one may have ended just then."""
        for name, spec in list(self._asked.items()):
            record = records.get(name)
            if record is None or record.spec.uid != spec.uid or record.status.observed_generation >= spec.generation:
                del self._asked[name]
            else:
                await self.backend.wake(name)

    async def usage(self, every: float) -> AsyncGenerator[UsageView, None]:
        """Yield what the workers of all clusters use, about every so many seconds."""
        async with aclosing(self.backend.loads(every=every)) as looks:
            async for loads in looks:
                records = [record for record in await self.backend.store.list() if not registry.is_hidden(record.spec.kind)]
                found = {record.name: load_of(record, loads[record.name]) for record in records if record.name in loads}
                views = {name: LoadView(cores=round(load.cores, 3), memory=load.memory) for name, load in found.items()}
                yield UsageView(usage=views)

    async def receipts(self, uids: Collection[str]) -> Sequence[Receipt]:
        """Return what clusters took that have ended, those of the user's own work; of these uids, or of all if none is named."""
        receipts = await self.backend.store.receipts()
        return [one for one in receipts if not registry.is_hidden(one.kind) and (not uids or one.uid in uids)]

    async def quota(self) -> Quota:
        """Tell what may be held and what is held."""
        return await quota_of(self.backend)  # whose store remembers what it has read


def written(record: Record) -> bytes:
    """Return the `ClusterView` of a record, written out."""
    return ClusterView.of(record).model_dump_json(warnings=False).encode()


def patched(spec: ClusterSpec, patch: ClusterPatch, now: float, bounds: Limits | None = None) -> ClusterSpec:
    """Return a spec with a change. Pure.

    Raises
    ------
    InvalidOption, UnknownOption, QuotaExceeded
    """
    update: dict[str, Any] = {}
    if (options := _options(spec, patch)) != spec.options:
        update["options"] = checked(spec.kind, options, bounds).model_dump(mode="json")
    if "keep_until" in patch.model_fields_set:
        if patch.keep_until is not None and patch.keep_until > now + _YEAR:
            raise InvalidOption(
                f"keep_until={patch.keep_until:.0f} will not do: it is more than a year from now",
                cause="It is in Unix seconds.",
                remedy=f"Give at most {now + _YEAR:.0f}.",
                retry={"keep_until": now + _YEAR},
            )
        update["keep_until"] = patch.keep_until
    if patch.restart:
        update |= {"restarts": spec.restarts + 1, "intent": Intent.RUN}
    return spec.model_copy(update=update)


def _options(spec: ClusterSpec, patch: ClusterPatch) -> dict[str, Any]:
    options: dict[str, Any] = {**spec.options, **GroupPatch.options(patch)}
    groups: dict[str, Any] = dict(options.get("groups", {}))
    for name, change in patch.groups.items():
        if name not in groups:
            raise UnknownOption(name, f"{spec.name!r}", ["worker", *groups])
        groups[name] = {**groups[name], **change.options()}
    return {**options, "groups": groups} if patch.groups else options


def _check(record: Record, tags: Sequence[str] | None) -> None:
    if tags is not None and record.tag not in tags:
        expected = max((_generation(tag) for tag in tags), default=0)
        raise StaleGeneration(record.name, expected, record.spec.generation)


def _generation(tag: str) -> int:
    number = tag.rpartition(".")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0


def _failed(record: Record) -> ClusterFailed:
    problem = record.status.problem
    return ClusterFailed(
        f"{record.name!r} has failed" if problem is None else problem.message,
        cause="" if problem is None else problem.cause,
        remedy="Restart it, or dismiss it." if problem is None else problem.remedy,
        retry={} if problem is None else problem.retry,
    )
