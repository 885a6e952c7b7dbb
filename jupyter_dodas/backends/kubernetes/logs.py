"""What instances wrote: of those that are there from their pods, of others what was kept when they went."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from jupyter_dodas.backends.kubernetes.api import Api, Object
from jupyter_dodas.backends.kubernetes.objects import CLUSTER, INSTANCE, PART, UID, labels, name_of, owned_by, part_of
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.errors import NotFound

__all__ = ["Logs"]

_KEPT_LINES: Final = 200
_KEPT_BYTES: Final = 16 * 2**10
_AT_ONCE: Final = 16


class Logs:
    """The logs of the clusters of a namespace."""

    def __init__(self, api: Api, store: KubernetesStore) -> None:
        self._api, self._store = api, store

    async def read(self, cluster: str, instance: str | None, *, lines: int) -> Mapping[str, str]:
        """Return the last lines of each instance, by name."""
        try:
            record = await self._store.record(cluster)
        except NotFound:
            return {}
        wanted = [pod for pod in await self.pods(record) if instance in (None, name_of(pod, INSTANCE))]
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(pod: Object) -> str:
            async with turns:
                return await self.of(pod, lines=lines)

        found = {name: text for name, text in (await self.kept(record)).items() if instance in (None, name)}
        for pod, text in zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True):
            name = name_of(pod, INSTANCE)
            found[name] = found.get(name, "") + text
        return {name: "\n".join(found[name].splitlines()[-lines:]) for name in sorted(found)}

    async def pods(self, record: Object) -> Sequence[Object]:
        """Return the pods of a cluster."""
        select = f"{CLUSTER}={name_of(record)},{UID}={name_of(record, UID)},{PART}=pod"
        found: Sequence[Object] = (await self._api.get("pods", labelSelector=select)).body.get("items", [])
        return found

    async def of(self, pod: Object, *, lines: int = _KEPT_LINES, to_the_end: bool = False) -> str:
        """Return the last lines of a pod.

        Parameters
        ----------
        to_the_end
            Whether to wait until it has said its last word.
        """
        path, query = f"pods/{pod['metadata']['name']}/log", {"tailLines": lines}
        if not to_the_end:
            return await self._api.text(path, **query) or ""
        said = [line async for line in self._api.lines(path, follow="true", **query)]
        return "" if said and said[0].startswith(b'{"type": "ERROR"') else b"".join(said).decode("utf-8", "replace")

    async def kept(self, record: Object) -> Mapping[str, str]:
        """Return what was kept of those that are gone."""
        answer = await self._api.get(f"configmaps/{self._name(record)}")
        return dict(answer.body.get("data") or {}) if answer.ok else {}

    async def keep(self, record: Object, instance: str, text: str) -> None:
        """Keep the last words of an instance for as long as the record is there."""
        text = text[-_KEPT_BYTES:]
        if not text:
            return
        cluster, uid = name_of(record), name_of(record, UID)
        thing: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name(record), "labels": labels(cluster, uid, "logs"), **owned_by(record)},
            "data": {instance: text if text.endswith("\n") else f"{text}\n"},
        }
        answer = await self._api.patch(f"configmaps/{self._name(record)}", {"data": thing["data"]})
        if answer.status == 404:
            await self._api.post("configmaps", thing)

    @staticmethod
    def _name(record: Object) -> str:
        return part_of(name_of(record), name_of(record, UID), "logs")
