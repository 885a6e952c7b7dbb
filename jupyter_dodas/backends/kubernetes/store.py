"""Records as ConfigMaps: one for what was asked, which owns everything of the cluster, and one for what is.

Two objects, so that the controller's writes and a user's never meet. Deleting the first deletes all that there is of a cluster. A
history of receipts is kept in a third, which belongs to the namespace.
"""

import asyncio
import json
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from jupyter_dodas.backends.hints import Hints
from jupyter_dodas.backends.kubernetes import parcel
from jupyter_dodas.backends.kubernetes.api import Answer, Api, Object
from jupyter_dodas.backends.kubernetes.informer import Informer
from jupyter_dodas.backends.kubernetes.objects import (
    ACCOUNTS,
    CLUSTER,
    MANAGED,
    OURS,
    OWNER,
    PART,
    UID,
    labels,
    name_of,
    owned_by,
    part_of,
    record_name,
    secret_name,
    value,
)
from jupyter_dodas.backends.records import parse_receipts, read, unreadable
from jupyter_dodas.errors import (
    AlreadyExists,
    DodasError,
    InvalidSetting,
    NotFound,
    NotYours,
    PlaceUnreachable,
    StaleGeneration,
    StoreFull,
)
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Receipt, Record

__all__ = ["KubernetesStore"]

_RECORD, _STATUS = "record", "status"
_SPEC_KEY, _STATUS_KEY, _RECEIPTS_KEY = "spec.json", "status.json", "receipts.jsonl"

_SHARED: Final = "jupyter-dodas/shared"
"""The annotation of a namespace of people who trust each other with all that they have in it."""

_REMEMBERED: Final = 500
"""Receipts that are kept; some 300 bytes each, in an object of at most a megabyte."""

_ATTEMPTS: Final = 20
_LARGEST: Final = 2**20


