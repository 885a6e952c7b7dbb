"""The API server of a Kubernetes cluster, and one namespace of it: requests, streams, and what goes wrong in words.

The library brings credentials, TLS and connections. Objects stay the JSON that they are, since models of all kinds take longer to
import than a launch may last.
"""

import asyncio
import json
import os
import re
import socket
import ssl
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from jupyter_dodas.backends.kubernetes.connections import Connections
from jupyter_dodas.errors import CredentialsRefused, InvalidSetting, MissingRights, MissingSoftware, PlaceUnreachable
from jupyter_dodas.settings import Settings

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

__all__ = ["Answer", "Api", "Object"]

Object: TypeAlias = dict[str, Any]
"""An object of the API, as JSON."""

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PATIENCE: Final = 20.0
"""Seconds in which the API server must answer."""

_GROUPS: Final[Mapping[str, str]] = {
    "deployments": "apis/apps/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
}
"""Where objects are that are not of the core."""

_FORBIDDEN: Final = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[\w/]+)" in API group "(?P<group>[\w.]*)"')

_NOW: Final = frozenset({404, 409, 410, 422})
"""Statuses that callers deal with."""


@dataclass(frozen=True)
class Answer:
    """What the API server says to a request."""

    status: int
    body: Object

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.status < 300

    @property
    def message(self) -> str:
        """Why not."""
        return str(self.body.get("message", self.body.get("reason", "")))


