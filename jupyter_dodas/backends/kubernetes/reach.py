"""How this process reaches what runs in the namespace: by names where it runs in a pod itself, else through forwarded ports."""

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jupyter_dodas.backends.base import Connection
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.forward import Forwarder
from jupyter_dodas.backends.kubernetes.store import KubernetesStore
from jupyter_dodas.services.base import Endpoint, Site
from jupyter_dodas.spec import Record

__all__ = ["Reach"]

_NAME: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _always(_: str) -> bool:
    return True


class Reach:
    """Ways to the instances of a namespace, and their secrets in files that only this user can read.

    Parameters
    ----------
    runs
        See `Forwarder`.
    """

    def __init__(self, api: Api, store: KubernetesStore, runs: Callable[[str], bool] = _always) -> None:
        self._api, self._store, self._runs = api, store, runs
        self._forwarder: Forwarder | None = None
        self._folder: Path | None = None

    async def site(self, site: Site) -> Site:
        """Return a site as it is seen from here."""
        endpoints = {name: await self._endpoint(endpoint) for name, endpoint in site.endpoints.items()}
        secrets = await self._store.secrets(site.cluster)
        return Site(site.cluster, endpoints, self._written(site.cluster, secrets), site.listen, site.endpoints, site.kept)

    async def connection(self, record: Record) -> Connection:
        """Return addresses and secrets of a cluster as they are seen from here. One that leads to no instance is left out."""
        there = {
            (i.host, number): Endpoint(i.host, {"": number})
            for i in record.status.instances.values()
            for number in i.ports.values()
            # Users can write records. What is no plain name could lead out of the namespace, or mean another host to somebody else.
            if _NAME.fullmatch(i.host)
        }
        addresses = {}
        for name, address in record.status.addresses.items():
            # Of what is no address of the web, a host and a port may be all.
            parts = urlsplit(address if "//" in address else f"//{address}")
            endpoint = there.get((parts.hostname or "", parts.port or 0))
            if endpoint is not None:
                found = parts._replace(netloc=(await self._endpoint(endpoint))[""]).geturl()
                addresses[name] = found if "//" in address else found.removeprefix("//")
        secrets = await self._store.secrets_of(record.name, record.spec.uid)
        return Connection(addresses, self._written(record.name, secrets))

    async def _endpoint(self, there: Endpoint) -> Endpoint:
        if not there.ports:
            return there
        if self._api.inside:
            near = self._api.own_namespace == self._api.namespace
            return there if near else Endpoint(f"{there.host}.{self._api.namespace}", there.ports)
        if self._forwarder is None:
            self._forwarder = Forwarder(self._api, self._runs)
            weakref.finalize(self, self._forwarder.close)
        ports = {name: await self._forwarder.port(there.host, port) for name, port in there.ports.items()}
        return Endpoint("127.0.0.1", ports)

    def _written(self, cluster: str, secrets: Mapping[str, bytes]) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dodas-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        # A successor has secrets of its own, so the folder is named after what is in it.
        folder = self._folder / f"{cluster}-{hash(tuple(sorted(secrets.items()))) & 0xFFFFFFFFFFFF:x}"
        if secrets and not folder.is_dir():
            made = Path(tempfile.mkdtemp(dir=self._folder))
            for name, data in secrets.items():
                with open(made / name, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                    file.write(data)
            made.rename(folder)
        return folder

    def close(self) -> None:
        """Forward nothing any more."""
        if self._forwarder is not None:
            self._forwarder.close()
            self._forwarder = None