class KubernetesStore:
    """The `Store` of a namespace.

    Parameters
    ----------
    tick
        Seconds after which watchers are told to look at everything, since the controller may have died; None for never.
    """

    def __init__(self, api: Api, *, tick: float | None = 5.0) -> None:
        self._api, self._tick = api, tick
        select = {"labelSelector": f"{MANAGED}={OURS},{PART} in ({_RECORD},{_STATUS})"}
        self._informer = Informer(api, "configmaps", select, self._changed)
        self._hints = Hints()
        # What has been read or written, by uid; secrets never change.
        self._secrets: dict[str, Mapping[str, bytes]] = {}

    # -- records -------------------------------------------------------------------------------------------------------

    async def create(self, spec: ClusterSpec) -> Record:
        """See `Store.create`."""
        await self._refuse_strangers(spec.owner)
        spec = spec.model_copy(update={"place": self._api.namespace})
        packed = parcel.of_options(spec.options)
        thing: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": record_name(spec.name),
                "labels": labels(spec.name, spec.uid, _RECORD, **{OWNER: value(spec.owner)}),
            },
            "data": {_SPEC_KEY: spec.model_dump_json()},
        }
        answer = await self._api.post("configmaps", thing)
        if answer.status == 409:
            raise AlreadyExists(spec.name)
        self._informer.note(self._done(answer))
        try:
            for part, files in packed.items():
                await self.send(answer.body, part, files)
        except BaseException:
            await self.remove(spec.name, spec.uid)
            raise
        return Record(spec=spec, status=ClusterStatus(uid=spec.uid))

    async def _refuse_strangers(self, owner: str) -> None:
        """A namespace is one trust domain: whoever may make pods in it reaches all that is in it."""
        select = f"{MANAGED}={OURS},{PART}={_RECORD},{OWNER}!={value(owner)}"
        found = self._done(await self._api.get("configmaps", labelSelector=select, limit=1))["items"]
        if not found:
            return
        namespace = await self._api.ask("GET", f"/api/v1/namespaces/{self._api.namespace}")
        if (namespace.body.get("metadata", {}).get("annotations") or {}).get(_SHARED) != "true":
            raise NotYours(
                f"The namespace {self._api.namespace} is used by somebody else",
                cause=f"{name_of(found[0])!r} belongs to {name_of(found[0], OWNER)}. Whoever may run pods in a namespace reaches "
                "everything in it, so people who do not trust each other must not share one.",
                remedy=f"Use a namespace of your own; for a group: kubectl annotate namespace {self._api.namespace} {_SHARED}=true",
            )

    async def get(self, name: str) -> Record:
        """See `Store.get`."""
        found = await self._all(name)
        if (thing := found.get(record_name(name))) is None:
            raise NotFound(name, self._names(await self._all()))
        return self._parsed(name, thing, found.get(part_of(name, name_of(thing, UID), _STATUS)))

    async def list(self) -> Sequence[Record]:
        """See `Store.list`. A record that cannot be read is listed as failed, with the reason."""
        found = await self._all()
        records = sorted((thing for thing in found.values() if name_of(thing, PART) == _RECORD), key=name_of)
        return [self._parsed_or_explained(thing, found) for thing in records]

    async def change(self, spec: ClusterSpec) -> Record:
        """See `Store.change`."""
        for _ in range(_ATTEMPTS):
            found = self._done(await self._api.get(f"configmaps/{record_name(spec.name)}"), spec.name)
            if name_of(found, UID) != spec.uid:
                raise NotFound(spec.name)
            before = read(found["data"][_SPEC_KEY], spec.name, self._where(found), ClusterSpec)
            if before.generation != spec.generation:
                raise StaleGeneration(spec.name, spec.generation, before.generation)
            changed = spec.model_copy(update={"generation": spec.generation + 1, "place": self._api.namespace})
            answer = await self._api.put(
                f"configmaps/{record_name(spec.name)}", {**found, "data": {_SPEC_KEY: changed.model_dump_json()}}
            )
            if answer.status == 409:
                continue  # somebody was quicker; whose generation it is now, the next look tells
            self._informer.note(self._done(answer, spec.name))
            return Record(spec=changed, status=await self._status(spec.name, spec.uid))
        raise StaleGeneration(spec.name, spec.generation, spec.generation)

    async def report(self, name: str, status: ClusterStatus) -> None:
        """See `Store.report`."""
        record = await self._record(name)
        if name_of(record, UID) != status.uid:
            raise NotFound(name)
        thing: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": part_of(name, status.uid, _STATUS),
                "labels": labels(name, status.uid, _STATUS),
                **owned_by(record),
            },
            "data": {_STATUS_KEY: status.model_dump_json()},
        }
        self._informer.note(self._done(await self._replace("configmaps", thing), name))

    async def remove(self, name: str, uid: str) -> None:
        """See `Store.remove`. What the record owns goes with it."""
        answer = await self._api.get(f"configmaps/{record_name(name)}")
        if not answer.ok or (uid and name_of(answer.body, UID) != uid):
            return
        here = {"uid": answer.body["metadata"]["uid"]}
        await self._api.delete(f"configmaps/{record_name(name)}", preconditions=here, propagationPolicy="Background")
        self._secrets.pop(uid, None)
        self._informer.drop(answer.body)

    async def record(self, name: str) -> Object:
        """Return the object that owns all else of a cluster. `NotFound`."""
        return await self._record(name)

    # -- secrets and accounts ------------------------------------------------------------------------------------------

    async def keep_secrets(self, name: str, secrets: Mapping[str, bytes]) -> None:
        """See `Store.keep_secrets`."""
        record = await self._record(name)
        await self.send(record, "secrets", secrets)
        self._secrets[name_of(record, UID)] = dict(secrets)

    async def has(self, record: Object, part: str) -> bool:
        """Whether a part of a cluster's secrets is there."""
        return (await self._api.get(f"secrets/{part_of(name_of(record), name_of(record, UID), part)}")).ok

    async def send(self, record: Object, part: str, files: Mapping[str, bytes]) -> None:
        """Store a part of a cluster's secrets, as files of one Secret."""
        name, uid = name_of(record), name_of(record, UID)
        thing: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": part_of(name, uid, part), "labels": labels(name, uid, part), **owned_by(record)},
            "data": {file: b64encode(data).decode() for file, data in files.items()},
        }
        self._done(await self._keep(thing), name)

    async def _keep(self, secret: Object) -> Answer:
        answer = await self._api.post("secrets", secret)
        return await self._api.put(f"secrets/{secret['metadata']['name']}", secret) if answer.status == 409 else answer

    async def secrets(self, name: str) -> Mapping[str, bytes]:
        """See `Store.secrets`."""
        try:
            return await self.secrets_of(name, name_of(await self._record(name), UID))
        except NotFound:
            return {}

    async def secrets_of(self, name: str, uid: str) -> Mapping[str, bytes]:
        """Return the secrets of one life of a cluster; empty before there are any."""
        if uid not in self._secrets:
            answer = await self._api.get(f"secrets/{part_of(name, uid, 'secrets')}")
            if not answer.ok:
                return {}
            self._secrets[uid] = {file: b64decode(data) for file, data in answer.body.get("data", {}).items()}
        return self._secrets[uid]

    async def entrust(self, name: str, secret: bytes) -> None:
        """See `Store.entrust`. It is emptied and never deleted, which nobody may: that it is there tells pods to expect one."""
        data = {name: b64encode(secret).decode()}
        thing: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret_name(name)}, "data": data}
        self._done(await self._keep(thing))

    async def entrusted(self, name: str) -> bytes:
        """See `Store.entrusted`."""
        answer = await self._api.get(f"secrets/{secret_name(name)}")
        if answer.status == 404:
            return b""
        return b64decode((self._done(answer).get("data") or {}).get(name, ""))

    async def account(self, receipt: Receipt) -> None:
        """See `Store.account`. Only the latest are kept."""
        for _ in range(_ATTEMPTS):
            answer = await self._api.get(f"configmaps/{ACCOUNTS}")
            thing: Object = answer.body
            if not answer.ok:
                thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ACCOUNTS}}
            kept = {one.uid: one for one in parse_receipts(_lines(thing))} | {receipt.uid: receipt}
            text = "".join(f"{one.model_dump_json()}\n" for one in list(kept.values())[-_REMEMBERED:])
            thing = {**thing, "data": {_RECEIPTS_KEY: text}}
            path = f"configmaps/{ACCOUNTS}"
            answer = await (self._api.put(path, thing) if answer.ok else self._api.post("configmaps", thing))
            if answer.status != 409:
                self._done(answer)
                return
        raise PlaceUnreachable("The accounts cannot be written", cause="Others write all the time.", remedy="Try again.")

    async def receipts(self) -> Sequence[Receipt]:
        """See `Store.receipts`."""
        answer = await self._api.get(f"configmaps/{ACCOUNTS}")
        return parse_receipts(_lines(answer.body)) if answer.ok else []

    # -- hints ---------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[AsyncIterator[str], None]:
        """See `Store.watch`."""
        async with self._informer.running():
            with self._hints.queue() as queue:
                heard = self._names_heard(queue)
                try:
                    yield heard
                finally:
                    await heard.aclose()

    async def _names_heard(self, queue: asyncio.Queue[str]) -> AsyncGenerator[str, None]:
        while True:
            try:
                async with asyncio.timeout(self._tick):
                    name = await queue.get()
            except TimeoutError:
                name = ""
            if self._informer.error is not None and not self._informer.error.retryable:
                raise self._informer.error
            yield name

    def _changed(self, thing: Object, _gone: bool) -> None:
        self._hints.tell(name_of(thing))

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _record(self, name: str) -> Object:
        if self._informer.live:
            if (known := self._informer.objects.get(record_name(name))) is None:
                raise NotFound(name, self._names(self._informer.objects))
            return known
        answer = await self._api.get(f"configmaps/{record_name(name)}")
        if answer.status == 404:
            raise NotFound(name, self._names(await self._all()))
        return self._done(answer, name)

    async def _all(self, name: str | None = None) -> Mapping[str, Object]:
        """Return all records and statuses, or those of one name, by the names of the objects."""
        if self._informer.live:
            return self._informer.objects
        select = f"{MANAGED}={OURS},{PART} in ({_RECORD},{_STATUS})" + (f",{CLUSTER}={name}" if name else "")
        found = self._done(await self._api.get("configmaps", labelSelector=select))
        return {thing["metadata"]["name"]: thing for thing in found["items"]}

    @staticmethod
    def _names(found: Mapping[str, Object]) -> Sequence[str]:
        return [name_of(thing) for thing in found.values() if name_of(thing, PART) == _RECORD]

    async def _status(self, name: str, uid: str) -> ClusterStatus:
        if self._informer.live:
            found = self._informer.objects.get(part_of(name, uid, _STATUS))
        else:
            answer = await self._api.get(f"configmaps/{part_of(name, uid, _STATUS)}")
            found = answer.body if answer.ok else None
        return self._read_status(name, uid, found)

    def _read_status(self, name: str, uid: str, status: Object | None) -> ClusterStatus:
        if status is None:
            return ClusterStatus(uid=uid)
        return read((status.get("data") or {}).get(_STATUS_KEY, ""), name, self._where(status), ClusterStatus)

    def _parsed(self, name: str, record: Object, status: Object | None) -> Record:
        spec = read((record.get("data") or {}).get(_SPEC_KEY, ""), name, self._where(record), ClusterSpec)
        return Record(spec=spec, status=self._read_status(name, spec.uid, status))

    def _parsed_or_explained(self, record: Object, found: Mapping[str, Object]) -> Record:
        name = name_of(record)
        try:
            return self._parsed(name, record, found.get(part_of(name, name_of(record, UID), _STATUS)))
        except DodasError as error:
            made = datetime.fromisoformat(record["metadata"].get("creationTimestamp", "1970-01-01T00:00:00Z"))
            return unreadable(name, error, min(made.timestamp(), time.time()))

    def _where(self, thing: Object) -> str:
        return f"ConfigMap {thing['metadata']['name']} in {self._api.namespace}"

    # -- writing -------------------------------------------------------------------------------------------------------

    async def _replace(self, collection: str, thing: Object) -> Answer:
        """Write an object, whatever stands there; it is made if it is not there."""
        path = f"{collection}/{thing['metadata']['name']}"
        if self._informer.live and thing["metadata"]["name"] not in self._informer.objects:
            answer = await self._api.post(collection, thing)
            return await self._api.put(path, thing) if answer.status == 409 else answer
        answer = await self._api.put(path, thing)
        return await self._api.post(collection, thing) if answer.status == 404 else answer

    def _done(self, answer: Answer, name: str = "") -> Object:
        """Return what was made or read, or say why it was not."""
        if answer.ok:
            return answer.body
        if answer.status == 404 and name:
            raise NotFound(name)
        if "being terminated" in answer.message or answer.message.startswith("namespaces "):
            raise InvalidSetting(
                f"The namespace {self._api.namespace} cannot be used",
                cause=f"The API server said: {answer.message}",
                remedy="Name another one: DODAS_KUBERNETES_NAMESPACE, or the setting kubernetes_namespace.",
            )
        size = len(json.dumps(answer.body))
        if answer.status == 403 or (answer.status == 422 and "Too long" in answer.message) or size > _LARGEST:
            raise StoreFull(
                f"There is no room for a record in the namespace {self._api.namespace}",
                cause=answer.message,
                remedy="Stop clusters that you do not need, or ask the administrator of the namespace for more.",
            )
        raise PlaceUnreachable(
            "The Kubernetes cluster does not take a record", cause=f"{answer.status}: {answer.message}", remedy="Try again."
        )


def _lines(thing: Object) -> Sequence[str]:
    text: str = (thing.get("data") or {}).get(_RECEIPTS_KEY, "")
    return text.splitlines()