class Api:
    """Requests to one namespace. It may be used from any loop; connections end with the loop, or with this object."""

    def __init__(self, settings: Settings) -> None:
        if find_spec("kubernetes") is None:
            raise MissingSoftware(
                "Clusters on Kubernetes need the library kubernetes, which is not installed",
                cause="The bare jupyter-dodas comes without it.",
                remedy='Run: pip install "jupyter-dodas[kubernetes]"',
            )
        self._settings = settings
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    # -- where ---------------------------------------------------------------------------------------------------------

    @cached_property
    def inside(self) -> bool:
        """Whether this process runs in a pod of the cluster, so that it reaches services by their names."""
        if self._settings.kubernetes_config is not None:
            return False  # of a cluster that somebody names, nobody knows whether it is this one
        return "KUBERNETES_SERVICE_HOST" in os.environ and (_ACCOUNT / "token").exists()

    @cached_property
    def own_address(self) -> str | None:
        """The address of this pod, which others reach it at; None outside."""
        if not self.inside:
            return None
        server = os.environ["KUBERNETES_SERVICE_HOST"]
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((server, 443))  # nothing is sent
            return str(probe.getsockname()[0])

    @cached_property
    def namespace(self) -> str:
        """The namespace: of the settings, else of the pod, else of the kubeconfig."""
        return self._settings.kubernetes_namespace or self.own_namespace or "default"

    @cached_property
    def own_namespace(self) -> str | None:
        """The namespace of this pod, or of the kubeconfig's context."""
        if self.inside:
            return (_ACCOUNT / "namespace").read_text("utf-8").strip()
        found: str | None = self._context["context"].get("namespace")
        return found

    @cached_property
    def _context(self) -> Object:
        from kubernetes.aio.config import ConfigException, list_kube_config_contexts

        try:
            contexts, current = list_kube_config_contexts(self._kubeconfig)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError, TypeError) as error:
            raise self._no_configuration(error) from error
        wanted = self._settings.kubernetes_context
        for context in contexts if wanted else [current]:
            if wanted in (None, context["name"]):
                return dict(context)
        raise self._no_configuration(LookupError(f"it has no context {wanted!r}"))

    @property
    def _kubeconfig(self) -> str:
        if self._settings.kubernetes_config is not None:
            return str(self._settings.kubernetes_config)
        return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())

    @cached_property
    def server(self) -> str:
        """What tells this cluster from others: the name of its context."""
        return "inside" if self.inside else str(self._context["name"])

    def path(self, path: str, query: Mapping[str, object] | None = None) -> str:
        """Return the path of an object or a collection of this namespace, such as ``pods/higgs-worker-1``."""
        group = _GROUPS.get(path.partition("/")[0], "api/v1")
        return f"/{group}/namespaces/{self.namespace}/{path}" + (f"?{urlencode(query)}" if query else "")

    # -- asking --------------------------------------------------------------------------------------------------------

    async def get(self, path: str, **query: object) -> Answer:
        """Read an object, or a list of them."""
        return await self.ask("GET", path, query=query)

    async def post(self, path: str, body: Object) -> Answer:
        """Make an object."""
        return await self.ask("POST", path, body)

    async def put(self, path: str, body: Object) -> Answer:
        """Replace an object; with a resourceVersion only if it is still that one."""
        return await self.ask("PUT", path, body)

    async def patch(self, path: str, body: Object) -> Answer:
        """Merge something into an object."""
        return await self.ask("PATCH", path, body, kind="application/merge-patch+json")

    async def apply(self, path: str, body: Object, manager: str) -> Answer:
        """Make an object, or have it say what this one says, whoever said otherwise; what this one leaves open stays."""
        query = {"fieldManager": manager, "force": "true"}
        return await self.ask("PATCH", path, body, query=query, kind="application/apply-patch+yaml")

    async def delete(self, path: str, **options: object) -> Answer:
        """Delete an object, with the options of the API: ``gracePeriodSeconds``, ``preconditions``."""
        return await self.ask("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def ask(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, object] | None = None,
        kind: str = "application/json",
    ) -> Answer:
        """Ask for something, and return the answer, also a refusal that callers may deal with.

        Raises
        ------
        PlaceUnreachable, MissingRights
        """
        if not path.startswith("/"):
            path = self.path(path, query)
        elif query:
            path = f"{path}?{urlencode(query)}"
        async with self._errors_in_words():
            client = (await self._connected()).client
            headers = {"Content-Type": kind, "Accept": "application/json"}
            request = await client.param_serialize(method, path, header_params=headers, body=body, auth_settings=["BearerToken"])
            response = await client.call_api(*request, _request_timeout=_PATIENCE)
            text: bytes = await response.read()  # type: ignore[no-untyped-call]
        answer = Answer(response.status, _parsed(text))
        self._check(answer)
        return answer

    async def text(self, path: str, **query: object) -> str | None:
        """Read a text, such as a log; None if there is none."""
        async with self._errors_in_words():
            client = (await self._connected()).client
            request = await client.param_serialize("GET", self.path(path, query), header_params={}, auth_settings=["BearerToken"])
            response = await client.call_api(*request, _request_timeout=_PATIENCE)
            text: bytes = await response.read()  # type: ignore[no-untyped-call]
        if response.status >= 300 and response.status != 400:
            self._check(Answer(response.status, _parsed(text)))
        return text.decode("utf-8", "replace") if response.status < 300 else None

    async def lines(self, path: str, **query: object) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an answer that goes on: of a watch, or of a log that is followed.

        Raises
        ------
        PlaceUnreachable, MissingRights
        """
        import aiohttp

        async with self._errors_in_words():
            client = (await self._connected()).client
            request = await client.param_serialize("GET", self.path(path, query), header_params={}, auth_settings=["BearerToken"])
            # A connection that is silent for longer than the server's own timeout is dead.
            endless = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=360)
            response = await client.call_api(*request, _request_timeout=endless)
            try:
                if response.status >= 300:
                    said: bytes = await response.read()  # type: ignore[no-untyped-call]
                    answer = Answer(response.status, _parsed(said))
                    self._check(answer)
                    yield json.dumps({"type": "ERROR", "object": {"code": answer.status, **answer.body}}).encode()
                    return
                async for line in response.response.content:
                    yield line
            finally:
                response.response.close()

    @asynccontextmanager
    async def websocket(self, path: str, **query: object) -> AsyncIterator[Any]:
        """Open a websocket, as forwarding of ports needs it."""
        async with self._errors_in_words():
            connections = await self._connected()
            _, url, headers, _, _ = await connections.client.param_serialize(
                "GET", self.path(path, query), header_params={}, auth_settings=["BearerToken"]
            )
            connecting = connections.session.ws_connect(
                url.replace("http", "ws", 1), headers=headers, protocols=["v4.channel.k8s.io"], max_msg_size=0
            )
            async with connecting as socket:
                try:
                    yield socket
                finally:
                    socket._response.close()  # noqa: SLF001 - at once: nobody waits for the other side to agree

    def _check(self, answer: Answer) -> None:
        if answer.ok or answer.status in _NOW:
            return
        if answer.status == 403:
            if missing := _FORBIDDEN.search(answer.message):
                raise MissingRights(missing["verb"], missing["resource"], missing["group"], self.namespace, answer.message)
            return  # by a quota or a policy: callers deal with it
        if answer.status == 401:
            raise CredentialsRefused(
                "The Kubernetes cluster does not take your credentials",
                cause=f"The API server said: {answer.message or 'Unauthorized'}. They may have expired or been revoked.",
                remedy="Sign in to it again: what makes your kubeconfig also renews it.",
            )
        raise PlaceUnreachable(
            "The Kubernetes cluster cannot do this now",
            cause=f"The API server said: {answer.status} {answer.message}",
            remedy="Try again in a moment.",
        )

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _connected(self) -> Connections:
        loop = asyncio.get_running_loop()
        async with self._turns.setdefault(loop, asyncio.Lock()):
            if loop not in self._connections:
                self._connections[loop] = await Connections.open(await self._configuration())
                weakref.finalize(self, self._connections[loop].drop).atexit = False
        return self._connections[loop]

    async def _configuration(self) -> "Configuration":
        from kubernetes.aio import config
        from kubernetes.aio.client import Configuration

        configuration = Configuration()
        try:
            if self.inside:
                config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            else:
                await config.load_kube_config(  # type: ignore[no-untyped-call]
                    self._kubeconfig, self._settings.kubernetes_context, configuration, persist_config=False
                )
        except (config.ConfigException, OSError, KeyError, TypeError, ValueError) as error:
            raise self._no_configuration(error) from error
        return configuration

    def _no_configuration(self, error: Exception) -> InvalidSetting:
        return InvalidSetting(
            "It is not known which Kubernetes cluster to use",
            cause=f"{self._kubeconfig}: {error}",
            remedy="Point KUBECONFIG at the file that your cluster's provider gives you; `kubectl get pods` should work.",
        )

    @asynccontextmanager
    async def _errors_in_words(self) -> AsyncIterator[None]:
        import aiohttp

        try:
            yield
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ssl.SSLError) as error:
            raise PlaceUnreachable(
                "The Kubernetes cluster does not answer",
                cause=str(error) or type(error).__name__,
                remedy="See that `kubectl get pods` works; what runs there goes on.",
            ) from error


def _parsed(text: bytes) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        return {"message": text.decode("utf-8", "replace").strip()}
    return found if isinstance(found, dict) else {"message": str(found)}
