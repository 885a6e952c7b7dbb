"""HTCondor as a kind of cluster: a manager with the queue, and workers that join it and run jobs.

The controller and every client import this module, so nothing heavy is imported with it.
"""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import ClassVar, Final

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.options import GroupOptions, validate
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.base import Endpoint, Instance, Link, Role, Service, Site
from jupyter_dodas.services.flags import flags
from jupyter_dodas.services.htcondor import daemons, tokens
from jupyter_dodas.services.htcondor.options import HtcondorOptions
from jupyter_dodas.services.link import ReportingLink
from jupyter_dodas.spec import ClusterSpec

__all__ = ["HtcondorService"]

_PROCESS: Final = "jupyter_dodas.services.htcondor.process"
_LIBRARIES: Final = ("aiohttp", "cloudpickle", "cryptography", "htcondor2", "pandas")

_GRACE: Final = 8.0
_NOTICE: Final = 22.0
"""Seconds, so that with its grace a worker has the half minute that nodes are emptied with by default."""
_QUEUE: Final = 8 * 2**30
"""Bytes for the queue and the files of its jobs, where they lie on a volume."""


class HtcondorService(Service):
    """See `Service`."""

    kind: ClassVar[str] = "htcondor"
    title: ClassVar[str] = "HTCondor"
    summary: ClassVar[str] = "A batch system of your own: jobs in a queue, on workers that come and go with them."
    snippet: ClassVar[str] = "cluster.queue()"
    preload: ClassVar[tuple[str, ...]] = (_PROCESS,)
    packages: ClassVar[tuple[str, ...]] = ("htcondor", "cloudpickle", "numpy", "pandas")
    image: ClassVar[str] = "htcondor"
    panel: ClassVar[str] = "jobs"
    verbs: ClassVar[frozenset[str]] = frozenset({"page"})
    Options: ClassVar[type[CommonOptions]] = HtcondorOptions

    def roles(self, asked: CommonOptions) -> tuple[Role, ...]:
        """Return the manager and the workers, to be started together: a worker waits for its manager."""
        return (
            Role("manager", ports=("condor", "control", "web"), step="Queue answers"),
            Role("worker", ports=("condor",), scaled=True, step="Workers join"),
        )

    def instance(self, name: str, role: Role, group: GroupOptions, spec: ClusterSpec, site: Site) -> Instance:
        """Describe the manager or a worker."""
        options = validate(HtcondorOptions, self.kind, spec.options)
        endpoint = site.endpoints[name]
        common = {
            "name": name,
            "cluster": spec.uid,
            "domain": tokens.domain(spec.name, spec.uid),
            "manager": site.endpoints["manager"]["condor"],
            "listen": site.listen,
            "secrets": site.secrets,
            **{port: endpoint.ports[port] for port in role.ports},
        }
        if role.name == "manager":
            shapes = options.all_groups().values()
            special = {
                "folder": site.kept / "manager",
                "flock-folder": site.kept / "flock.d",
                "shape": tuple(f"{shape.cores}:{int(shape.memory)}:{shape.gpus}" for shape in shapes),
                "job-deadline": options.job_deadline,
            }
            command = ("python", "-m", _PROCESS, role.name, *flags({**common, "host": endpoint.host, **special}))
            return Instance(
                name=name,
                cluster=spec.name,
                role=role.name,
                command=command,
                endpoint=endpoint,
                grace=_GRACE,
                any_port=True,
                lasting=_QUEUE,
            )
        own = {"host": endpoint.host, "cores": group.cores, "memory": int(group.memory), "gpus": group.gpus}
        return Instance(
            name=name,
            cluster=spec.name,
            role=role.name,
            group=name.rpartition("-")[0],
            command=("python", "-m", _PROCESS, role.name, *flags({**common, **own})),
            endpoint=endpoint,
            cores=group.cores,
            memory=int(group.memory),
            gpus=group.gpus,
            grace=_GRACE,
            notice=_NOTICE,
        )

    def secrets(self, spec: ClusterSpec) -> Mapping[str, bytes]:
        """Make the key of the pool, a token for each who needs one, and what the channel to the controller is closed with."""
        from jupyter_dodas.certificates import issue

        key, domain = tokens.new_key(), tokens.domain(spec.name, spec.uid)
        user = tokens.mint(key, domain, f"{tokens.USER}@{domain}", ("READ", "WRITE"))
        worker = tokens.mint(key, domain, f"{tokens.WORKER}@{domain}", ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"))
        return {
            **issue(spec.name, tokens.PAGE_TOKEN),
            tokens.KEY: key,
            tokens.USER_TOKEN: user.encode(),
            tokens.WORKER_TOKEN: worker.encode(),
        }

    def require(self, asked: CommonOptions) -> str:
        """See that the libraries are there, and HTCondor's daemons or what they can be fetched with."""
        if asked.environment.python not in (None, sys.executable):
            return self.summary  # of another environment nothing is known here
        if missing := [library for library in _LIBRARIES if find_spec(library) is None]:
            raise MissingSoftware(
                f"HTCondor pools need {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
                cause="The bare jupyter-dodas comes without the libraries of any kind.",
                remedy='Run: pip install "jupyter-dodas[htcondor]"',
            )
        try:
            found = daemons.find()
        except MissingSoftware:
            if not daemons.may_come():
                raise
            return "HTCondor's daemons are fetched with the first pool, which takes half a minute longer"
        return f"HTCondor {'.'.join(str(number) for number in found.version)}, {found.root}"

    def link(self, site: Callable[[], Site], changed: Callable[[], None]) -> Link:
        """Listen to the manager's control channel."""
        return ReportingLink(site, changed)

    def addresses(self, site: Site) -> Mapping[str, str]:
        """Return where jobs are sent to and browsers go, once the manager has a place."""
        manager: Endpoint | None = site.endpoints.get("manager")
        return {"schedd": manager["condor"], "page": f"http://{manager['web']}"} if manager is not None else {}
