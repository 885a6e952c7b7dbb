"""TFaaS as a kind of cluster: one server behind one address, and replicas that join it and compute.

The controller and every client import this module, so nothing heavy is imported with it.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.options import GroupOptions, validate
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.base import Endpoint, Instance, Link, Role, Service, Site
from jupyter_dodas.services.flags import flags
from jupyter_dodas.services.link import ReportingLink
from jupyter_dodas.services.tfaas.options import TfaasOptions
from jupyter_dodas.spec import ClusterSpec

__all__ = ["TOKEN", "TfaasService"]

TOKEN: Final = "page.token"  # noqa: S105 - the name of a file
"""The endpoint's own token: it opens the page, and may do everything."""

_SERVER: Final = "jupyter_dodas.inference"
_REPLICA: Final = "jupyter_dodas.inference.replicas.replica"
_LIBRARIES: Final = ("ai_edge_litert", "cryptography", "msgspec", "onnxruntime", "starlette", "uvicorn")

_GRACE: Final = 5.0
_NOTICE: Final = 25.0
"""Seconds, so that with its grace a replica has the half minute that nodes are emptied with by default."""


class TfaasService(Service):
    """See `Service`."""

    kind: ClassVar[str] = "tfaas"
    title: ClassVar[str] = "TFaaS"
    summary: ClassVar[str] = "An address that predicts with models which are uploaded from a notebook."
    worker: ClassVar[str] = "replica"
    snippet: ClassVar[str] = "cluster.models()"
    preload: ClassVar[tuple[str, ...]] = (_SERVER, "jupyter_dodas.inference.command", _REPLICA)
    image: ClassVar[str] = "tfaas"
    panel: ClassVar[str] = "models"
    verbs: ClassVar[frozenset[str]] = frozenset({"page"})
    Options: ClassVar[type[CommonOptions]] = TfaasOptions

    def roles(self, asked: CommonOptions) -> tuple[Role, ...]:
        """Return the server and the replicas, to be started together: a replica waits for its server."""
        return (
            Role("server", ports=("http", "workers", "control"), step="Server answers"),
            Role("replica", scaled=True, step="Replicas join"),
        )

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe the server or a replica."""
        options = validate(TfaasOptions, self.kind, spec.options)
        if role.name == "server":
            endpoint = site.endpoints[name]
            return Instance(
                name=name,
                cluster=spec.name,
                role=role.name,
                command=("python", "-m", _SERVER, *flags(_server(endpoint, site, options))),
                endpoint=endpoint,
                grace=_GRACE,
            )
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            group=name.rpartition("-")[0],
            command=("python", "-m", _REPLICA, *flags(_replica(name, site))),
            variables=dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), str(group.cores)),
            endpoint=site.endpoints.get(name),
            cores=group.cores,
            memory=int(group.memory),
            gpus=group.gpus,
            grace=_GRACE,
            notice=_NOTICE,
        )

    def secrets(self, spec: ClusterSpec) -> Mapping[str, bytes]:
        """Make a certificate authority, the one certificate it signs, and the endpoint's own token."""
        from jupyter_dodas.certificates import issue

        return issue(spec.name, TOKEN)

    def require(self, asked: CommonOptions) -> str:
        """See that the libraries are there."""
        if asked.environment.python not in (None, sys.executable):
            return self.summary  # of another environment nothing is known here
        if missing := [library for library in _LIBRARIES if find_spec(library) is None]:
            raise MissingSoftware(
                f"TFaaS endpoints need {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
                cause="The bare jupyter-dodas comes without the libraries of any kind.",
                remedy='Run: pip install "jupyter-dodas[tfaas]"',
            )
        return f"LiteRT {version('ai-edge-litert')}, ONNX Runtime {version('onnxruntime')}"

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        """Listen to the server's control channel."""
        return ReportingLink(site, changed)

    def addresses(self, site: Site) -> Mapping[str, str]:
        """Return where clients and browsers go, once the server has a place: the page is the root of all its paths."""
        server = site.endpoints.get("server")
        return {"page": f"http://{server['http']}"} if server is not None else {}


def _server(endpoint: Endpoint, site: Site, options: TfaasOptions) -> Mapping[str, object]:
    return {
        "folder": _store(site, options),
        "host": site.listen or endpoint.host,
        "port": endpoint.ports["http"],
        "replicas-port": endpoint.ports["workers"],
        "control-port": endpoint.ports["control"],
        "certificates": site.secrets,
        "token-file": site.secrets / TOKEN,
        "anonymous": options.anonymous,
        "issuer": options.issuer,
        "audience": options.audience,
        "groups": options.callers,
        "upload-groups": options.publishers,
        "publish-groups": options.publishers,
        "rate": options.rate,
        "timeout": options.deadline,
        "resident": options.resident,
        "worker-memory": int(options.model_memory),
        "target": options.target,
        "grace": _GRACE - 1,
    }


def _replica(name: str, site: Site) -> Mapping[str, object]:
    return {
        "server": site.endpoints["server"]["workers"],
        "name": name,
        "certificates": site.secrets,
        "folder": site.kept / "replicas" / name,
    }


def _store(site: Site, options: TfaasOptions) -> Path:
    return Path(options.store) if options.store is not None else site.kept / "models"
