"""Runs instances as pods: single ones, owned by the record, so that the one that was drained is the one that goes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jupyter_dodas.backends.base import InstanceState, Running
from jupyter_dodas.backends.hints import Hints
from jupyter_dodas.backends.kubernetes import parcel, wrapper
from jupyter_dodas.backends.kubernetes.api import Answer, Api, Object
from jupyter_dodas.backends.kubernetes.informer import Informer
from jupyter_dodas.backends.kubernetes.logs import Logs
from jupyter_dodas.backends.kubernetes.objects import GRACE, INSTANCE, MANAGED, OURS, PART, UID, belonging, name_of, pod_name
from jupyter_dodas.backends.kubernetes.patch import checked
from jupyter_dodas.backends.kubernetes.pods import FIRST_PORT, manifest, running, service
from jupyter_dodas.backends.kubernetes.reach import Reach
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.backends.kubernetes.trouble import WARNINGS, refusal
from jupyter_dodas.backends.kubernetes.volumes import Desk, claim_of
from jupyter_dodas.errors import DodasError, NotFound, NotYours, PlaceUnreachable
from jupyter_dodas.services.base import Endpoint, Instance, Site
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Problem

__all__ = ["KubernetesRunner"]

_log = logging.getLogger(__name__)

_Key = tuple[str, str]

_HANGING: Final = 10.0
"""Seconds after its grace, after which a node that does not end a pod is not waited for."""

_LAST_WORDS: Final = 5.0
"""Seconds in which a log must have come to its end."""

_STOPPING: Final = '"intent":"stop"'


class KubernetesRunner:
    """The `Runner` of a namespace. Used by the controller alone."""

    def __init__(self, api: Api, store: KubernetesStore, settings: Settings) -> None:
        self._api, self._store, self._settings = api, store, settings
        self._patch = checked(settings.kubernetes_pod)
        self._desk = Desk(settings.kubernetes_account, settings.kubernetes_home)
        self._logs = Logs(api, store)
        self._reach = Reach(api, store, self._runs)
        self._pods = Informer(api, "pods", {"labelSelector": f"{MANAGED}={OURS},{PART}=pod"}, self._changed)
        warnings = {"fieldSelector": "type=Warning,involvedObject.kind=Pod"}
        self._events = Informer(api, "events", warnings, self._warned)
        # Whose pods have gone before they were forgotten, and what was known of them last.
        self._ended: dict[_Key, tuple[str, Running]] = {}
        # Whom the API server did not let in.
        self._refused: dict[_Key, Problem] = {}
        # The last warning about a pod, by its uid.
        self._complaints: dict[str, tuple[str, str]] = {}
        # Logs of pods that are ending, read to their ends.
        self._last_words: dict[_Key, asyncio.Task[str]] = {}
        # What was made for instances, by the uid of the record.
        self._made: set[tuple[str, str]] = set()
        self._hints = Hints()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None, None]:
        """See the pods for as long as the context lasts."""
        async with self._pods.running(), self._events.running():
            try:
                yield
            finally:
                for reading in self._last_words.values():
                    reading.cancel()
                await asyncio.gather(*self._last_words.values(), return_exceptions=True)
                self._reach.close()

    @property
    def epoch(self) -> str:
        """See `Runner.epoch`. Pods outlive every controller; what ends them all ends the records too."""
        return self._api.namespace

    async def place(self, cluster: str, name: str, ports: Sequence[str]) -> Endpoint:
        """See `Runner.place`. A service of this name leads to the pod, whose own host name it is as well."""
        return Endpoint(pod_name(cluster, name), {port: FIRST_PORT + number for number, port in enumerate(ports)})

    async def secrets_folder(self, cluster: str) -> Path:
        """See `Runner.secrets_folder`."""
        return Path(wrapper.SECRETS)

    async def kept_folder(self, cluster: str) -> Path:
        """See `Runner.kept_folder`. It goes with the pod, but for those that ask for what lasts where volumes are made."""
        return Path(wrapper.KEPT)

    @property
    def listen(self) -> str:
        """See `Runner.listen`. Forwarded ports arrive at the loopback interface of a pod, others at its own."""
        return "0.0.0.0"  # noqa: S104 - of a pod, whose network is its own

    async def reach(self, site: Site) -> Site:
        """See `Runner.reach`."""
        return await self._reach.site(site)

    # -- start ---------------------------------------------------------------------------------------------------------

    async def apply(self, instance: Instance) -> None:
        """See `Runner.apply`."""
        key = (instance.cluster, instance.name)
        record = await self._store.record(instance.cluster)
        ended, pod = self._ended.get(key), self._pod(*key)
        if (ended is not None and ended[0] == name_of(record, UID)) or (pod is not None and belonging(pod, record)):
            return
        await self._send_along(instance, record)
        configured = self._settings
        pod = manifest(
            instance,
            record,
            configured.kubernetes_image,
            self._patch,
            reserve=configured.kubernetes_reserve,
            desk=self._desk,
            storage_class=configured.kubernetes_storage_class,
        )
        if instance.endpoint is not None and instance.endpoint.ports:
            await self._make_service(instance, record)
        claim = claim_of(instance, record, configured.kubernetes_storage_class)
        if claim is not None and not (answer := await self._make("persistentvolumeclaims", claim, record)).ok:
            self._not_let_in(key, answer)
            return
        answer = await self._make("pods", pod, record)
        if answer.ok:
            self._refused.pop(key, None)
            self._pods.note(answer.body)
        else:
            self._not_let_in(key, answer)

    async def _make(self, collection: str, thing: Object, record: Object) -> Answer:
        """Make an object; one that is there will do if it belongs to this record."""
        answer = await self._api.post(collection, thing)
        if answer.status == 409 and "exists" in answer.message:
            answer = await self._api.get(f"{collection}/{thing['metadata']['name']}")
            if answer.ok and not belonging(answer.body, record):
                await self._clear(answer.body)
        return answer

    def _not_let_in(self, key: _Key, answer: Answer) -> None:
        """Note why the API server does not take what somebody needs; what has gone meanwhile is no reason."""
        if answer.status == 404:
            return
        cluster, name = key
        problem = refusal(name, self._api.namespace, answer.status, answer.message)
        if self._refused.get(key) != problem:
            _log.warning("%s/%s: %s", cluster, name, answer.message, extra={"cluster": cluster})
            self._refused[key] = problem
            self._hints.tell(cluster)

    async def _send_along(self, instance: Instance, record: Object) -> None:
        """Send files and credentials that lie here and were not sent with the launch."""
        uid = name_of(record, UID)
        packs = ((parcel.FILES, instance.files), (parcel.CREDENTIALS, instance.credentials))
        for part, source in packs:
            if not source or (uid, part) in self._made:
                continue
            if not await self._store.has(record, part):
                files = parcel.credentials(source) if isinstance(source, str) else parcel.packed(source)
                await self._store.send(record, part, files)
            self._made.add((uid, part))

    async def _make_service(self, instance: Instance, record: Object) -> None:
        made = (name_of(record, UID), f"service/{instance.name}")
        if made in self._made:
            return
        thing = service(instance, record)
        answer = await self._api.post("services", thing)
        if answer.status == 409:
            there = await self._api.get(f"services/{thing['metadata']['name']}")
            if there.ok and not belonging(there.body, record):
                await self._clear(there.body)
        elif not answer.ok:
            raise PlaceUnreachable(
                f"The Kubernetes cluster does not take the address of {instance.name}",
                cause=answer.message,
                remedy="Ask your administrator, if it is a quota of services.",
            )
        self._made.add(made)

    async def _clear(self, thing: Object) -> None:
        """Remove what a predecessor of this name has left, and have it tried again; what is not ours stays."""
        name, kind = thing["metadata"]["name"], thing.get("kind", "Pod")
        if thing["metadata"].get("labels", {}).get(MANAGED) != OURS:
            raise NotYours(
                f"The namespace {self._api.namespace} has another {kind.lower()} {name}",
                cause="It was not made by jupyter-dodas, and an instance would have its name.",
                remedy="Launch the cluster under another name.",
            )
        here = {"uid": thing["metadata"]["uid"]}
        await self._api.delete(f"{kind.lower()}s/{name}", gracePeriodSeconds=0, preconditions=here)
        raise PlaceUnreachable(
            f"An older {name} is still ending", cause="It had the same name.", remedy="It is tried again by itself."
        )

    # -- look ----------------------------------------------------------------------------------------------------------

    async def observe(self, cluster: str) -> Mapping[str, Running]:
        """See `Runner.observe`."""
        uid = await self._uid(cluster)
        found = {name: ended for (of, name), (whose, ended) in self._ended.items() if of == cluster and uid in (None, whose)}
        found |= {
            name: Running(InstanceState.WAITING, trouble=why, pending=True)
            for (of, name), why in self._refused.items()
            if of == cluster
        }
        for pod in self._pods.objects.values():
            # Of a predecessor nothing is told while there is a successor: it goes by itself.
            if name_of(pod) == cluster and uid in (None, name_of(pod, UID)):
                complaint = self._complaints.get(pod["metadata"]["uid"])
                found[name_of(pod, INSTANCE)] = running(pod, complaint=complaint)
        return found

    async def _uid(self, cluster: str) -> str | None:
        try:
            return name_of(await self._store.record(cluster), UID)
        except NotFound:
            return None

    async def clusters(self) -> Collection[str]:
        """See `Runner.clusters`."""
        gone = {cluster for cluster, _ in (*self._ended, *self._refused)}
        return gone | {name_of(pod) for pod in self._pods.objects.values()}

    def _runs(self, pod: str) -> bool:
        found = self._pods.objects.get(pod)
        return found is not None and running(found).began is not None

    def _pod(self, cluster: str, name: str) -> Object | None:
        pod = self._pods.objects.get(pod_name(cluster, name))
        return pod if pod is not None and name_of(pod) == cluster else None

    # -- end -----------------------------------------------------------------------------------------------------------

    async def delete(self, cluster: str, name: str) -> None:
        """See `Runner.delete`."""
        await self._delete(cluster, name)

    async def kill(self, cluster: str, name: str) -> None:
        """See `Runner.kill`."""
        # Zero would take it off the list without a look whether it has ended; that is for nodes that do not answer.
        await self._delete(cluster, name, grace=0 if self._hangs(cluster, name) else 1)

    def _hangs(self, cluster: str, name: str) -> bool:
        pod = self._pod(cluster, name)
        due = pod["metadata"].get("deletionTimestamp") if pod is not None else None
        return due is not None and (datetime.now(UTC) - datetime.fromisoformat(due)).total_seconds() > _HANGING

    async def _delete(self, cluster: str, name: str, grace: int | None = None) -> None:
        if self._refused.pop((cluster, name), None) is not None:
            self._hints.tell(cluster)
        pod = self._pod(cluster, name)
        if pod is None or running(pod).state is InstanceState.ENDED:
            return
        if grace is None:
            # While it is pending, nobody is there yet to be polite to.
            grace = 1 if running(pod).pending else int(pod["metadata"]["annotations"][GRACE])
        ending = pod["metadata"].get("deletionGracePeriodSeconds")
        if ending is not None and grace > 0 and ending <= grace:
            return  # it was told so before
        self._hear_out(cluster, name, pod)
        here = {"uid": pod["metadata"]["uid"]}
        answer = await self._api.delete(f"pods/{pod['metadata']['name']}", gracePeriodSeconds=grace, preconditions=here)
        if answer.ok and answer.body.get("kind") == "Pod" and answer.body["metadata"].get("deletionTimestamp"):
            self._pods.note(answer.body)

    def _hear_out(self, cluster: str, name: str, pod: Object) -> None:
        """Read its log to the end: it goes with the pod."""
        if (cluster, name) not in self._last_words and running(pod).began is not None:
            reading = asyncio.create_task(self._said(pod), name=f"last words of {name}")
            self._last_words[cluster, name] = reading

    async def _said(self, pod: Object) -> str:
        try:
            return await self._logs.of(pod, to_the_end=running(pod).state is InstanceState.RUNNING)
        except DodasError as error:
            _log.info("What %s said is lost: %s", pod["metadata"]["name"], error)
            return ""

    async def forget(self, cluster: str, name: str) -> None:
        """See `Runner.forget`."""
        pod = self._pod(cluster, name)
        if pod is not None and running(pod).state is not InstanceState.ENDED:
            return
        if pod is None and (cluster, name) not in self._ended:
            return
        await self._keep_words(cluster, name, pod)
        if pod is not None:
            here = {"uid": pod["metadata"]["uid"]}
            await self._api.delete(f"pods/{pod['metadata']['name']}", gracePeriodSeconds=0, preconditions=here)
            self._pods.drop(pod)
        self._ended.pop((cluster, name), None)

    async def _keep_words(self, cluster: str, name: str, pod: Object | None) -> None:
        reading = self._last_words.pop((cluster, name), None)
        try:
            record = await self._store.record(cluster)
        except NotFound:
            record = None
        if record is None or _STOPPING in (record.get("data") or {}).get("spec.json", ""):
            if reading is not None:
                reading.cancel()
            return
        said = ""
        if reading is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    said = await reading
        elif pod is not None:
            said = await self._said(pod)
        await self._logs.keep(record, name, said)

    # -- hear ----------------------------------------------------------------------------------------------------------

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        """See `Runner.watch`."""
        return self._hints.watch()

    def _changed(self, pod: Object, gone: bool) -> None:
        if gone:
            self._complaints.pop(pod["metadata"]["uid"], None)
            self._ended[name_of(pod), name_of(pod, INSTANCE)] = name_of(pod, UID), running(pod, gone=True)
        self._hints.tell(name_of(pod))

    def _warned(self, event: Object, gone: bool) -> None:
        about = event.get("involvedObject", {})
        pod = self._pods.objects.get(about.get("name", ""))
        if gone or event.get("reason") not in WARNINGS or pod is None or pod["metadata"]["uid"] != about.get("uid"):
            return
        self._complaints[pod["metadata"]["uid"]] = (event["reason"], event.get("message", ""))
        self._hints.tell(name_of(pod))

    async def logs(self, cluster: str, instance: str | None = None, *, lines: int = 200) -> Mapping[str, str]:
        """See `Runner.logs`."""
        found = dict(await self._logs.read(cluster, instance, lines=lines))
        for (of, name), reading in self._last_words.items():
            if of == cluster and reading.done() and not reading.cancelled() and instance in (None, name) and name not in found:
                found[name] = "\n".join(reading.result().splitlines()[-lines:])
        return found
